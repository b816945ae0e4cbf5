"""Connections: what cannot be parsed, what comes too slowly, what is too large.

RFC 9112 sections 2.2, 3.2, 5, 6 and 9; and what slow and greedy clients do.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from giftless.web.limits import Limits
from tests.support.making import oid_of
from tests.support.rounds import rounds
from tests.web.support import (
    Connection,
    FrontTestCase,
    PortTestCase,
    Response,
    batch_body,
    chunked,
    render_request,
    storage_url,
)

DATA = b"some bytes"
OID = oid_of(DATA)
URL = storage_url(OID)


class MalformedRequestTests(FrontTestCase):
    """Whatever two parsers could read differently is refused, and that ends it."""

    def assert_refused(self, data: bytes, status: int = 400) -> Response:
        """Send ``data``; expect one JSON error, one access line, and the end."""
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        connection.send(data)
        response = connection.response()
        self.assert_error(response, status)
        self.assertEqual(response.headers["connection"], "close")
        self.assert_closed_by_server(connection)
        self.assertEqual(connection.received, b"", "there is more than one response")
        self.assertEqual([line["status"] for line in self.access], [status])
        self.assertEqual(self.access[0]["request_id"], response.json["request_id"])
        self.assertEqual(self.flushLoggedErrors(), [])
        return response

    def get(self, *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
        lines = [b"GET %b %b" % (URL.encode(), version), *headers, b"", b""]
        return b"\r\n".join(lines)

    def put(self, *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
        return self.get(*headers, version=version).replace(b"GET", b"PUT", 1)

    # -- what llhttp would accept

    def test_a_missing_host_is_refused(self) -> None:
        self.assert_refused(self.get())

    def test_two_hosts_are_refused(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", b"Host: lfs.example"))

    def test_an_empty_host_is_refused(self) -> None:
        self.assert_refused(self.get(b"Host:"))

    def test_two_hosts_in_one_line(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example, other.example"))

    def test_host_with_a_path(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example/evil"))

    def test_host_with_a_user(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example@evil.example"))

    def test_host_that_is_no_name(self) -> None:
        for host in (b"a..b", b".a", b"a" * 64, b"a." + b"b" * 64, b"..", b"."):
            self.assert_refused(self.get(b"Host: " + host))
            self.events.clear()

    def test_folded_transfer_encoding(self) -> None:
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Transfer-Encoding:", b" chunked") + chunked(DATA)
        )

    def test_folded_header_of_no_importance(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", b"X-Long: a", b"\tb"))

    def test_first_header_folded(self) -> None:
        self.assert_refused(self.get(b" Host: lfs.example"))

    def test_request_line_after_white_space(self) -> None:
        self.assert_refused(b" " + self.get(b"Host: lfs.example"))

    def test_chunked_on_http_1_0(self) -> None:
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Transfer-Encoding: chunked", version=b"HTTP/1.0")
            + chunked(DATA)
        )

    def test_contradictory_connection_options(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", b"Connection: keep-alive,close"))

    def test_contradictory_connection_headers(self) -> None:
        self.assert_refused(
            self.get(b"Host: lfs.example", b"Connection: Close", b"Connection: Keep-Alive")
        )

    def test_identity_coding_does_not_hide_a_second_request(self) -> None:
        """The body of a request with no length is never parsed as a request."""
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Transfer-Encoding: identity")
            + self.get(b"Host: lfs.example")
        )

    def test_identity_coding_beside_a_length(self) -> None:
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Transfer-Encoding: identity", b"Content-Length: 10")
            + DATA
        )

    def test_second_request_after_identity_coding_comes_later(self) -> None:
        """Nor is it when it comes in a later packet."""
        self.serve()
        connection = self.connect()
        connection.send(self.put(b"Host: lfs.example", b"Transfer-Encoding: identity"))
        connection.send(self.get(b"Host: lfs.example"))
        self.assert_error(connection.response(), 400)
        self.assert_closed_by_server(connection)
        self.assertEqual(connection.received, b"")

    def test_length_of_4400_digits(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Content-Length: " + b"1" * 4400))

    def test_length_of_4400_digits_in_the_middle(self) -> None:
        self.assert_refused(
            self.put(b"Content-Length: " + b"1" * 4400, b"Host: lfs.example", b"X-More: yes")
        )

    def test_lower_case_method(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example").replace(b"GET", b"get"))

    def test_target_that_is_no_path(self) -> None:
        """A proxy that routes by path would not know where this goes."""
        self.assert_refused(self.get(b"Host: lfs.example").replace(b" /org", b" xorg"))

    def test_target_of_another_scheme(self) -> None:
        self.assert_refused(
            self.get(b"Host: lfs.example").replace(b" /org", b" ftp://other.example/org")
        )

    def test_target_with_a_host_beside_two_host_headers(self) -> None:
        self.assert_refused(
            self.get(b"Host: lfs.example", b"Host: lfs.example").replace(
                b" /org", b" http://lfs.example/org"
            )
        )

    def test_an_asterisk_is_a_target_for_options_only(self) -> None:
        self.assert_refused(b"GET * HTTP/1.1\r\nHost: lfs.example\r\n\r\n")

    def test_an_unknown_expectation_is_refused(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Expect: a-miracle"), status=417)

    # -- what llhttp or the request line's pattern refuses

    def test_length_and_chunked(self) -> None:
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Content-Length: 5", b"Transfer-Encoding: chunked")
            + chunked(DATA)
        )

    def test_chunked_and_length(self) -> None:
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Transfer-Encoding: chunked", b"Content-Length: 5")
            + chunked(DATA)
        )

    def test_two_equal_lengths(self) -> None:
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Content-Length: 10", b"Content-Length: 10") + DATA
        )

    def test_two_lengths_are_refused(self) -> None:
        self.assert_refused(
            self.put(b"Host: lfs.example", b"Content-Length: 10", b"Content-Length: 5") + DATA
        )

    def test_list_of_lengths(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Content-Length: 10, 10") + DATA)

    def test_length_with_a_sign(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Content-Length: +10") + DATA)

    def test_a_negative_length_is_refused(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Content-Length: -1"))

    def test_a_hexadecimal_length_is_refused(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Content-Length: 0xa") + DATA)

    def test_an_unknown_coding_is_refused(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Transfer-Encoding: gzip, chunked"))

    def test_two_codings_are_refused(self) -> None:
        self.assert_refused(
            self.put(
                b"Host: lfs.example", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"
            )
            + chunked(DATA)
        )

    def test_nul_in_a_header(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", b"X-Header: a\0b"))

    def test_bare_line_feed_in_a_header(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", b"X-Header: a\nX-Other: b"))

    def test_bare_carriage_return_in_a_header(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", b"X-Header: a\rX-Other: b"))

    def test_space_before_the_colon(self) -> None:
        self.assert_refused(self.put(b"Host: lfs.example", b"Content-Length : 10") + DATA)

    def test_header_without_a_colon(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", b"X-Header"))

    def test_http_1_2(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example", version=b"HTTP/1.2"))

    def test_http_2_preface(self) -> None:
        self.assert_refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    def test_a_request_without_version_is_refused(self) -> None:
        self.assert_refused(b"GET /\r\n\r\n")

    def test_tls_on_a_plain_port(self) -> None:
        self.assert_refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")

    def test_white_space_in_the_target(self) -> None:
        self.assert_refused(self.get(b"Host: lfs.example").replace(b"/org", b"/o rg"))

    def test_nothing_is_handled_after_a_malformed_request(self) -> None:
        """Not even what comes later, in a packet of its own."""
        self.serve()
        connection = self.connect()
        connection.send(b"nonsense\r\n")
        connection.send(render_request("PUT", URL, {}, DATA))
        self.assert_error(connection.response(), 400)
        self.assert_closed_by_server(connection)
        self.assertEqual(connection.received, b"")
        self.assertEqual(self.front.objects(), {})

    def test_malformed_request_after_a_good_one(self) -> None:
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        connection.send(self.get(b"Host: lfs.example") + self.get())
        self.assertEqual(connection.response().body, DATA)
        self.assert_error(connection.response(), 400)
        self.assert_closed_by_server(connection)


class BadChunkTests(FrontTestCase):
    """A chunked body that cannot be read is an error for whoever reads it."""

    def assert_refused_body(self, body: bytes) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Transfer-Encoding": "chunked"}) + body)
        self.assert_error(connection.response(), 400)
        self.assert_closed_by_server(connection)
        self.assertEqual(connection.received, b"")
        self.assertEqual(self.front.objects(), {}, "something was stored, or left behind")
        self.assertEqual([line["status"] for line in self.access], [400])

    def test_length_is_no_number(self) -> None:
        self.assert_refused_body(b"zz\r\nabc\r\n0\r\n\r\n")

    def test_a_negative_chunk_length_is_refused(self) -> None:
        self.assert_refused_body(b"-3\r\nabc\r\n0\r\n\r\n")

    def test_chunk_is_longer_than_its_length(self) -> None:
        self.assert_refused_body(b"2\r\nabc\r\n0\r\n\r\n")

    def test_bare_line_feeds(self) -> None:
        self.assert_refused_body(b"3\nabc\n0\n\n" + b" " * 2048)

    def test_endless_chunk_extension(self) -> None:
        self.assert_refused_body(b"3;" + b"x" * 4096)

    def test_endless_trailers_are_refused(self) -> None:
        self.assert_refused_body(b"3\r\nabc\r\n0\r\n" + b"X-Trailer: yes\r\n" * 8192)

    def test_malformed_trailers_are_refused(self) -> None:
        for trailer in (
            b"no colon",
            b": no name",
            b"name : value",
            b"a: b\r\n folded",
            b"a: \0",
            b"a: b\rc: d",
            b"a b: c",
            b"a\n: c",
        ):
            self.assert_refused_body(b"3\r\nabc\r\n0\r\n%b\r\n\r\n" % trailer)
            self.setUp()

    def test_after_good_chunks(self) -> None:
        """What had arrived before is forgotten."""
        good = b"".join(b"%x\r\n%b\r\n" % (len(DATA), DATA) for _ in range(3))
        self.assert_refused_body(good + b"nonsense\r\n")


class HeaderLimitTests(FrontTestCase):
    """Headers are bounded in bytes, in number and in time."""

    def test_one_line_that_does_not_end(self) -> None:
        connection = self.connect()
        connection.send(b"GET /" + b"a" * 20000)
        self.assert_error(connection.response(), 431)
        self.assert_closed_by_server(connection)
        self.assertEqual([line["status"] for line in self.access], [431])

    def test_one_line_that_is_too_long(self) -> None:
        connection = self.connect()
        connection.send(b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: lfs.example\r\n\r\n")
        self.assert_error(connection.response(), 431)
        self.assert_closed_by_server(connection)

    def test_all_lines_together(self) -> None:
        connection = self.connect()
        connection.send(render_request("GET", URL, {f"X-{n}": "a" * 1000 for n in range(20)}))
        self.assert_error(connection.response(), 431)
        self.assert_closed_by_server(connection)
        self.assertEqual([line["status"] for line in self.access], [431])

    def test_client_that_goes_on(self) -> None:
        """What it sends is dropped, and soon not even read."""
        connection = self.connect()
        connection.send(b"GET /" + b"a" * (8 * 1024 * 1024))
        self.assert_error(connection.response(), 431)
        self.assertGreater(connection.held_up, 6 * 1024 * 1024)
        self.assert_closed_by_server(connection)

    def test_limit_is_configured(self) -> None:
        self.serve(limits=Limits(header_bytes=65536))
        self.front.put(DATA)
        headers = {f"X-{n}": "a" * 1000 for n in range(60)}
        self.assertEqual(self.request("GET", URL, headers).status, 200)
        headers = {f"X-{n}": "a" * 1000 for n in range(70)}
        self.assert_error(self.request("GET", URL, headers), 431)

    def test_limit_counts_each_request_anew(self) -> None:
        self.serve()
        connection = self.connect()
        for _ in range(5):
            response = connection.request("GET", URL, {"X-Long": "a" * 10000})
            self.assertEqual(response.status, 404)

    def test_very_many_headers(self) -> None:
        self.serve(limits=Limits(header_bytes=1048576))
        connection = self.connect()
        connection.send(render_request("GET", URL, {f"X-{n}": "a" for n in range(501)}))
        self.assert_error(connection.response(), 400)
        self.assert_closed_by_server(connection)

    def test_headers_have_a_deadline(self) -> None:
        """Headers that trickle in are late, however steadily they do."""
        connection = self.connect()
        for byte in render_request("GET", URL, {"X-Long": "a" * 100})[:10]:
            self.assertEqual(connection.received, b"")
            connection.send(bytes([byte]))
            self.clock.advance(1)
        self.assert_error(connection.response(), 408)
        self.assert_closed_by_server(connection)
        self.assertEqual([line["status"] for line in self.access], [408])

    def test_deadline_counts_from_the_first_byte(self) -> None:
        """A connection may be silent for longer than its headers may take."""
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        self.pass_time(60)
        self.assertEqual(connection.request("GET", URL).status, 200)

    def test_deadline_holds_for_every_request(self) -> None:
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        self.assertEqual(connection.request("GET", URL).status, 200)
        self.pass_time(30)
        connection.send(b"GET ")
        self.pass_time(9)
        self.assertEqual(connection.received, b"")
        self.pass_time(1)
        self.assert_error(connection.response(), 408)

    def test_deadline_holds_for_a_pipelined_request(self) -> None:
        """The beginning of a request may come together with the one before."""
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        connection.send(render_request("GET", URL) + b"GET ")
        self.assertEqual(connection.response().status, 200)
        self.pass_time(10)
        self.assert_error(connection.response(), 408)

    def test_headers_in_time_have_no_deadline_any_more(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10"}))
        self.pass_time(15)
        connection.send(DATA)
        self.assertEqual(connection.response().status, 200)
        self.pass_time(60)
        self.assertFalse(connection.closed)

    def test_line_break_after_a_body_starts_no_deadline(self) -> None:
        """Some clients send one (RFC 9112 2.2); the connection is idle then."""
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {}, DATA) + b"\r\n")
        self.assertEqual(connection.response().status, 200)
        self.pass_time(60)
        self.assertEqual(connection.received, b"")
        self.assertFalse(connection.closed)
        self.assertEqual(connection.request("GET", URL).body, DATA)


class IdleTests(FrontTestCase):
    """Good clients keep connections for a minute or more; then it is enough."""

    def test_a_silent_connection_is_closed(self) -> None:
        connection = self.connect()
        self.pass_time(74)
        self.assertFalse(connection.closed)
        self.pass_time(1)
        self.assertTrue(connection.closed)

    def test_each_request_restarts_the_time(self) -> None:
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        for _ in range(3):
            self.assertEqual(connection.request("GET", URL).status, 200)
            self.pass_time(70)
            self.assertFalse(connection.closed)
        self.pass_time(5)
        self.assertTrue(connection.closed)

    def test_after_an_upload(self) -> None:
        self.serve()
        connection = self.connect()
        self.assertEqual(connection.request("PUT", URL, {}, DATA).status, 200)
        self.pass_time(74)
        self.assertFalse(connection.closed)
        self.pass_time(1)
        self.assertTrue(connection.closed)

    def test_time_out_is_configured(self) -> None:
        self.serve(limits=Limits(idle_timeout=200))
        connection = self.connect()
        self.pass_time(199)
        self.assertFalse(connection.closed)
        self.pass_time(1)
        self.assertTrue(connection.closed)


class ClosingTests(FrontTestCase):
    """A connection that is over does not stay, whatever its client does."""

    def test_after_a_response(self) -> None:
        self.serve(limits=Limits(stall_timeout=50))
        connection = self.connect()
        connection.be_stubborn()
        connection.request("GET", URL, {"Connection": "close"})
        self.pass_time(49)
        self.assertFalse(connection.closed, "the client may still be reading")
        self.pass_time(1)
        self.assertTrue(connection.aborted)

    def test_after_a_refusal(self) -> None:
        self.serve(limits=Limits(stall_timeout=50))
        connection = self.connect()
        connection.be_stubborn()
        connection.send(b"nonsense\r\n")
        self.assert_error(connection.response(), 400)
        self.pass_time(55)
        self.assertTrue(connection.aborted)

    def test_idle_one_when_the_server_stops(self) -> None:
        """There is nothing left to be read."""
        connection = self.connect()
        connection.be_stubborn()
        drained = self.front.site.drain(60)
        self.pass_time(3)
        self.assertTrue(connection.aborted)
        self.successResultOf(drained)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SlowBodyTests(FrontTestCase):
    """A body has to arrive at some speed, unless it is the server that is slow."""

    def trickle(self, connection: Connection, size: int, seconds: int) -> None:
        for _ in range(seconds):
            connection.send(b"a" * size)
            self.clock.advance(1)

    def start(self, headers: dict[str, str] | None = None, **limits: int) -> Connection:
        self.serve(limits=Limits(**limits))
        connection = self.connect()
        connection.send(render_request("PUT", URL, headers or {"Content-Length": "1000000"}))
        return connection

    def test_one_byte_a_second(self) -> None:
        connection = self.start()
        self.trickle(connection, 1, 19)
        self.assertEqual(connection.received, b"")
        self.trickle(connection, 1, 1)
        self.assert_error(connection.response(), 408)
        self.assert_closed_by_server(connection)
        self.assertEqual(self.front.objects(), {})
        self.assertEqual([line["status"] for line in self.access], [408])

    def test_a_fast_enough_body_is_waited_for(self) -> None:
        connection = self.start()
        self.trickle(connection, 1024, 200)
        self.assertEqual(connection.received, b"")
        self.assertFalse(connection.closed)

    def test_rate_is_measured_again_and_again(self) -> None:
        """A good beginning does not excuse what follows."""
        connection = self.start()
        self.trickle(connection, 20000, 20)
        self.trickle(connection, 1, 20)
        self.assert_error(connection.response(), 408)

    def test_a_slow_chunked_body_is_refused(self) -> None:
        connection = self.start({"Transfer-Encoding": "chunked"})
        for _ in range(20):
            connection.send(b"1\r\na\r\n")
            self.clock.advance(1)
        self.assert_error(connection.response(), 408)
        self.assert_closed_by_server(connection)
        self.assertEqual(self.front.objects(), {})

    def test_a_slow_json_body_is_refused(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(
            render_request("POST", "/org/repo/objects/batch", {"Content-Length": "1000"})
        )
        self.pass_time(20)
        self.assert_error(connection.response(), 408)
        self.assert_closed_by_server(connection)

    def test_rate_is_configured(self) -> None:
        connection = self.start(body_min_rate=10, body_rate_window=5)
        self.trickle(connection, 10, 50)
        self.assertEqual(connection.received, b"")
        self.trickle(connection, 9, 5)
        self.assert_error(connection.response(), 408)

    def test_no_rate_at_all(self) -> None:
        """The idle time-out is left then."""
        connection = self.start(body_min_rate=0)
        for _ in range(4):
            connection.send(b"a")
            self.pass_time(74)
        self.assertFalse(connection.closed)
        self.pass_time(1)
        self.assertTrue(connection.closed)
        self.assertEqual(self.front.objects(), {})


class ConnectionsPerAddressTests(FrontTestCase):
    """Nobody gets all the connections."""

    def occupy(self, peers: list[object], limit: int = 3, **options: object) -> list[Connection]:
        self.serve(limits=Limits(connections_per_address=limit), **options)
        return [self.connect(peer) for peer in peers]

    def test_one_too_many(self) -> None:
        self.occupy([IPv4Address("TCP", "203.0.113.1", n) for n in range(3)])
        connection = self.connect(IPv4Address("TCP", "203.0.113.1", 4))
        self.pass_time(1)
        self.assertEqual(connection.received, b"", "the answer comes before the question")
        response = connection.request("GET", URL)
        self.assert_error(response, 429)
        self.assertEqual(response.headers["retry-after"], "5")
        self.assertEqual(response.headers["connection"], "close")
        self.assert_closed_by_server(connection)
        (line,) = self.access
        self.assertEqual(line["status"], 429)
        self.assertEqual(line["request_id"], response.json["request_id"])

    def test_refused_connection_takes_no_request(self) -> None:
        self.occupy([IPv4Address("TCP", "203.0.113.1", n) for n in range(3)])
        connection = self.connect(IPv4Address("TCP", "203.0.113.1", 4))
        connection.send(render_request("PUT", URL, {}, DATA))
        self.assert_error(connection.response(), 429)
        self.assertEqual(connection.received, b"")
        self.assertEqual(self.front.objects(), {})

    def test_refused_connection_asks_nothing(self) -> None:
        """It is not kept for long."""
        self.occupy([IPv4Address("TCP", "203.0.113.1", n) for n in range(3)])
        connection = self.connect(IPv4Address("TCP", "203.0.113.1", 4))
        self.pass_time(2)
        self.assertTrue(connection.closed)
        self.assertEqual(connection.received, b"")

    def test_other_addresses_are_not_concerned(self) -> None:
        self.occupy([IPv4Address("TCP", "203.0.113.1", n) for n in range(3)])
        other = self.connect(IPv4Address("TCP", "203.0.113.2", 1))
        self.assertEqual(other.request("GET", URL).status, 404)

    def test_closed_connections_do_not_count(self) -> None:
        first, *_ = self.occupy([IPv4Address("TCP", "203.0.113.1", n) for n in range(3)])
        first.disconnect()
        again = self.connect(IPv4Address("TCP", "203.0.113.1", 4))
        self.assertEqual(again.request("GET", URL).status, 404)

    def test_refused_connections_do_not_count(self) -> None:
        first, *_ = self.occupy([IPv4Address("TCP", "203.0.113.1", n) for n in range(3)])
        for n in range(5):
            refused = self.connect(IPv4Address("TCP", "203.0.113.1", 10 + n))
            self.assert_error(refused.request("GET", URL), 429)
            self.assert_closed_by_server(refused)
        first.disconnect()
        again = self.connect(IPv4Address("TCP", "203.0.113.1", 4))
        self.assertEqual(again.request("GET", URL).status, 404)

    def test_ipv6_networks_count_as_one(self) -> None:
        """One client has a whole /64."""
        self.occupy([IPv6Address("TCP", f"2001:db8:1:1::{n}", n) for n in range(1, 4)])
        same = self.connect(IPv6Address("TCP", "2001:db8:1:1:ffff::1", 1))
        self.assert_error(same.request("GET", URL), 429)
        other = self.connect(IPv6Address("TCP", "2001:db8:1:2::1", 1))
        self.assertEqual(other.request("GET", URL).status, 404)

    def test_ipv4_in_ipv6_counts_as_ipv4(self) -> None:
        self.occupy([IPv6Address("TCP", "::ffff:203.0.113.1", n) for n in range(3)])
        other = self.connect(IPv6Address("TCP", "::ffff:203.0.113.2", 1))
        self.assertEqual(other.request("GET", URL).status, 404)
        same = self.connect(IPv6Address("TCP", "::ffff:203.0.113.1", 9))
        self.assert_error(same.request("GET", URL), 429)

    def test_trusted_proxies_are_not_limited(self) -> None:
        self.occupy([IPv4Address("TCP", "10.0.0.1", n) for n in range(3)], trusted=["10.0.0.0/8"])
        more = self.connect(IPv4Address("TCP", "10.0.0.1", 9))
        self.assertEqual(more.request("GET", URL).status, 404)

    def test_a_trusted_proxy_with_an_ipv6_address_is_not_limited(self) -> None:
        """It is one address of its network, whose other hosts are limited."""
        proxy = IPv6Address("TCP", "2001:db8:1:1::5", 1)
        self.occupy([proxy] * 3, trusted=["2001:db8:1:1::5"])
        self.assertEqual(self.connect(proxy).request("GET", URL).status, 404)
        other = self.connect(IPv6Address("TCP", "2001:db8:1:1::6", 1))
        self.assert_error(other.request("GET", URL), 429)

    def test_unix_sockets_are_not_limited(self) -> None:
        self.occupy([UNIXAddress(None)] * 3)
        more = self.connect(UNIXAddress(None))
        self.assertEqual(more.request("GET", URL).status, 404)


#: Good requests, to be damaged.
GOOD = (
    render_request("GET", URL, {"Range": "bytes=0-3", "If-None-Match": '"x"', "If-Range": "x"}),
    render_request("HEAD", f"{URL}?filename=a&disposition=inline&jwt=x"),
    render_request("PUT", URL, {"Expect": "100-continue", "Content-Encoding": "x"}, DATA),
    render_request("PUT", URL, {"Transfer-Encoding": "chunked"}) + chunked(DATA[:3], DATA[3:]),
    render_request("POST", "/org/repo/objects/storage/verify", {}, b'{"oid":"x","size":10}'),
    render_request(
        "POST",
        "/org/repo.git/info/lfs/objects/batch",
        {"Authorization": "Basic eDp5", "X-Forwarded-For": "x"},
        batch_body("upload", {"oid": OID, "size": 10, "x-filename": "a"}),
    ),
)

#: What they are damaged with.
BAD = (
    *(bytes([byte]) for byte in b"\r\n\0 :\t%/?#;.,{}[]\x7f\x80\xc3\xff"),
    *(b"\r\n", b"%00", b"..", b"-1", b"9" * 30, b"HTTP/1.0", b"chunked", b"identity", b"PRI"),
    *(b"Host: x\r\n", b"Connection: close\r\n", b"Content-Length: 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Range: bytes=9-\r\n"),
)


class DamagedRequestTests(FrontTestCase):
    """Whatever comes, every answer is a response, and nothing fails inside."""

    @settings(deadline=None, max_examples=rounds(50, 2000))
    @given(
        st.lists(st.sampled_from(GOOD), min_size=1, max_size=3),
        st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from((b"", *BAD))), max_size=4
        ),
        st.floats(0, 1),
        st.booleans(),
    )
    def test_a_damaged_request_gets_a_response(
        self,
        requests: list[bytes],
        damages: list[tuple[float, int, bytes]],
        cut: float,
        leave: bool,
    ) -> None:
        data = b"".join(requests)
        for place, length, replacement in damages:
            start = int(place * len(data))
            data = data[:start] + replacement + data[start + length :]
        self.serve()
        self.front.put(DATA)
        self.events.clear()
        connection = self.connect()
        middle = int(cut * len(data))
        connection.send(data[:middle])
        connection.send(data[middle:])
        if leave:
            connection.disconnect()
        else:
            self.pass_time(100, step=5)
        self.assertTrue(connection.closed)
        for line in self.access:
            self.assertIn(line["status"], {*range(200, 500), 507})
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # A response to HEAD cannot be told from a cut one without more ado.
        if b"HEAD" not in data and not connection.aborted:
            final = 0
            while connection.received:
                response = connection.response()
                final += response.status >= 200
                if response.status >= 400:
                    self.assert_error(response, response.status)
            answered = [line for line in self.access if line["status"] != 499]
            self.assertEqual(final, len(answered))


class RefusalOnTheWireTests(PortTestCase):
    """A refused client gets to read why, although it is still sending."""

    async def refusal_of(self, data: bytes) -> Response:
        await self.serve()

        def client() -> Response:
            with self.peer() as peer:
                peer.send(data)
                return peer.response()

        return await self.in_thread(client)

    async def test_malformed_request_with_a_large_body(self) -> None:
        response = await self.refusal_of(b"nonsense\r\n\r\n" + b"a" * 900_000)
        self.assert_error(response, 400)

    async def test_headers_that_are_far_too_large(self) -> None:
        response = await self.refusal_of(b"GET /" + b"a" * 900_000)
        self.assert_error(response, 431)

    async def test_body_without_a_length(self) -> None:
        response = await self.refusal_of(
            render_request("PUT", URL, {"Transfer-Encoding": "identity"}) + b"a" * 900_000
        )
        self.assert_error(response, 400)

    async def test_one_connection_too_many(self) -> None:
        await self.serve(limits=Limits(connections_per_address=1))

        def client() -> Response:
            with self.peer() as first:
                first.request("GET", URL)
                with self.peer() as second:
                    return second.request("GET", URL)

        self.assert_error(await self.in_thread(client), 429)
