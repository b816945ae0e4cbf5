"""The same front over TLS: an ``ssl:`` endpoint with a certificate of its own."""

from __future__ import annotations

import os
import ssl
from typing import Any, ClassVar

from giftless.web.limits import Limits
from tests.support.certificates import make_certificate
from tests.support.making import oid_of
from tests.web.support import (
    Front,
    Incomplete,
    Peer,
    PortTestCase,
    batch_body,
    render_request,
    storage_url,
)
from tests.web.test_sending import DownloadsMixin

MIB = 1024 * 1024


class TLSTestCase(PortTestCase):
    """Serves over TLS; its peers speak it."""

    pem: ClassVar[bytes] = make_certificate()

    def setUp(self) -> None:
        super().setUp()
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(self.pem)
        self.endpoint = f"ssl:0:interface=127.0.0.1:privateKey={path}:certKey={path}"
        self.context = ssl.create_default_context(cafile=path)

    def peer(self, **options: Any) -> Peer:
        return super().peer(tls=self.context, **options)


class TLSDownloadTests(DownloadsMixin, TLSTestCase):
    """Downloads are passed on; the bytes are the same."""

    async def test_the_kernel_does_not_do_it(self) -> None:
        """It would send the plain text."""
        self.patch(os, "sendfile", None)
        await self.serve()
        data = os.urandom(MIB)
        response = await self.request("GET", storage_url(self.front.put(data)))
        self.assert_same_bytes(response.body, data)


class TLSTests(TLSTestCase):
    """What else there is."""

    async def serve_to_nobody(self) -> Front:
        return await self.serve(authenticators=[])

    async def test_an_upload_over_tls_is_stored(self) -> None:
        await self.serve()
        data = os.urandom(3 * MIB)
        response = await self.request("PUT", storage_url(oid_of(data)), {}, data)
        self.assertEqual(response.status, 200)
        self.assert_stored(data)

    async def test_links_are_https(self) -> None:
        await self.serve()
        data = b"some bytes"
        response = await self.request(
            "POST",
            "/org/repo/objects/batch",
            {"Host": "lfs.example:8443"},
            batch_body("upload", {"oid": oid_of(data), "size": len(data)}),
        )
        for action in response.json["objects"][0]["actions"].values():
            self.assertTrue(action["href"].startswith("https://lfs.example:8443/org/repo/"))

    async def test_only_http_1_1_is_negotiated(self) -> None:
        await self.serve()
        self.context.set_alpn_protocols(["h2", "http/1.1"])

        def client() -> str | None:
            with self.peer() as peer:
                assert isinstance(peer.socket, ssl.SSLSocket)
                return peer.socket.selected_alpn_protocol()

        self.assertEqual(await self.in_thread(client), "http/1.1")

    async def test_old_versions_of_tls_are_refused(self) -> None:
        await self.serve()
        self.context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        self.context.maximum_version = ssl.TLSVersion.TLSv1_1
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises(ssl.SSLError):
            await self.connected()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_an_early_answer_arrives_over_tls(self) -> None:
        await self.serve_to_nobody()

        def client() -> Any:
            with self.peer() as peer:
                peer.send(
                    render_request("PUT", storage_url("0" * 64), {"Content-Length": "99999999"})
                )
                peer.send(b"a" * 500_000)
                return peer.response()

        response = await self.in_thread(client)
        self.assert_error(response, 401)
        self.assertEqual(response.headers["connection"], "close")

    async def test_client_goes_away_in_the_middle(self) -> None:
        await self.serve()
        head = render_request("PUT", storage_url("0" * 64), {"Content-Length": str(8 * MIB)})

        def client() -> None:
            with self.peer() as peer:
                peer.send(head + b"a" * (6 * MIB))

        await self.in_thread(client)
        await self.until(lambda: self.access)
        await self.until(lambda: not self.front.objects())
        self.assertEqual([line["status"] for line in self.access], [499])

    async def test_plain_text_on_this_port(self) -> None:
        """The connection ends, without a word in the log."""
        await self.serve()

        def client() -> bytes:
            with Peer(self.port) as peer:
                peer.send(render_request("GET", "/"))
                return peer.read_to_end()

        self.assertNotIn(b"HTTP", await self.in_thread(client))
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.access, [])

    async def test_client_that_never_shakes_hands(self) -> None:
        """It is an idle client like others."""
        await self.serve(limits=Limits(idle_timeout=1))

        def client() -> bytes:
            with Peer(self.port) as peer:
                return peer.read_to_end()

        started = self.now()
        self.assertEqual(await self.in_thread(client), b"")
        self.assertLess(self.now() - started, 60)

    async def test_a_drain_lets_transfers_finish(self) -> None:
        await self.serve()
        data = os.urandom(16 * MIB)
        url = storage_url(self.front.put(data))
        peer = await self.connected(receive_buffer=65536)
        idle = await self.connected()
        await self.in_thread(lambda: peer.send(render_request("GET", url)))
        await self.in_thread(lambda: peer.read_ahead(MIB))
        drained = self.front.site.drain(20)
        self.assertEqual(await self.in_thread(idle.read_to_end), b"")
        idle.close()
        response = await self.in_thread(peer.response)
        self.assert_same_bytes(response.body, data)
        self.assertEqual(await self.in_thread(peer.read_to_end), b"")
        peer.close()
        await drained

    async def test_drain_cuts_what_stalls(self) -> None:
        await self.serve()
        url = storage_url(self.front.put(os.urandom(16 * MIB)))
        peer = await self.connected(receive_buffer=65536)
        await self.in_thread(lambda: peer.send(render_request("GET", url)))
        await self.in_thread(lambda: peer.read_ahead(MIB))
        await self.front.site.drain(0.5)
        with self.assertRaises((Incomplete, OSError)):
            await self.in_thread(peer.response)
