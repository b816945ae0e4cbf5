"""What arrives over one connection to a receiver, however it is cut into pieces."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from giftless.observers.webhooks.connection import (
    MAX_ANSWER,
    Answer,
    BadAnswer,
    ReceiverConnection,
)

OK = b"HTTP/1.1 204 No Content\r\n\r\n"

#: Answers and what they mean, whatever pieces they come in.
ANSWERS = (
    (OK, Answer(204)),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Answer(200)),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Answer(200)),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
     Answer(503, "7")),
    (b"HTTP/1.1 103 Early\r\nRetry-After: 9\r\n\r\n" + OK, Answer(204)),
    (b"HTTP/1.1 429 X\r\nRETRY-AFTER: \xff\r\nContent-Length: 0\r\n\r\n", Answer(429, "\xff")),
)  # fmt: skip


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.connect()

    def connect(self) -> None:
        """Open a connection."""
        self.connection = ReceiverConnection(self.clock)
        self.transport = StringTransport()
        self.connection.makeConnection(self.transport)

    def ask(self) -> Deferred[Answer]:
        """Send a request."""
        return self.connection.ask(b"request")

    def say(self, data: bytes) -> None:
        """Let the receiver send something, unless the connection is cut."""
        if not self.transport.disconnecting and not self.transport.disconnected:
            self.connection.dataReceived(data)

    def assert_cut(self) -> None:
        self.assertTrue(self.transport.disconnected or self.transport.disconnecting)
        self.assertFalse(self.connection.usable)

    @given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 120), max_size=5))
    @example(ANSWERS[3], [])
    @example(ANSWERS[3], [25, 26])
    def test_pieces_do_not_matter(self, exchange: tuple[bytes, Answer], cuts: list[int]) -> None:
        data, answer = exchange
        self.connect()
        asking = self.ask()
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in itertools.pairwise(places):
            if start < end:
                self.assertNoResult(asking)
                self.say(data[start:end])
        self.assertEqual(self.successResultOf(asking), answer)
        self.assertTrue(self.connection.usable)

    def test_requests_follow_each_other(self) -> None:
        for data, answer in ANSWERS:
            asking = self.ask()
            self.assertFalse(self.connection.usable)
            self.say(data)
            self.assertEqual(self.successResultOf(asking), answer)
        self.assertEqual(self.transport.value(), b"request" * len(ANSWERS))

    def test_an_idle_connection_is_closed(self) -> None:
        asking = self.ask()
        self.say(OK)
        self.successResultOf(asking)
        self.clock.advance(9)
        again = self.ask()
        self.clock.advance(30)
        self.say(OK)
        self.successResultOf(again)
        self.assertTrue(self.connection.usable)
        self.clock.advance(10)
        self.assert_cut()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_receiver_that_wants_to_close_is_not_asked_again(self) -> None:
        for data in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        ):
            self.connect()
            asking = self.ask()
            self.say(data)
            self.assertEqual(self.successResultOf(asking), Answer(200))
            self.assert_cut()

    def test_what_follows_an_answer_counts_for_nothing(self) -> None:
        for more in (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", b"nonsense", b"HTTP/1.1 410"):
            self.connect()
            asking = self.ask()
            self.say(OK + more)
            self.assertEqual(self.successResultOf(asking), Answer(204), more)
            self.assert_cut()

    def test_what_nobody_has_asked_for_closes_the_connection(self) -> None:
        asking = self.ask()
        self.say(OK)
        self.successResultOf(asking)
        self.say(b"HTTP/1.1 410 Gone\r\n\r\n")
        self.assert_cut()

    def test_an_answer_may_end_with_its_connection(self) -> None:
        asking = self.ask()
        self.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        self.assertNoResult(asking)
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(asking), Answer(200))
        self.assertFalse(self.connection.usable)

    def test_an_answer_that_is_cut_short_is_none(self) -> None:
        for data, end in (
            (b"", ConnectionDone()),
            (b"HTTP/1.1 200 OK\r\n", ConnectionDone()),
            (b"HTTP/1.1 100 Continue\r\n\r\n", ConnectionDone()),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", ConnectionDone()),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", ConnectionDone()),
            (b"HTTP/1.1 200 OK\r\n\r\nabc", ConnectionLost()),
        ):
            self.connect()
            asking = self.ask()
            self.say(data)
            self.connection.connectionLost(Failure(end))
            self.failureResultOf(asking, type(end))

    def test_what_is_no_answer_is_refused(self) -> None:
        for data in (
            *(b"\x00", b"SSH-2.0-x\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n"),
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ):
            self.connect()
            asking = self.ask()
            self.say(data)
            self.failureResultOf(asking, BadAnswer)
            self.assert_cut()

    def test_of_a_long_answer_the_status_counts(self) -> None:
        asking = self.ask()
        self.say(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * MAX_ANSWER)
        self.assertEqual(self.successResultOf(asking), Answer(200))
        self.assert_cut()

    def test_headers_and_interim_answers_without_an_end_are_none(self) -> None:
        for piece in (b"X: " + b"x" * 1000 + b"\r\n", b"HTTP/1.1 102 Processing\r\n\r\n" * 40):
            self.connect()
            asking = self.ask()
            self.say(b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
            for _ in range(MAX_ANSWER // len(piece) + 1):
                self.say(piece)
            self.failureResultOf(asking, BadAnswer)
            self.assert_cut()

    def test_a_request_that_is_given_up_cuts_the_connection(self) -> None:
        asking = self.ask()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assert_cut()
        self.connection.connectionLost(Failure(ConnectionLost()))

    def test_the_end_is_waited_for(self) -> None:
        gone = self.connection.close()
        self.assert_cut()
        self.assertNoResult(gone)
        self.connection.connectionLost(Failure(ConnectionLost()))
        self.successResultOf(gone)
        self.successResultOf(self.connection.close())
