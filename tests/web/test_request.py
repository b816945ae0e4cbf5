"""Requests that start when their headers have arrived.

Early answers, ``100 Continue``, bodies that nobody wants, pipelining, back-pressure
and clients that go away.
"""

from __future__ import annotations

import errno
import gc
import os
import weakref
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.web.resource import Resource

from giftless.web.limits import Limits
from giftless.web.request import DRAIN_BYTES, LINGER_SECONDS, LFSRequest
from tests.support.blocking import ManualBlocking
from tests.support.making import oid_of, writer
from tests.support.memory import MemoryStore
from tests.web.support import (
    CLIENT,
    GIT_LFS,
    Connection,
    FrontTestCase,
    PortTestCase,
    Response,
    batch_body,
    chunked,
    parse_response,
    render_request,
    storage_url,
)

DATA = b"some bytes"
OID = oid_of(DATA)
URL = storage_url(OID)

MIB = 1024 * 1024


class EarlyAnswerTests(FrontTestCase):
    """An answer that needs no body does not wait for it."""

    def start(self, headers: dict[str, str], url: str = URL, method: str = "PUT") -> Connection:
        """Send a request's head alone."""
        connection = self.connect()
        connection.send(render_request(method, url, headers))
        return connection

    def test_a_401_does_not_wait_for_the_body(self) -> None:
        self.serve(authenticators=[])
        connection = self.start({"Content-Length": "10"})
        self.assert_error(connection.response(), 401)

    def test_a_400_does_not_wait_for_the_body(self) -> None:
        connection = self.start({"Content-Length": "10"}, storage_url("no-oid"))
        self.assert_error(connection.response(), 400)

    def test_413_for_an_object(self) -> None:
        self.serve(limits=Limits(object_size=1000))
        connection = self.start({"Content-Length": "1001"})
        self.assert_error(connection.response(), 413)

    def test_413_for_a_request(self) -> None:
        self.serve(limits=Limits(request_body=1000))
        for url in ("/org/repo/objects/batch", "/org/repo/objects/storage/verify"):
            connection = self.start({"Content-Length": "1001"}, url, "POST")
            self.assert_error(connection.response(), 413)

    def test_a_404_does_not_wait_for_the_body(self) -> None:
        connection = self.start({"Content-Length": "10"}, "/nothing")
        self.assert_error(connection.response(), 404)

    def test_a_405_does_not_wait_for_the_body(self) -> None:
        connection = self.start({"Content-Length": "10"}, method="POST")
        self.assert_error(connection.response(), 405)

    def test_answer_to_a_small_body_keeps_the_connection(self) -> None:
        """The body is read and dropped; then the next request follows."""
        self.serve(limits=Limits(object_size=1000))
        connection = self.start({"Content-Length": str(MIB)})
        response = connection.response()
        self.assert_error(response, 413)
        self.assertNotIn("connection", response.headers)
        for _ in range(16):
            connection.send(b"a" * (MIB // 16))
        self.assertEqual(connection.held_up, 0)
        self.assertEqual(connection.request("PUT", URL, {}, DATA).status, 200)
        self.assertEqual([line["status"] for line in self.access], [413, 200])

    def test_small_body_that_does_not_come(self) -> None:
        """Waiting for it has an end, without a second answer."""
        self.serve(authenticators=[])
        connection = self.start({"Content-Length": "10000"})
        self.assert_error(connection.response(), 401)
        self.pass_time(25)
        self.assertTrue(connection.closed)
        self.assertEqual(connection.received, b"")
        self.assertEqual([line["status"] for line in self.access], [401])

    def test_answer_to_a_large_body_ends_the_connection(self) -> None:
        self.serve(authenticators=[])
        connection = self.start({"Content-Length": str(MIB + 1)})
        response = connection.response()
        self.assert_error(response, 401)
        self.assertEqual(response.headers["connection"], "close")
        self.assertFalse(connection.closed, "the client must be able to read the answer")
        self.pass_time(LINGER_SECONDS)
        self.assertTrue(connection.closed)

    def test_answer_to_a_body_of_unknown_length_ends_the_connection(self) -> None:
        self.serve(authenticators=[])
        connection = self.start({"Transfer-Encoding": "chunked"})
        response = connection.response()
        self.assert_error(response, 401)
        self.assertEqual(response.headers["connection"], "close")
        connection.send(chunked(DATA))
        self.assertTrue(connection.closed, "the body is over, so there is nothing to wait for")

    def test_client_that_ignores_the_answer(self) -> None:
        """It may send about a mebibyte and a few seconds more, and is cut off then."""
        self.serve(authenticators=[])
        connection = self.start({"Content-Length": str(1024 * MIB)})
        connection.send(b"a" * (10 * MIB))
        taken = 10 * MIB - connection.held_up
        self.assertGreaterEqual(taken, DRAIN_BYTES)
        self.assertLess(taken, 2 * DRAIN_BYTES)
        self.pass_time(LINGER_SECONDS)
        self.assertTrue(connection.closed)
        self.assertEqual([line["status"] for line in self.access], [401])

    def test_refused_request_ends_the_connection_too(self) -> None:
        """One that is malformed, not only unwelcome."""
        connection = self.start({"Host": "a/b", "Content-Length": "100000"})
        connection.send(b"a" * 1000)
        response = connection.response()
        self.assert_error(response, 400)
        self.assertEqual(response.headers["connection"], "close")
        self.pass_time(LINGER_SECONDS)
        self.assertTrue(connection.closed)

    def test_client_reads_the_answer_and_leaves(self) -> None:
        self.serve(authenticators=[])
        connection = self.start({"Content-Length": str(1024 * MIB)})
        self.assert_error(connection.response(), 401)
        connection.disconnect()
        self.pass_time(10)
        self.assertEqual([line["status"] for line in self.access], [401])

    def test_no_file_is_made_for_a_body_that_does_not_come(self) -> None:
        connection = self.start({"Content-Length": "10"})
        self.assertEqual(self.front.objects(), {})
        self.assertEqual(connection.received, b"")

    def test_http_1_0(self) -> None:
        self.serve(authenticators=[])
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10"}, version="HTTP/1.0"))
        self.assert_error(connection.response(), 401)
        self.assert_closed_by_server(connection)


class ContinueTests(FrontTestCase):
    """``Expect: 100-continue`` is answered when the body is wanted, and only then."""

    EXPECT = {"Expect": "100-continue"}

    def start(self, headers: dict[str, str] | None = None, **options: Any) -> Connection:
        self.serve(**options)
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {"Content-Length": "10", **self.EXPECT, **(headers or {})})
        )
        return connection

    def test_a_wanted_body_is_asked_for(self) -> None:
        connection = self.start()
        self.assertEqual(connection.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(connection.response().status, 100)
        connection.send(DATA)
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})

    def test_case_does_not_matter(self) -> None:
        connection = self.start({"Expect": "100-Continue"})
        self.assertEqual(connection.response().status, 100)

    def test_a_wanted_json_body_is_asked_for(self) -> None:
        self.serve()
        body = batch_body("upload", {"oid": OID, "size": 10})
        connection = self.connect()
        connection.send(
            render_request(
                "POST",
                "/org/repo/objects/batch",
                {"Content-Length": str(len(body)), **self.EXPECT},
            )
        )
        self.assertEqual(connection.response().status, 100)
        connection.send(body)
        self.assertEqual(connection.response().status, 200)

    def test_an_unwanted_body_ends_the_connection(self) -> None:
        """The body may come or not come then, so the connection ends."""
        connection = self.start(authenticators=[])
        response = connection.response()
        self.assert_error(response, 401)
        self.assertEqual(response.headers["connection"], "close")
        self.assertEqual(connection.received, b"")
        self.assert_closed_by_server(connection)

    def test_a_too_large_body_is_not_asked_for(self) -> None:
        connection = self.start(limits=Limits(object_size=9))
        self.assert_error(connection.response(), 413)

    def test_a_malformed_request_is_not_asked_for_its_body(self) -> None:
        connection = self.start({"Connection": "close, keep-alive"})
        self.assert_error(connection.response(), 400)

    def test_http_1_0_is_not_told(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(
            render_request(
                "PUT", URL, {"Content-Length": "10", **self.EXPECT}, DATA, version="HTTP/1.0"
            )
        )
        self.assertEqual(connection.response().status, 200)

    def test_body_without_waiting(self) -> None:
        """Clients need not wait for long."""
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, self.EXPECT, DATA))
        self.assertEqual(connection.response().status, 100)
        self.assertEqual(connection.response().status, 200)

    def test_waiting_for_the_invitation_is_not_slow(self) -> None:
        """A client is not measured while it is the server that has to speak."""
        blocking = ManualBlocking()
        self.serve(authenticators=[Deciding(blocking)])
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Content-Length": "10", **self.EXPECT}))
        self.pass_time(60)
        self.assertEqual(connection.received, b"")
        blocking.do_next()
        self.assertEqual(connection.response().status, 100)
        connection.send(DATA)
        self.assertEqual(connection.response().status, 200)


