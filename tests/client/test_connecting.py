"""Connections as git would make them: certificates, and proxies."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import Site

from giftless.client import asking
from giftless.client.asking import Outgoing
from giftless.client.connections import Connections
from tests.agent.server import Answer, Server
from tests.client.support import ClientTestCase
from tests.observers.webhooks.certificates import Authority
from tests.support.reactor import reactor


class _Root(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"hello"


class _Proxy(Protocol):
    """Makes tunnels to ports of this machine, whatever host is wanted."""

    transport: Any

    def __init__(self, heads: list[bytes], answer: bytes) -> None:
        self._heads = heads
        self._answer = answer
        self._received = b""
        self._other: Any = None

    def dataReceived(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)
            return
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        self._heads.append(self._received)
        port = int(self._received.split(b" ")[1].rpartition(b":")[2])
        outer = self

        class Behind(Protocol):
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                outer.transport.write(data)

        def connected(other: Any) -> None:
            self._other = other
            self.transport.write(self._answer)

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        endpoint.connect(Factory.forProtocol(Behind)).addCallback(connected)

    def connectionLost(self, *_: Any) -> None:
        if self._other is not None:
            self._other.transport.abortConnection()


class ConnectingTestCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority()
        site = Site(_Root())
        port = reactor.listenSSL(0, site, self.authority.server("lfs.example"), 50, "127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        self.url = f"https://lfs.example:{self.port}/"
        self.file = self.home / "ca.pem"
        self.file.write_bytes(self.authority.pem)

    def here(self) -> Connections:
        """Make connections for which each host is this machine."""
        return self.connections(
            attempts=1, dial=lambda host, port: TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        )

    def config(self, name: str, value: str | Path) -> None:
        """Set something in the user's configuration of git."""
        self.git("config", "--global", name, str(value))

    async def get(self, connections: Connections, url: str = "") -> bytes:
        """Send a request."""
        return (await connections.asker.ask(Outgoing("GET", url or self.url, {}))).body


class CertificateTests(ConnectingTestCase):
    async def test_an_authority_that_git_trusts_is_believed(self) -> None:
        self.config(f"http.{self.url}.sslCAInfo", self.file)
        self.assertEqual(await self.get(self.here()), b"hello")

    async def test_a_folder_of_authorities_is_believed(self) -> None:
        folder = self.home / "authorities"
        folder.mkdir()
        (folder / "one.pem").write_bytes(Authority().pem)
        (folder / "two.pem").write_bytes(self.authority.pem)
        self.config("http.sslCAPath", folder)
        self.assertEqual(await self.get(self.here()), b"hello")

    async def test_others_are_not_believed(self) -> None:
        connections = self.connections(
            attempts=5, dial=lambda host, port: TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        )
        self.patch(asking, "FIRST_PAUSE", 1e6)  # it is not tried again
        error = await self.failing(self.get(connections))
        self.assertIn("certificate verify failed", error.problem)
        self.assertIn("http.sslCAInfo", error.problem)

    async def test_another_host_is_not_believed(self) -> None:
        self.config("http.sslCAInfo", self.file)
        url = self.url.replace("lfs.example", "evil.example")
        error = await self.failing(self.get(self.here(), url))
        self.assertIn("the server's certificate is for another host", error.problem)

    async def test_verification_can_be_switched_off(self) -> None:
        self.config("http.sslVerify", "false")
        self.assertEqual(await self.get(self.here()), b"hello")

    async def test_files_that_are_not_there_are_told(self) -> None:
        self.config("http.sslCAInfo", self.home / "missing")
        error = await self.failing(self.get(self.here()))
        self.assertIn("http.sslCAInfo", error.problem)


class ProxyTests(ConnectingTestCase):
    def listen(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> list[bytes]:
        """Start a proxy that git's configuration names; returns the requests that it gets."""
        heads: list[bytes] = []
        factory = Factory.forProtocol(lambda: _Proxy(heads, answer))
        port = reactor.listenTCP(0, factory, 50, "127.0.0.1")
        self.addCleanup(port.stopListening)
        self.config("http.proxy", f"http://me:pass%40word@127.0.0.1:{port.getHost().port}")
        return heads

    async def test_https_goes_through_a_tunnel(self) -> None:
        heads = self.listen()
        self.config("http.sslCAInfo", self.file)
        connections = self.connections(attempts=1)
        self.assertEqual(await self.get(connections), b"hello")
        self.assertEqual(await self.get(connections), b"hello")
        (head,) = heads
        self.assertTrue(head.startswith(b"CONNECT lfs.example:%d HTTP/1.1\r\n" % self.port))
        pair = base64.b64encode(b"me:pass@word")
        self.assertIn(b"Proxy-Authorization: Basic " + pair, head)

    async def test_a_proxy_that_refuses_is_told(self) -> None:
        self.listen(b"HTTP/1.1 407 Who are you?\r\n\r\n")
        error = await self.failing(self.get(self.connections(attempts=1)))
        self.assertIn("the proxy answers 'HTTP/1.1 407 Who are you?'", error.problem)

    async def test_http_is_sent_to_the_proxy_with_its_password(self) -> None:
        proxy = Server(self, lambda asked: Answer(200, b"from the proxy"))
        self.config("http.proxy", proxy.url.replace("//", "//me:pass%40word@"))
        connections = self.connections(attempts=1)
        self.assertEqual(await self.get(connections, "http://lfs.invalid/p"), b"from the proxy")
        self.assertEqual(proxy.asked[0].path, "http://lfs.invalid/p")
        self.assertEqual(proxy.asked[0].headers["proxy-authorization"], "Basic bWU6cGFzc0B3b3Jk")

    async def test_hosts_that_the_environment_leaves_out_are_connected_to(self) -> None:
        self.patch_environ("http_proxy", "http://127.0.0.1:1")
        self.patch_environ("no_proxy", "127.0.0.1")
        server = Server(self, lambda asked: Answer(200, b"direct"))
        self.assertEqual(await self.get(self.connections(attempts=1), server.url), b"direct")

    async def test_an_unknown_kind_of_proxy_is_refused(self) -> None:
        self.config("http.proxy", "socks5://me:secret@127.0.0.1:1")
        error = await self.failing(self.get(self.connections(attempts=1), "http://h.invalid"))
        self.assertIn("http.proxy", error.problem)
        self.assertNotIn("secret", error.problem)
