"""Bytes between a client and a store: flow control, and what ends badly."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed
from twisted.web.http import PotentialDataLoss

from giftless.errors import BadRequest, Disconnected
from giftless.storage.remote.client import STALL_TIMEOUT, Request, StoreClient, StoreError
from giftless.storage.remote.streaming import (
    LEAST_WAITING,
    MOST_WAITING,
    WAITING,
    WRITE_SIZE,
    Download,
    Exactly,
    download,
    upload,
)
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.run import CoroutineTestCase
from tests.support.scripted import Asked, Response, ScriptedAgent

REQUEST = Request("GET", "http://s3.example/b/o", {"range": "bytes=0-9"})
PUT = Request("PUT", "http://s3.example/b/o", {})


class DownloadTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = ScriptedAgent(self.clock)
        self.client = StoreClient(self.agent.client(), self.clock, 20, 4)
        self.began = self.start(download(self.client, REQUEST))

    def begin(self) -> tuple[Any, Response]:
        """Let the store begin its answer."""
        response = self.agent.asked[-1].succeed(206, {"ETag": "x"}, body=None)
        answer, body = self.successResultOf(self.began)
        self.assertEqual((answer.status, answer.headers["etag"]), (206, "x"))
        return body, response

    def test_bytes_are_read_as_they_arrive(self) -> None:
        body, response = self.begin()
        reading = self.start(body.read())
        self.assertNoResult(reading)
        response.protocol.dataReceived(b"ab")
        self.assertEqual(self.successResultOf(reading), [b"ab"])
        response.protocol.dataReceived(b"c")
        response.protocol.dataReceived(b"d")
        response.end()
        self.assertEqual(self.run_now(read_all(body)), b"cd")
        self.assertEqual(self.run_now(body.read()), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(body.received, 4)

    def test_it_asks_for_the_bytes_as_they_are(self) -> None:
        """Even if the store keeps them with a Content-Encoding."""
        headers = self.agent.asked[0].headers
        self.assertIn("identity", headers.getRawHeaders("accept-encoding", []))
        self.assertEqual(headers.getRawHeaders("range"), ["bytes=0-9"])

    def test_a_slow_reader_holds_the_store_up(self) -> None:
        body, response = self.begin()
        response.protocol.dataReceived(bytes(MOST_WAITING - 1))
        self.assertFalse(response.connection.paused)
        response.protocol.dataReceived(b"x")
        self.assertTrue(response.connection.paused)
        self.run_now(body.read())
        # Only when what is there has been used.
        self.assertTrue(response.connection.paused)
        self.start(body.read())
        self.assertFalse(response.connection.paused)

    def test_many_downloads_share_what_may_wait(self) -> None:
        """One has what is left for it when it begins, and never too little."""
        self.begin()
        most = WAITING // LEAST_WAITING + 2
        found = [self.held_at() for _ in range(most)]
        self.assertEqual(found[:3], [MOST_WAITING] * 3)
        self.assertEqual(found[6], WAITING // 8)
        self.assertEqual(found[-1], LEAST_WAITING)

    def test_a_download_that_has_ended_leaves_its_share(self) -> None:
        for _ in range(WAITING // LEAST_WAITING):
            body, _ = self.begin()
            body.close()
            body.close()
            self.began = self.start(download(self.client, REQUEST))
        self.assertEqual(self.held_at(), MOST_WAITING)

    def held_at(self) -> int:
        """Begin another download; returns after how many bytes the store is held up."""
        self.began = self.start(download(self.client, REQUEST))
        _, response = self.begin()
        size = LEAST_WAITING // 2
        while not response.connection.paused:
            response.protocol.dataReceived(bytes(size))
        waiting: int = response.protocol.received
        return waiting

    def test_a_reader_that_is_slow_is_no_stall(self) -> None:
        body, response = self.begin()
        response.protocol.dataReceived(b"x")
        self.clock.advance(10 * STALL_TIMEOUT)
        self.assertEqual(self.run_now(body.read()), [b"x"])
        self.assertFalse(response.connection.aborted)

    def test_a_store_that_stalls_is_cut_off(self) -> None:
        body, response = self.begin()
        for _ in range(3):
            reading = self.start(body.read())
            self.clock.advance(STALL_TIMEOUT - 1)
            response.protocol.dataReceived(b"x")
            self.successResultOf(reading)
        reading = self.start(body.read())
        self.clock.advance(STALL_TIMEOUT)
        self.failureResultOf(reading, StoreError)
        self.assertTrue(response.connection.aborted)
        self.assert_fails(StoreError, body.read())

    def test_a_store_that_never_answers_is_given_up(self) -> None:
        self.clock.advance(STALL_TIMEOUT)
        self.failureResultOf(self.began, StoreError)
        self.assertTrue(self.agent.asked[0].cancelled)

    def test_a_body_that_breaks_off_is_an_error_after_its_bytes(self) -> None:
        for reason in (ResponseFailed([Failure(ConnectionLost())]), PotentialDataLoss()):
            self.setUp()
            body, response = self.begin()
            response.protocol.dataReceived(b"x")
            response.end(reason)
            self.assertEqual(self.run_now(body.read()), [b"x"])
            self.assert_fails(StoreError, body.read())

    def test_closing_cuts_the_connection_once(self) -> None:
        body, response = self.begin()
        body.close()
        self.assertTrue(response.connection.aborted)
        response.connection.aborted = False
        body.close()
        response.protocol.dataReceived(b"late")
        response.end(ConnectionLost())
        self.assertFalse(response.connection.aborted)
        self.assertEqual(body.received, 0)

    def test_closing_after_the_end_leaves_the_connection(self) -> None:
        body, response = self.begin()
        response.protocol.dataReceived(b"x")
        response.end()
        body.close()
        self.assertFalse(response.connection.aborted)

    def test_whoever_closes_with_the_last_byte_leaves_the_connection(self) -> None:
        """Which would be cut while the next request is sent by it."""
        for last, aborted in ((b"cd", False), (b"c", True)):
            self.setUp()
            response = self.agent.asked[-1].succeed(206, {}, body=None, length=4)
            _, body = self.successResultOf(self.began)
            response.protocol.dataReceived(b"ab")
            self.run_now(body.read())
            reading = self.start(self.read_and_close(body))
            response.protocol.dataReceived(last)
            self.successResultOf(reading)
            self.assertEqual(response.connection.aborted, aborted)
            response.end()

    async def read_and_close(self, body: Download) -> None:
        """Close a body in the turn in which more of it comes."""
        await body.read()
        body.close()

    def test_no_answer_is_an_error(self) -> None:
        self.agent.asked[0].fail(ConnectionLost())
        self.failureResultOf(self.began, StoreError)


class ExactlyTests(CoroutineTestCase):
    def test_the_right_length(self) -> None:
        self.assertEqual(self.run_now(read_all(Exactly(ListBody([b"ab", b"c"]), 3))), b"abc")
        self.assertEqual(self.run_now(read_all(Exactly(ListBody([]), 0))), b"")

    def test_a_wrong_length(self) -> None:
        for chunks, length in (([b"ab"], 3), ([b"ab", b"cd"], 3), ([], 1), ([b"x"], 0)):
            self.assert_fails(OSError, read_all(Exactly(ListBody(chunks), length)))


class Wire:
    """The consumer that a connection is, as far as a body's producer sees it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    @property
    def data(self) -> bytes:
        return b"".join(self.written)


class UploadTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = ScriptedAgent(self.clock)
        self.client = StoreClient(self.agent.client(), self.clock, 20, 4)
        self.wire = Wire()
        self.body = HeldBody()

    def begin(self, size: int, body: Any = None) -> Deferred[Any]:
        return self.start(upload(self.client, PUT, size, body or self.body))

    def connect(self) -> tuple[Asked, Deferred[Any]]:
        """Let the connection be made: the producer starts."""
        (asked,) = self.agent.asked
        assert asked.producer is not None
        return asked, asked.producer.startProducing(self.wire)

    def test_a_body_is_sent(self) -> None:
        done = self.begin(5)
        self.assertEqual(self.agent.asked, [], "no connection before there are bytes")
        self.body.provide(b"ab", b"c")
        asked, produced = self.connect()
        assert asked.producer is not None
        self.assertEqual(asked.producer.length, 5)
        self.body.provide(b"de")
        self.assertEqual(self.wire.data, b"abc")
        self.body.provide()
        self.assertEqual(self.wire.data, b"abcde")
        self.assertIsNone(self.successResultOf(produced))
        asked.succeed(200, {"ETag": "x"}, b"thanks")
        answer = self.successResultOf(done)
        self.assertEqual((answer.status, answer.body), (200, b"thanks"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_last_bytes_wait_for_the_end(self) -> None:
        """However the body is cut into pieces, it is never complete before it is verified."""
        for chunks in (
            [b"abcde"], [b"a", b"b", b"c", b"d", b"e"], [b"abcd", b"e"], [b"", b"abc", b"", b"de"],
        ):  # fmt: skip
            for failure in (BadRequest("wrong"), Disconnected("gone")):
                self.setUp()
                done = self.begin(5, ListBody(chunks, failure))
                asked, produced = self.connect()
                self.failureResultOf(produced, type(failure))
                self.assertLess(len(self.wire.data), 5)
                asked.fail(ResponseFailed([Failure(failure)]))
                self.assertIs(self.failureResultOf(done).value, failure)

    def test_a_body_that_fails_at_once_makes_no_connection(self) -> None:
        done = self.begin(5, ListBody([], Disconnected("gone")))
        self.failureResultOf(done, Disconnected)
        self.assertEqual(self.agent.asked, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_slow_store_holds_the_client_up(self) -> None:
        self.begin(5)
        self.body.provide(b"a")
        asked, _ = self.connect()
        self.body.provide(b"b")
        self.body.provide(b"c")
        self.assertEqual(self.wire.data, b"ab")
        producer: Any = asked.producer
        producer.pauseProducing()
        self.body.provide(b"d")
        self.assertEqual(self.wire.data, b"ab")
        self.assertFalse(self.body.wanted)
        producer.resumeProducing()
        self.assertEqual(self.wire.data, b"abc")
        self.assertTrue(self.body.wanted)

    def test_large_pieces_are_cut(self) -> None:
        """So that the pauses of the connection have an effect."""
        data = bytes(5 * WRITE_SIZE // 2)
        done = self.begin(len(data), ListBody([data]))
        asked, _ = self.connect()
        self.assertEqual(self.wire.data, data)
        self.assertLessEqual(max(map(len, self.wire.written)), WRITE_SIZE)
        asked.succeed(200)
        self.successResultOf(done)

    def assert_stalls(self, done: Deferred[Any], asked: Asked) -> None:
        self.clock.advance(STALL_TIMEOUT - 1)
        self.assertNoResult(done)
        self.clock.advance(1)
        self.failureResultOf(done, StoreError)
        self.assertTrue(asked.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_store_that_cannot_be_connected_to_is_given_up(self) -> None:
        done = self.begin(2)
        self.body.provide(b"a")
        self.assert_stalls(done, self.agent.asked[0])

    def test_a_store_that_stops_taking_is_cut_off(self) -> None:
        done = self.begin(2)
        self.body.provide(b"a")
        asked, _ = self.connect()
        producer: Any = asked.producer
        producer.pauseProducing()
        self.body.provide(b"b")
        self.assert_stalls(done, asked)

    def test_a_store_that_never_acknowledges_is_cut_off(self) -> None:
        done = self.begin(1, ListBody([b"a"]))
        asked, _ = self.connect()
        self.assert_stalls(done, asked)

    def test_a_client_that_is_slow_is_no_stall(self) -> None:
        """The front has limits of its own for that."""
        done = self.begin(2)
        self.body.provide(b"a")
        asked, _ = self.connect()
        self.clock.advance(100 * STALL_TIMEOUT)
        self.assertNoResult(done)
        self.body.provide(b"b")
        self.clock.advance(100 * STALL_TIMEOUT)
        self.body.provide()
        asked.succeed(200)
        self.assertEqual(self.successResultOf(done).status, 200)

    def test_a_store_that_goes_away_ends_it(self) -> None:
        done = self.begin(2)
        self.body.provide(b"a")
        asked, produced = self.connect()
        producer: Any = asked.producer
        producer.stopProducing()
        asked.fail(RequestTransmissionFailed([Failure(ConnectionLost())]))
        self.assertIn("ConnectionLost", self.failureResultOf(done, StoreError).value.problem)
        self.assertNoResult(produced)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_store_that_refuses_early_ends_it(self) -> None:
        """Its answer counts, whatever else the client would have sent."""
        done = self.begin(20)
        self.body.provide(b"a")
        asked, _ = self.connect()
        asked.succeed(403, {}, b"<Code>AccessDenied</Code>")
        self.assertEqual(self.successResultOf(done).status, 403)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_long_answer_is_not_kept(self) -> None:
        done = self.begin(1, ListBody([b"a"]))
        asked, _ = self.connect()
        response = asked.succeed(500, {}, body=None)
        for _ in range(50):
            response.protocol.dataReceived(bytes(100_000))
        response.end()
        self.assertEqual(len(self.successResultOf(done).body), 1024 * 1024)

    def test_an_answer_that_never_ends_is_cut_off(self) -> None:
        done = self.begin(1, ListBody([b"a"]))
        asked, _ = self.connect()
        response = asked.succeed(500, {}, body=None)
        self.clock.advance(STALL_TIMEOUT)
        self.assertTrue(response.connection.aborted)
        response.end(ConnectionLost())
        self.failureResultOf(done, StoreError)