class Deciding:
    """An authenticator that takes its time."""

    def __init__(self, blocking: ManualBlocking) -> None:
        self._blocking = blocking

    async def authenticate(self, credentials: Any, repo: Any) -> Any:
        return await self._blocking.run(writer)


class ChunkedTests(FrontTestCase):
    """Bodies of unknown length."""

    def test_an_upload_may_be_chunked(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(render_request("PUT", URL, {"Transfer-Encoding": "chunked"}))
        for byte in chunked(DATA[:3], DATA[3:]):
            self.assertEqual(connection.received, b"")
            connection.send(bytes([byte]))
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(self.front.objects(), {f"org/repo/{OID}": DATA})

    def test_extensions_and_trailers_are_ignored(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {"Transfer-Encoding": "Chunked"})
            + b"a;name=value\r\n%b\r\n0\r\nContent-Length: 3\r\n\r\n" % DATA
        )
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(connection.request("GET", URL).body, DATA)

    def test_a_batch_may_be_chunked(self) -> None:
        body = batch_body("upload", {"oid": OID, "size": 10})
        self.serve()
        connection = self.connect()
        connection.send(
            render_request("POST", "/org/repo/objects/batch", {"Transfer-Encoding": "chunked"})
            + chunked(body[:20], body[20:])
        )
        self.assertEqual(connection.response().status, 200)

    def test_batch_that_is_too_large(self) -> None:
        """It is refused when it becomes too large."""
        self.serve(limits=Limits(request_body=1000))
        connection = self.connect()
        connection.send(
            render_request("POST", "/org/repo/objects/batch", {"Transfer-Encoding": "chunked"})
            + chunked(b"[" * 600, b"]" * 600)
        )
        self.assert_error(connection.response(), 413)

    def test_object_that_is_too_large(self) -> None:
        self.serve(limits=Limits(object_size=1000))
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {"Transfer-Encoding": "chunked"}) + chunked(b"a" * 1001)
        )
        self.assert_error(connection.response(), 413)
        self.assertEqual(self.front.objects(), {})

    def test_request_after_a_chunked_one(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {"Transfer-Encoding": "chunked"})
            + chunked(DATA)
            + render_request("GET", URL)
        )
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(connection.response().body, DATA)


