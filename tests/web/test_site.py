"""The site: its access log, and how it comes to an end."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from giftless.interfaces import Identity
from tests.support.blocking import ManualBlocking
from tests.support.making import oid_of, writer
from tests.web.support import (
    FrontTestCase,
    Incomplete,
    KeyAuthenticator,
    Peer,
    PortTestCase,
    render_request,
    storage_url,
)

DATA = b"some bytes"
OID = oid_of(DATA)
URL = storage_url(OID)

MIB = 1024 * 1024


class HeadersTests(FrontTestCase):
    """What every response has."""

    def test_server_date_and_request_id(self) -> None:
        self.serve()
        self.front.put(DATA)
        for response in (
            self.request("GET", URL),
            self.request("GET", "/"),
            self.request("PUT", URL, {}, DATA),
            self.request("GET", URL, {"Host": "a b"}),
            self.request("get", URL),
        ):
            self.assertEqual(response.headers["server"], "giftless")
            self.assertTrue(response.headers["date"].endswith(" GMT"))
            self.assertRegex(response.headers["x-request-id"], "^[0-9a-f]{16}$")

    def test_only_http_1_1_is_offered(self) -> None:
        self.assertEqual(self.serve().site.acceptableProtocols(), [b"http/1.1"])


class AccessLogTests(FrontTestCase):
    """One line for each request."""

    def only_line(self) -> dict[str, Any]:
        (line,) = self.access
        return line

    def test_an_event_has_all_members(self) -> None:
        self.serve(authenticators=[KeyAuthenticator({"wills-token": writer()})])
        self.front.put(DATA)
        response = self.request("GET", f"{URL}?filename=x", {"Authorization": "Bearer wills-token"})
        line = self.only_line()
        self.assertEqual(line["address"], "198.51.100.7")
        self.assertEqual(line["identity"], "will")
        self.assertEqual(line["method"], "GET")
        self.assertEqual(line["path"], URL)
        self.assertEqual(line["status"], 200)
        self.assertEqual(line["bytes"], len(DATA))
        self.assertEqual(line["seconds"], 0)
        self.assertEqual(line["request_id"], response.headers["x-request-id"])

    def test_an_event_is_one_line_of_text(self) -> None:
        self.serve()
        self.front.put(DATA)
        response = self.request("GET", URL)
        self.assertEqual(
            formatEvent(self.only_line()),
            f"198.51.100.7 anonymous GET {URL} 200 10 0.0 {response.headers['x-request-id']}",
        )

    def test_a_name_is_one_word_of_the_line(self) -> None:
        """Two names never look the same there; the event has them as they are."""
        for name, word in (
            ("a b", "a%20b"),
            ("a_b", "a_b"),
            ("a%20b", "a%2520b"),
            ("-", "%2D"),
            ("\u00d6lga", "\u00d6lga"),
        ):
            before = len(self.access)
            person = Identity(name, writer().grants, f"basic#{name}")
            self.serve(authenticators=[KeyAuthenticator({"token": person})])
            self.request("GET", URL, {"Authorization": "Bearer token"})
            (line,) = self.access[before:]
            self.assertEqual((line["identity"], line["principal"]), (name, f"basic#{name}"))
            self.assertTrue(formatEvent(line).startswith(f"198.51.100.7 {word} GET "), line)

    def test_bytes_are_those_of_the_body(self) -> None:
        self.serve()
        self.front.put(DATA)
        error = self.request("GET", "/org")
        self.request("HEAD", URL)
        self.request("GET", URL, {"Range": "bytes=2-4"})
        self.request("GET", URL, {"If-None-Match": "*"})
        self.assertEqual(
            [(line["status"], line["bytes"]) for line in self.access],
            [(404, len(error.body)), (200, 0), (206, 3), (304, 0)],
        )

    def test_seconds_are_those_since_the_headers(self) -> None:
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        connection = self.connect()
        connection.send(b"GET ")
        self.clock.advance(1)
        connection.send(render_request("GET", URL)[4:])
        self.clock.advance(2.5)
        blocking.do_next()
        self.assertEqual(self.only_line()["seconds"], 2.5)

    def test_seconds_of_an_upload(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10"}))
        self.clock.advance(7)
        connection.send(DATA)
        self.assertEqual(self.only_line()["seconds"], 7)

    def test_nobody_is_written_as_a_dash(self) -> None:
        self.serve(authenticators=[])
        self.request("GET", URL)
        self.assertEqual(self.only_line()["identity"], "-")

    def test_address_behind_a_trusted_proxy(self) -> None:
        self.serve(trusted=["198.51.100.0/24"])
        self.request("GET", URL, {"X-Forwarded-For": "203.0.113.9, 198.51.100.3"})
        self.assertEqual(self.only_line()["address"], "203.0.113.9")

    def test_address_that_anybody_claims(self) -> None:
        self.serve()
        self.request("GET", URL, {"X-Forwarded-For": "203.0.113.9"})
        self.assertEqual(self.only_line()["address"], "198.51.100.7")

    def test_address_of_a_refused_client_is_its_own(self) -> None:
        self.serve()
        self.connect(IPv6Address("TCP", "2001:db8::7", 1)).send(b"nonsense\r\n")
        self.assertEqual(self.only_line()["address"], "2001:db8::7")

    def test_a_unix_socket_has_no_address(self) -> None:
        self.serve()
        for data in (render_request("GET", URL), b"nonsense\r\n"):
            self.connect(UNIXAddress(None)).send(data)
        self.assertEqual([line["address"] for line in self.access], ["-", "-"])

    def test_client_that_left(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10"}) + b"some")
        connection.disconnect()
        line = self.only_line()
        self.assertEqual((line["method"], line["path"], line["status"]), ("PUT", URL, 499))

    def test_no_credential_is_in_an_event(self) -> None:
        """No credential is in any event, however a request ends."""
        secret = "c2VjcmV0LXZhbHVl"  # what _check_log does not look for
        self.serve()
        self.front.put(DATA)
        headers = {"Authorization": f"Basic {secret}", "X-Broken": "a"}
        for url in (f"{URL}?jwt={secret}", f"/nothing?jwt={secret}", f"/a//b?jwt={secret}"):
            for method in ("GET", "HEAD", "PUT", "POST", "get"):
                connection = self.connect()
                connection.send(render_request(method, url, headers, DATA))
                connection = self.connect()
                connection.send(render_request(method, url, {**headers, "Content-Length": "99"}))
                connection.disconnect()
                connection = self.connect()
                connection.send(render_request(method, url, {**headers, "X-Broken": "a\0b"}))
        self.assertGreater(len(self.access), 30)
        for event in self.events:
            self.assertNotIn(secret, f"{formatEvent(event)} {event!r}")

    def test_secrets_when_the_server_fails(self) -> None:
        secret = "c2VjcmV0LXZhbHVl"

        class Broken:
            async def authenticate(self, credentials: Any, repo: Any) -> None:
                raise RuntimeError(f"cannot judge {credentials}")

        self.serve(authenticators=[Broken()])
        response = self.request("GET", f"{URL}?jwt={secret}", {"Authorization": f"Basic {secret}"})
        self.assert_error(response, 500)
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertNotIn(secret, failure.getTraceback())
        for event in self.events:
            self.assertNotIn(secret, f"{formatEvent(event)} {event!r}")


class DrainTests(FrontTestCase):
    """A clean stop: what runs may finish, for a while."""

    def drain(self, seconds: float = 60) -> Deferred[None]:
        result = self.front.site.drain(seconds)
        self.clock.advance(0)
        return result

    def test_a_drain_without_connections_ends_at_once(self) -> None:
        self.serve()
        self.successResultOf(self.drain())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_connections_are_closed(self) -> None:
        self.serve()
        silent, used = self.connect(), self.connect()
        used.request("GET", URL)
        drained = self.drain()
        self.assertTrue(silent.closed)
        self.assertTrue(used.closed)
        self.successResultOf(drained)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_running_upload_finishes(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10"}) + DATA[:4])
        drained = self.drain()
        self.pass_time(10)
        self.assertNoResult(drained)
        connection.send(DATA[4:])
        response = connection.response()
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["connection"], "close")
        self.assertTrue(connection.closed)
        self.successResultOf(drained)
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_running_request_finishes(self) -> None:
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        self.front.put(DATA)
        connection = self.connect()
        connection.send(render_request("GET", URL))
        drained = self.drain()
        while blocking.waiting:
            blocking.do_next()
        self.clock.advance(0)
        while blocking.waiting:
            blocking.do_next()
        self.clock.advance(0)
        self.assertEqual(connection.response().body, DATA)
        self.assertTrue(connection.closed)
        self.successResultOf(drained)

    def test_request_whose_headers_have_begun_is_served(self) -> None:
        self.serve()
        self.front.put(DATA)
        data = render_request("GET", URL)
        connection = self.connect()
        connection.send(data[:-2])
        drained = self.drain()
        self.assertNoResult(drained)
        connection.send(data[-2:])
        self.assertEqual(connection.response().headers["connection"], "close")
        self.assertTrue(connection.closed)
        self.successResultOf(drained)

    def test_next_request_is_not_begun(self) -> None:
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        connection = self.connect()
        connection.send(render_request("GET", URL) + render_request("PUT", URL, {}, DATA))
        drained = self.drain()
        while blocking.waiting:
            blocking.do_next()
        self.clock.advance(0)
        self.assert_error(connection.response(), 404)
        self.assertEqual(connection.received, b"")
        self.assertTrue(connection.closed)
        self.successResultOf(drained)
        self.assertEqual(self.front.objects(), {})

    def test_what_takes_too_long_is_cut(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "1000000"}))
        drained = self.drain(10)
        for _ in range(10):
            self.assertNoResult(drained)
            connection.send(b"a" * 10000)
            self.clock.advance(1)
        self.clock.advance(0)
        self.assertTrue(connection.aborted)
        self.assertTrue(connection.closed)
        self.successResultOf(drained)
        self.assertEqual(self.front.objects(), {})
        self.assertEqual([line["status"] for line in self.access], [499])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_drain_without_time_cuts_transfers(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "1000000"}))
        drained = self.drain(0)
        self.clock.advance(0)
        self.assertTrue(connection.aborted)
        self.successResultOf(drained)

    def test_connection_that_comes_late(self) -> None:
        """It was accepted just before; its request is answered, and that is all."""
        self.serve()
        busy = self.connect()
        busy.send(render_request("PUT", URL, {"Content-Length": "10"}))
        drained = self.drain()
        late = self.connect()
        response = late.request("GET", URL)
        self.assertEqual(response.headers["connection"], "close")
        self.assertTrue(late.closed)
        self.assertNoResult(drained)
        busy.send(DATA)
        self.successResultOf(drained)


class RetireTests(FrontTestCase):
    """Others serve from now on: nobody may notice."""

    def retire(self) -> Deferred[None]:
        retired = self.front.site.retire()
        self.clock.advance(0)
        return retired

    def test_a_retirement_without_connections_ends_at_once(self) -> None:
        self.serve()
        self.successResultOf(self.retire())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kept_connection_is_answered_once_more(self) -> None:
        """A client that sends its next request just now gets its answer."""
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        self.assertNotIn("connection", connection.request("GET", URL).headers)
        retired = self.retire()
        self.assertFalse(connection.closed)
        response = connection.request("GET", URL)
        self.assertEqual((response.body, response.headers["connection"]), (DATA, "close"))
        self.assertTrue(connection.closed)
        self.successResultOf(retired)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_request_that_runs_ends_as_it_was_promised(self) -> None:
        """Its headers may be out already, without a word of closing."""
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        connection = self.connect()
        connection.send(render_request("GET", URL))
        retired = self.retire()
        while blocking.waiting:
            blocking.do_next()
        self.clock.advance(0)
        self.assertNotIn("connection", connection.response().headers)
        self.assertFalse(connection.closed)
        connection.send(render_request("GET", URL))
        while blocking.waiting:
            blocking.do_next()
        self.clock.advance(0)
        self.assertEqual(connection.response().headers["connection"], "close")
        self.assertTrue(connection.closed)
        self.successResultOf(retired)

    def test_silent_connection_ends_by_its_own_limit(self) -> None:
        self.serve()
        connection = self.connect()
        connection.request("GET", URL)
        retired = self.retire()
        self.pass_time(self.front.limits.idle_timeout - 1)
        self.assertFalse(connection.closed)
        self.assertNoResult(retired)
        self.pass_time(2)
        self.assertTrue(connection.closed)
        self.successResultOf(retired)

    def test_a_stop_comes_later(self) -> None:
        self.serve()
        silent, busy = self.connect(), self.connect()
        busy.send(render_request("PUT", URL, {"Content-Length": "10"}))
        retired = self.retire()
        drained = self.front.site.drain(60)
        self.clock.advance(0)
        self.assertTrue(silent.closed)
        self.assertFalse(busy.closed)
        self.assertNoResult(retired)
        busy.send(DATA)
        self.successResultOf(drained)
        self.successResultOf(retired)


class DrainOnTheWireTests(PortTestCase):
    """The same with sockets."""

    async def test_running_download_finishes(self) -> None:
        await self.serve()
        data = os.urandom(16 * MIB)
        url = storage_url(self.front.put(data))
        with Peer(self.port, receive_buffer=65536) as peer, Peer(self.port) as idle:
            peer.send(render_request("GET", url))
            await self.in_thread(lambda: peer.read_ahead(MIB))
            drained = self.front.site.drain(20)
            self.assertEqual(await self.in_thread(idle.read_to_end), b"")
            self.assertFalse(drained.called)
            response = await self.in_thread(peer.response)
            self.assert_same_bytes(response.body, data)
            self.assertEqual(await self.in_thread(peer.read_to_end), b"")
            await drained

    async def test_stalled_download_is_cut(self) -> None:
        await self.serve()
        url = storage_url(self.front.put(os.urandom(16 * MIB)))
        with Peer(self.port, receive_buffer=65536) as peer:
            peer.send(render_request("GET", url))
            await self.in_thread(lambda: peer.read_ahead(MIB))
            started = self.now()
            await self.front.site.drain(0.5)
            self.assertLess(self.now() - started, 2)
            with self.assertRaises((Incomplete, ConnectionError)):
                await self.in_thread(peer.response)

    async def test_running_upload_finishes(self) -> None:
        await self.serve()
        data = os.urandom(3 * MIB)
        head = render_request("PUT", storage_url(oid_of(data)), {"Content-Length": str(3 * MIB)})
        with Peer(self.port) as peer:
            await self.in_thread(lambda: peer.send(head + data[: 2 * MIB]))
            await self.until(self.front.objects)
            drained = self.front.site.drain(20)
            await self.in_thread(lambda: peer.send(data[2 * MIB :]))
            response = await self.in_thread(peer.response)
            self.assertEqual(response.status, 200)
            await drained
        self.assert_stored(data)