class PersistenceTests(FrontTestCase):
    """Many requests on one connection, whatever becomes of them."""

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """Requests in one packet are answered in order."""
        self.serve()
        others = [b"object %d" % n for n in range(5)]
        connection = self.connect()
        connection.send(
            b"".join(
                render_request("PUT", storage_url(oid_of(other)), {}, other)
                + render_request("GET", storage_url(oid_of(other)))
                for other in others
            )
        )
        for other in others:
            self.assertEqual(connection.response().status, 200)
            self.assertEqual(connection.response().body, other)
        self.assertEqual(len(self.access), 10)

    def test_pipelined_byte_by_byte(self) -> None:
        self.serve()
        connection = self.connect()
        for byte in render_request("PUT", URL, {}, DATA) + render_request("GET", URL):
            connection.send(bytes([byte]))
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(connection.response().body, DATA)

    def test_pipelined_requests_wait_for_their_turn(self) -> None:
        """A request is not begun while the one before is being answered."""
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        connection = self.connect()
        connection.send(render_request("GET", URL) * 2)
        self.assertEqual(blocking.waiting, 1)
        blocking.do_next()
        self.assert_error(connection.response(), 404)
        self.assertEqual(connection.received, b"")
        # More than one on a busy machine, where the first lookup took long.
        while blocking.waiting:
            blocking.do_next()
        self.assert_error(connection.response(), 404)

    def test_endless_pipelining_is_held_up(self) -> None:
        """What waits for its turn is bounded."""
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        connection = self.connect()
        count = 20000
        connection.send(render_request("GET", URL) * count)
        self.assertGreater(connection.held_up, len(render_request("GET", URL)) * count // 2)

    def test_pipelined_behind_an_unwanted_body(self) -> None:
        self.serve(limits=Limits(object_size=10))
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {}, b"a" * 1000)
            + render_request("PUT", URL, {}, DATA)
            + render_request("GET", URL)
        )
        self.assert_error(connection.response(), 413)
        self.assertEqual(connection.response().status, 200)
        self.assertEqual(connection.response().body, DATA)

    def test_body_that_looks_like_a_request(self) -> None:
        """An unwanted body is not parsed."""
        self.serve(limits=Limits(object_size=10))
        smuggled = render_request("PUT", URL, {}, DATA)
        connection = self.connect()
        connection.send(render_request("PUT", URL, {}, smuggled))
        self.assert_error(connection.response(), 413)
        self.assertEqual(connection.received, b"")
        self.assertEqual(self.front.objects(), {})

    def test_a_connection_outlives_errors(self) -> None:
        """Errors that are not about the connection do not end it."""
        self.serve(limits=Limits(object_size=100, request_body=2000))
        connection = self.connect()
        batch = "/org/repo/objects/batch"
        for status, method, url, body in [
            (404, "GET", URL, b""),
            (404, "HEAD", URL, b""),
            (404, "PUT", "/nothing", b"abc"),
            (400, "PUT", URL, b"something else"),
            (400, "PUT", storage_url("no-oid"), DATA),
            (405, "DELETE", URL, b""),
            (405, "POST", URL, DATA),
            (413, "PUT", URL, b"a" * 101),
            (413, "POST", batch, b"a" * 2001),
            (400, "POST", batch, b"no json"),
            (422, "POST", batch, b"{}"),
            (400, "POST", "/a/../objects/batch", b"{}"),
        ]:
            response = connection.request(method, url, {}, body)
            self.assertEqual(response.status, status, (method, url))
            self.assertNotIn("connection", response.headers)
        self.assertEqual(connection.request("PUT", URL, {}, DATA).status, 200)
        self.assertEqual(connection.received, b"")

    def test_after_not_modified(self) -> None:
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        response = connection.request("GET", URL, {"If-None-Match": "*"})
        self.assertEqual(response.status, 304)
        self.assertEqual(connection.request("GET", URL).body, DATA)

    def test_download_with_a_body(self) -> None:
        """A GET may have one; it means nothing."""
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        self.assertEqual(connection.request("GET", URL, {}, b"what for?").body, DATA)
        self.assertEqual(connection.request("GET", URL).body, DATA)

    def test_client_asks_to_close(self) -> None:
        self.serve()
        self.front.put(DATA)
        for value in ("close", "Close", "x, close"):
            connection = self.connect()
            connection.send(
                render_request("GET", URL, {"Connection": value}) + render_request("GET", URL)
            )
            response = connection.response()
            self.assertEqual(response.headers["connection"], "close")
            self.assertEqual(response.body, DATA)
            self.assertTrue(connection.closed)
            self.assertEqual(connection.received, b"", "the second request was answered")

    def test_http_1_0_closes(self) -> None:
        self.serve()
        self.front.put(DATA)
        connection = self.connect()
        connection.send(render_request("GET", URL, version="HTTP/1.0"))
        response = connection.response()
        self.assertEqual(response.body, DATA)
        self.assertEqual(response.headers["connection"], "close")
        self.assertTrue(connection.closed)


class DisconnectionTests(FrontTestCase):
    """A client may go away at any time."""

    def upload(self, sent: int, blocking: Any = None) -> Connection:
        """Start an upload of 4 MiB, of which ``sent`` bytes arrive."""
        self.serve(**({"blocking": blocking} if blocking else {}))
        self.data = os.urandom(4 * MIB)
        self.url = storage_url(oid_of(self.data))
        connection = self.connect()
        connection.send(
            render_request("PUT", self.url, {"Content-Length": str(len(self.data))})
            + self.data[:sent]
        )
        return connection

    def assert_nothing_is_left(self) -> None:
        self.assertEqual(self.front.objects(), {})
        self.assertEqual([line["status"] for line in self.access], [499])
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_before_the_body(self) -> None:
        self.upload(0).disconnect()
        self.assert_nothing_is_left()

    def test_in_the_middle_of_a_body(self) -> None:
        connection = self.upload(3 * MIB)
        self.assertNotEqual(self.front.objects(), {}, "nothing is being written")
        connection.disconnect()
        self.assert_nothing_is_left()

    def test_while_a_thread_writes(self) -> None:
        """What is under way ends first."""
        blocking = ManualBlocking()
        connection = self.upload(3 * MIB, blocking)
        self.assertGreater(blocking.waiting, 0)
        connection.disconnect()
        while blocking.waiting:
            blocking.do_next()
        self.assert_nothing_is_left()

    def test_in_the_middle_of_a_chunked_body(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(
            render_request("PUT", URL, {"Transfer-Encoding": "chunked"})
            + b"%x\r\n%b" % (4 * MIB, b"a" * (3 * MIB))
        )
        connection.disconnect()
        self.assert_nothing_is_left()

    def test_in_the_middle_of_a_batch(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(
            render_request("POST", "/org/repo/objects/batch", {"Content-Length": "100"}) + b"{"
        )
        connection.disconnect()
        self.assert_nothing_is_left()

    def test_between_upload_and_answer(self) -> None:
        """An upload that is being committed is kept, although nobody hears of it."""
        blocking = ManualBlocking()
        self.upload(4 * MIB, blocking)
        jobs = 0
        while blocking.waiting:
            blocking.do_next()
            jobs += 1
        connection = self.upload(4 * MIB, blocking)
        for _ in range(jobs - 2):  # without the commit and the close
            blocking.do_next()
        (temporary,) = self.front.objects().values()
        self.assert_same_bytes(temporary, self.data)
        connection.disconnect()
        while blocking.waiting:
            blocking.do_next()
        self.assert_stored(self.data)
        self.assertEqual([line["status"] for line in self.access], [200, 499])

    def test_before_a_download(self) -> None:
        """The file is closed again."""
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        self.front.put(DATA)
        connection = self.connect()
        connection.send(render_request("GET", URL))
        connection.disconnect()
        while blocking.waiting:
            blocking.do_next()
        links = [Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        opened = [link.readlink().name for link in links if link.is_symlink()]
        self.assertNotIn(OID, opened)
        self.assertEqual([line["status"] for line in self.access], [499])
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_in_the_middle_of_the_headers(self) -> None:
        self.serve()
        connection = self.connect()
        connection.send(b"GET / HTTP/1.1\r\nHost")
        connection.disconnect()
        self.assertEqual(self.access, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_a_pipelined_request_waits(self) -> None:
        """It is never begun."""
        blocking = ManualBlocking()
        self.serve(blocking=blocking)
        connection = self.connect()
        connection.send(render_request("GET", URL) + render_request("PUT", URL, {}, DATA))
        connection.disconnect()
        while blocking.waiting:
            blocking.do_next()
        self.assert_nothing_is_left()


class BackPressureTests(FrontTestCase):
    """A client sends no faster than its body is used."""

    def setUp(self) -> None:
        super().setUp()
        self.blocking = ManualBlocking()
        self.serve(blocking=self.blocking, limits=Limits(memory=4 * MIB))
        self.data = os.urandom(4 * MIB)
        self.url = storage_url(oid_of(self.data))

    def upload(self) -> Connection:
        connection = self.connect()
        connection.send(render_request("PUT", self.url, {}, self.data))
        return connection

    def finish(self) -> None:
        while self.blocking.waiting:
            self.blocking.do_next()
            self.clock.advance(0)

    def test_client_is_held_up(self) -> None:
        connection = self.upload()
        self.assertGreater(connection.held_up, 2 * MIB)
        self.finish()
        self.assertEqual(connection.held_up, 0)
        self.assertEqual(connection.response().status, 200)
        self.assert_stored(self.data)

    def test_several_clients_share_the_memory(self) -> None:
        connections = [self.upload() for _ in range(4)]
        taken = sum(4 * MIB - connection.held_up for connection in connections)
        self.assertLess(taken, 3 * MIB)
        self.finish()
        for connection in connections:
            self.assertEqual(connection.response().status, 200)

    def test_client_that_is_held_up_is_not_timed_out(self) -> None:
        """However long the storage takes; neither as idle nor as slow."""
        connection = self.upload()
        self.pass_time(600)
        self.assertFalse(connection.closed)
        self.finish()
        self.assertEqual(connection.response().status, 200)

    def test_time_outs_are_back_afterwards(self) -> None:
        connection = self.upload()
        self.pass_time(100)
        self.finish()
        self.assertEqual(connection.response().status, 200)
        self.pass_time(74)
        self.assertFalse(connection.closed)
        self.pass_time(1)
        self.assertTrue(connection.closed)

    def test_client_that_stops_is_timed_out_after_all(self) -> None:
        """Once the storage is as far as the client, time counts again."""
        connection = self.connect()
        connection.send(
            render_request("PUT", self.url, {"Content-Length": str(len(self.data))})
            + self.data[: 2 * MIB]
        )
        self.pass_time(100)
        self.finish()
        self.assertEqual(connection.held_up, 0)
        self.pass_time(45)
        self.finish()
        self.assert_error(connection.response(), 408)
        self.assert_closed_by_server(connection)
        self.assertEqual(self.front.objects(), {})

    def test_next_request_after_a_held_up_one(self) -> None:
        connection = self.upload()
        connection.send(render_request("GET", URL))
        self.finish()
        self.assertEqual(connection.response().status, 200)
        self.assert_error(connection.response(), 404)


class PatienceTests(FrontTestCase):
    """git-lfs hears that its request is being worked on while it waits for the answer."""

    def start(self, version: str = "HTTP/1.1", **options: Any) -> Connection:
        self.blocking = ManualBlocking()
        self.serve(blocking=self.blocking, **options)
        connection = self.connect(options.pop("peer", CLIENT))
        connection.send(render_request("GET", URL, {"User-Agent": GIT_LFS}, version=version))
        return connection

    def interim(self, connection: Connection) -> list[int]:
        """Take the interim responses that have come."""
        found = []
        while connection.received.startswith(b"HTTP/1.1 1"):
            found.append(connection.response().status)
        return found

    def test_told_in_time(self) -> None:
        connection = self.start()
        self.pass_time(29)
        self.assertEqual(self.interim(connection), [102])
        self.pass_time(29)
        self.assertEqual(self.interim(connection), [102])
        self.blocking.do_next()
        self.assert_error(connection.response(), 404)
        self.pass_time(60)
        self.assertEqual(connection.received, b"")

    def test_quick_answer_needs_none(self) -> None:
        connection = self.start()
        self.pass_time(10)
        self.blocking.do_next()
        self.assert_error(connection.response(), 404)
        self.pass_time(60)
        self.assertEqual(connection.received, b"")

    def test_http_1_0_does_not_know_them(self) -> None:
        connection = self.start("HTTP/1.0")
        self.pass_time(60)
        self.assertEqual(connection.received, b"")

    def test_proxies_may_not_know_them(self) -> None:
        """nginx takes a 102 for the answer, for one."""
        connection = self.start(trusted=[CLIENT.host])
        self.pass_time(60)
        self.assertEqual(connection.received, b"")

    def test_client_is_gone(self) -> None:
        connection = self.start()
        self.pass_time(10)
        connection.disconnect()
        self.pass_time(60)
        self.assertEqual(connection.received, b"")


class FailureTests(FrontTestCase):
    """Bugs and broken stores become a plain 500, and a traceback in the log."""

    def serve_broken(self) -> None:
        store = MemoryStore()
        store.failure = RuntimeError("secret internals")
        self.serve(store=store)

    def test_a_bug_is_answered_with_a_plain_500(self) -> None:
        self.serve_broken()
        connection = self.connect()
        response = connection.request("GET", URL)
        self.assert_error(response, 500)
        self.assertNotIn(b"internals", response.body)
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(str(failure.value), "secret internals")
        self.assertIn(
            response.json["request_id"], [event.get("request_id") for event in self.events]
        )

    def test_connection_goes_on(self) -> None:
        self.serve_broken()
        connection = self.connect()
        for _ in range(3):
            self.assert_error(connection.request("PUT", URL, {}, DATA), 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)

    def test_what_the_kernel_refuses_is_answered_with_503_and_one_line(self) -> None:
        for code in (errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EACCES, errno.EIO):
            store = MemoryStore()
            store.failure = OSError(code, os.strerror(code))
            self.serve(store=store)
            self.events.clear()
            response = self.request("GET", URL)
            self.assert_error(response, 503)
            self.assertGreater(int(response.headers["retry-after"]), 0)
            text = self.only_error()
            self.assertIn(os.strerror(code), text)
            self.assertIn(response.json["request_id"], text)

    def test_an_error_that_only_looks_like_the_kernel_s_is_a_bug(self) -> None:
        store = MemoryStore()
        store.failure = OSError("no number")
        self.serve(store=store)
        self.assert_error(self.request("GET", URL), 500)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_failure_outside_of_any_handler(self) -> None:
        class Broken(Resource):
            isLeaf = True

            def render(self, request: object) -> bytes:
                raise RuntimeError("secret internals")

        self.serve()
        self.front.site.resource = Broken()
        response = self.request("GET", URL)
        self.assert_error(response, 500)
        self.assertNotIn(b"internals", response.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_broken_authenticator_is_answered_with_500(self) -> None:
        class Broken:
            async def authenticate(self, credentials: object, repo: object) -> None:
                raise KeyError("what?")

        self.serve(authenticators=[Broken()])
        self.assert_error(self.request("GET", URL), 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class OnTheWireTests(PortTestCase):
    """The same with sockets, threads and real time, where those matter."""

    async def test_early_answer_can_be_read_while_sending(self) -> None:
        """A client that sends first and reads then still gets the answer."""
        await self.serve(authenticators=[])

        def client() -> tuple[Response, bytes]:
            with self.peer() as peer:
                peer.send(render_request("PUT", URL, {"Content-Length": str(64 * MIB)}))
                peer.send(b"a" * MIB)
                return peer.response(), b""

        response, _ = await self.in_thread(client)
        self.assert_error(response, 401)
        self.assertEqual(response.headers["connection"], "close")

    async def test_client_that_ignores_the_answer_is_cut_off(self) -> None:
        await self.serve(authenticators=[])

        def client() -> tuple[int, Response]:
            with self.peer(send_buffer=65536) as peer:
                peer.send(render_request("PUT", URL, {"Content-Length": str(1024 * MIB)}))
                sent = peer.send_as_far_as_possible(b"a" * (64 * MIB))
                response, _ = parse_response(peer.read_to_end())
                return sent, response

        started = self.now()
        sent, response = await self.in_thread(client)
        self.assertLess(self.now() - started, LINGER_SECONDS + 30)
        self.assertLess(sent, 16 * MIB)
        self.assert_error(response, 401)

    async def test_client_that_never_reads_its_answers(self) -> None:
        """It is not read either, and costs no memory."""
        await self.serve()
        objects = [{"oid": oid_of(b"%d" % n), "size": n} for n in range(300)]
        batch = render_request(
            "POST", "/org/repo/objects/batch", {}, batch_body("upload", *objects)
        )
        peer = await self.connected(receive_buffer=65536, timeout=5)
        sent = await self.in_background(lambda: peer.send_as_far_as_possible(batch * 1000))
        self.assertLess(sent, len(batch) * 1000)
        channel: Any
        (channel,) = self.front.site._connections._open
        self.assertLess(channel.waiting, MIB)
        answered = len(self.access)
        await self.sleep(0.3)
        self.assertEqual(len(self.access), answered)
        await self.in_thread(lambda: [peer.response() for _ in range(answered)])
        await self.until(lambda: len(self.access) > answered)

    async def test_next_request_waits_until_the_response_is_read(self) -> None:
        """And nothing is stuck afterwards, whatever is asked for in a row."""
        await self.serve()
        objects = [{"oid": oid_of(b"%d" % n), "size": n} for n in range(900)]
        batch = render_request(
            "POST", "/org/repo/objects/batch", {}, batch_body("upload", *objects)
        )
        data = os.urandom(MIB)
        url = storage_url(oid_of(data))
        row = batch + batch + render_request("PUT", url, {}, data) + render_request("GET", url)
        peer = await self.connected(receive_buffer=65536)
        sending = self.in_background(lambda: peer.send(row * 5))
        for _ in range(5):
            await self.sleep(0.05)
            responses = await self.in_thread(lambda: [peer.response() for _ in range(4)])
            self.assertEqual([response.status for response in responses], [200] * 4)
            self.assert_same_bytes(responses[3].body, data)
        await sending

    async def test_a_large_upload_is_stored(self) -> None:
        await self.serve()
        data = os.urandom(6 * MIB + 1)
        url = storage_url(oid_of(data))
        self.assertEqual((await self.request("PUT", url, {}, data)).status, 200)
        self.assert_stored(data)

    async def test_large_chunked_upload(self) -> None:
        await self.serve()
        data = os.urandom(3 * MIB + 1)
        pieces = [data[i : i + 300_000] for i in range(0, len(data), 300_000)]

        def client() -> Response:
            with self.peer() as peer:
                peer.send(
                    render_request(
                        "PUT", storage_url(oid_of(data)), {"Transfer-Encoding": "chunked"}
                    )
                )
                peer.send(chunked(*pieces))
                return peer.response()

        self.assertEqual((await self.in_thread(client)).status, 200)
        self.assert_stored(data)

    async def test_client_goes_away_in_the_middle(self) -> None:
        """Nothing is left, at once."""
        await self.serve()
        data = os.urandom(8 * MIB)
        head = render_request("PUT", storage_url(oid_of(data)), {"Content-Length": str(len(data))})

        def client() -> None:
            with self.peer() as peer:
                peer.send(head + data[: 6 * MIB])

        await self.in_thread(client)
        await self.until(lambda: self.access)
        await self.until(lambda: not self.front.objects())
        self.assertEqual([line["status"] for line in self.access], [499])

    async def test_client_resets_in_the_middle(self) -> None:
        await self.serve()
        head = render_request("PUT", URL, {"Content-Length": str(8 * MIB)})

        def client() -> None:
            with self.peer() as peer:
                peer.send(head + b"a" * (6 * MIB))
                peer.reset()

        await self.in_thread(client)
        await self.until(lambda: self.access)
        await self.until(lambda: not self.front.objects())
        self.assertEqual([line["status"] for line in self.access], [499])

    async def test_eight_uploads_of_one_object(self) -> None:
        """All succeed, and leave one whole object."""
        await self.serve()
        data = os.urandom(MIB)
        url = storage_url(oid_of(data))

        def client() -> int:
            with self.peer() as peer:
                return peer.request("PUT", url, {}, data).status

        statuses = await gatherResults([ensureDeferred(self.in_thread(client)) for _ in range(8)])
        self.assertEqual(statuses, [200] * 8)
        self.assert_stored(data)


class TargetTests(FrontTestCase):
    """The forms of a request's target (RFC 9112 section 3.2)."""

    def ask(self, method: str, target: str, host: str = "lfs.example") -> Response:
        """Send a batch request, or one without a body."""
        body = batch_body("upload", {"oid": OID, "size": 10}) if method == "POST" else b""
        return self.connect().request(method, target, {"Host": host}, body)

    def test_an_absolute_target_names_the_host(self) -> None:
        """The Host header, which must be there, does not count then."""
        self.serve()
        for host in ("other.example:8080", "[::1]:80"):
            for scheme in ("http", "HTTP", "https"):
                target = f"{scheme}://{host}/org/repo/objects/batch"
                (item,) = self.ask("POST", target).json["objects"]
                href = item["actions"]["upload"]["href"]
                self.assertTrue(href.startswith(f"http://{host}/org/repo/"), href)

    def test_an_absolute_target_has_a_query_and_any_path(self) -> None:
        self.serve()
        self.front.put(DATA)
        target = f"http://lfs.example{URL}?filename=a.txt"
        self.assertIn("a.txt", self.ask("GET", target).headers["content-disposition"])
        for target in ("http://lfs.example", "http://lfs.example?a=b"):
            self.assertIn("lfs_url", self.ask("GET", target).json)

    def test_malformed_absolute_targets_are_refused(self) -> None:
        self.serve()
        for target in (
            "http:///org/repo/objects/batch",
            "http://user@lfs.example/org/repo/objects/batch",
            "http://lfs.example:99999999/",
            "http://lfs.example//x",
            "ftp://lfs.example/x",
            "lfs.example:80",
            "*",
        ):
            self.assert_error(self.ask("GET", target), 400)
        self.assert_error(self.ask("GET", "http://lfs.example/", host="a b"), 400)

    def test_options_of_the_whole_server(self) -> None:
        self.serve()
        for target in ("*", "http://lfs.example"):
            response = self.ask("OPTIONS", target)
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(response.headers["allow"], "GET, HEAD, POST, PUT, PATCH, DELETE")


class MemoryTests(FrontTestCase):
    """A request that is over is freed, and not when Python looks for circles."""

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[weakref.ref[object]] = []
        gc.disable()
        self.addCleanup(gc.enable)

    def connect(self, peer: Any = CLIENT) -> Connection:
        """Open a connection whose requests are noted."""
        connection = super().connect(peer)
        serve = connection.channel.serve

        def note(request: LFSRequest) -> None:
            self.requests.append(weakref.ref(request))
            serve(request)

        connection.channel.serve = note
        return connection

    def assert_freed(self, count: int) -> None:
        """Check that there were some requests, and that none is left."""
        self.assertEqual([request() for request in self.requests], [None] * count)

    def test_requests_that_are_answered(self) -> None:
        self.serve()
        self.front.put(b"present")
        many = [{"oid": oid_of(b"%d" % number), "size": 1} for number in range(100)]
        requests = [
            ("POST", "/org/repo/objects/batch", batch_body("upload", *many[:1])),
            ("POST", "/org/repo/objects/batch", batch_body("upload", *many)),
            ("GET", storage_url(oid_of(b"present")), b""),
            ("PUT", URL, DATA),
            ("GET", storage_url(oid_of(b"absent")), b""),
            ("PUT", storage_url("no-oid"), DATA),
        ]
        connection = self.connect()
        for method, url, body in requests:
            head, _, rest = render_request(method, url, {}, body).partition(b"\r\n\r\n")
            connection.send(head + b"\r\n\r\n")
            connection.send(rest)
            connection.response()
        self.assert_freed(len(requests))

    def test_requests_whose_body_nobody_wants(self) -> None:
        connection = self.connect()
        connection.send(render_request("PUT", storage_url("x"), {"Content-Length": "10"}))
        connection.response()
        connection.send(b"0123456789")
        self.assert_freed(1)
