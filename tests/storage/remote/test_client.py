"""Asking a store: retries, patience, and how many questions at once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from giftless.storage.remote.client import (
    ATTEMPT_SHARE,
    FIRST_DELAY,
    MAX_DELAY,
    TRANSIENT,
    Request,
    StoreClient,
    StoreError,
)
from tests.support.run import CoroutineTestCase
from tests.support.scripted import ScriptedAgent


class ClientTests(CoroutineTestCase):
    """One question at a time, unless a test asks more."""

    timeout = 20.0

    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = ScriptedAgent(self.clock)
        self.jitter = 1.0
        self.signed: list[float] = []
        self.client = self.make_client(4)

    def make_client(self, concurrency: int) -> StoreClient:
        return StoreClient(
            self.agent.client(), self.clock, self.timeout, concurrency, lambda: self.jitter
        )

    async def prepare(self) -> Request:
        self.signed.append(self.clock.seconds())
        return Request("HEAD", "http://s3.example/bucket/a%2Fb%20c+d~?x=%2B", {"x-amz-date": "now"})

    def ask(self, timeout: float | None = None) -> Deferred[Any]:
        return self.start(self.client.ask(self.prepare, timeout))

    def assert_gives_up(self, asked: Deferred[Any], words: str) -> None:
        self.assertIn(words, self.failureResultOf(asked, StoreError).value.problem)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.agent.running, [])

    def test_an_answer_is_an_answer(self) -> None:
        """Whatever its status, unless that stands for "not now"."""
        for status in (200, 206, 301, 400, 403, 404, 412, 416, 501, 507):
            asked = self.ask()
            self.agent.asked[-1].succeed(status, {"X-Amz-Thing": "a"}, b"body")
            answer = self.successResultOf(asked)
            self.assertEqual((answer.status, answer.body), (status, b"body"))
            self.assertEqual(answer.headers["x-amz-thing"], "a")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_request_goes_out_as_it_was_signed(self) -> None:
        self.ask()
        (asked,) = self.agent.asked
        self.assertEqual(asked.method, "HEAD")
        self.assertEqual(asked.url, "http://s3.example/bucket/a%2Fb%20c+d~?x=%2B")
        self.assertEqual(asked.headers.getRawHeaders("x-amz-date"), ["now"])
        self.assertIn("identity", asked.headers.getRawHeaders("accept-encoding", []))

    def test_transient_statuses_are_tried_again(self) -> None:
        for status in TRANSIENT:
            asked = self.ask()
            self.agent.asked[-1].succeed(status)
            self.assertNoResult(asked)
            self.clock.advance(FIRST_DELAY)
            self.agent.asked[-1].succeed(200)
            self.assertEqual(self.successResultOf(asked).status, 200)

    def test_lost_connections_are_tried_again(self) -> None:
        for error in (
            ConnectionRefusedError(),
            DNSLookupError("no such host"),
            ConnectionLost(),
            ResponseNeverReceived([Failure(ConnectionLost())]),
            ResponseFailed([Failure(ConnectionLost())]),
        ):
            asked = self.ask()
            self.agent.asked[-1].fail(error)
            self.assertNoResult(asked)
            self.clock.advance(FIRST_DELAY)
            self.agent.asked[-1].succeed(200)
            self.assertEqual(self.successResultOf(asked).status, 200)

    def test_a_body_that_breaks_off_is_asked_for_again(self) -> None:
        asked = self.ask()
        response = self.agent.asked[-1].succeed(200, body=None)
        response.protocol.dataReceived(b"half")
        response.end(ResponseFailed([Failure(ConnectionLost())]))
        self.clock.advance(FIRST_DELAY)
        self.agent.asked[-1].succeed(200, body=b"whole")
        self.assertEqual(self.successResultOf(asked).body, b"whole")

    def test_each_attempt_is_signed_anew(self) -> None:
        self.ask()
        self.agent.asked[-1].succeed(503)
        self.clock.advance(FIRST_DELAY)
        self.agent.asked[-1].succeed(503)
        self.clock.advance(2 * FIRST_DELAY)
        self.assertEqual(len(self.agent.asked), 3)
        for at, expected in zip(self.signed, (0, FIRST_DELAY, 3 * FIRST_DELAY), strict=True):
            self.assertAlmostEqual(at, expected)

    def test_delays_double_up_to_a_limit_and_are_jittered(self) -> None:
        for jitter in (1.0, 0.5):
            self.jitter = jitter
            self.timeout = 60.0
            self.client = self.make_client(4)
            asked = self.ask()
            delays = []
            while self.agent.running:
                at = self.clock.seconds()
                self.agent.asked[-1].succeed(503)
                while not self.agent.running and self.clock.getDelayedCalls():
                    self.clock.advance(0.01)
                if self.agent.running:
                    delays.append(self.clock.seconds() - at)
            self.assert_gives_up(asked, "503")
            self.assertGreater(len(delays), 7)
            expected = FIRST_DELAY
            for delay in delays:
                self.assertLess(abs(delay - jitter * expected), 0.02)
                expected = min(2 * expected, MAX_DELAY)

    def test_the_store_may_ask_for_a_longer_delay(self) -> None:
        self.ask()
        self.agent.asked[-1].succeed(503, {"Retry-After": "7"})
        self.clock.advance(6.9)
        self.assertEqual(self.agent.running, [])
        self.clock.advance(0.2)
        self.assertEqual(len(self.agent.running), 1)

    def test_a_delay_that_does_not_fit_is_not_waited_for(self) -> None:
        asked = self.ask()
        self.agent.asked[-1].succeed(503, {"Retry-After": "60"})
        self.assert_gives_up(asked, "status 503")

    def test_a_retry_after_that_is_no_number_is_ignored(self) -> None:
        for value in ("soon", "-1", "Fri, 31 Dec 1999 23:59:59 GMT", "\u0663"):
            asked = self.ask()
            response = self.agent.asked[-1]
            response.succeed(503, {"Retry-After": value})
            self.clock.advance(FIRST_DELAY)
            self.agent.asked[-1].succeed(200)
            self.successResultOf(asked)

    def test_it_gives_up_when_the_time_is_over(self) -> None:
        asked = self.ask()
        while not asked.called:
            if self.agent.running:
                self.agent.asked[-1].fail(ConnectionRefusedError())
            self.clock.advance(0.1)
        self.assertLessEqual(self.clock.seconds(), self.timeout + 0.2)
        self.assert_gives_up(asked, "ConnectionRefusedError")

    def test_one_attempt_that_hangs_leaves_time_for_another(self) -> None:
        asked = self.ask()
        self.clock.advance(self.timeout * ATTEMPT_SHARE)
        self.assertTrue(self.agent.asked[0].cancelled)
        self.clock.advance(FIRST_DELAY)
        self.agent.asked[1].succeed(200)
        self.assertEqual(self.successResultOf(asked).status, 200)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_store_that_always_hangs_is_given_up(self) -> None:
        asked = self.ask()
        for _ in range(int(self.timeout * 10) + 1):
            self.clock.advance(0.1)
        self.assert_gives_up(asked, "20 seconds")
        self.assertTrue(all(request.cancelled for request in self.agent.asked))

    def test_a_body_that_hangs_is_cut(self) -> None:
        asked = self.ask()
        response = self.agent.asked[-1].succeed(200, body=None)
        self.clock.advance(self.timeout * ATTEMPT_SHARE)
        self.assertTrue(response.connection.aborted)
        response.end(ResponseFailed([Failure(ConnectionLost())]))
        self.clock.advance(FIRST_DELAY)
        self.agent.asked[-1].succeed(200)
        self.assertEqual(self.successResultOf(asked).status, 200)

    def test_what_nobody_waits_for_is_not_asked_again(self) -> None:
        """Twisted says of a name that is still looked up that there is none."""
        self.agent.given_up = DNSLookupError()
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertTrue(self.agent.asked[0].cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_question_may_have_less_time(self) -> None:
        asked = self.ask(5.0)
        for _ in range(51):
            self.clock.advance(0.1)
        self.assert_gives_up(asked, "5 seconds")

    def test_no_more_than_so_many_questions_are_asked_at_once(self) -> None:
        asked = [self.ask() for _ in range(10)]
        self.assertEqual(len(self.agent.asked), 4)
        for number in range(10):
            self.agent.asked[number].succeed(200)
            self.assertLessEqual(len(self.agent.running), 4)
        for question in asked:
            self.assertEqual(self.successResultOf(question).status, 200)

    def test_who_waits_for_another_attempt_keeps_no_place(self) -> None:
        self.client = self.make_client(1)
        first, second = self.ask(), self.ask()
        self.agent.asked[0].succeed(503)
        self.assertEqual(len(self.agent.asked), 2)
        self.agent.asked[1].succeed(200)
        self.successResultOf(second)
        self.clock.advance(FIRST_DELAY)
        self.agent.asked[2].succeed(200)
        self.successResultOf(first)

    def test_waiting_for_a_place_counts(self) -> None:
        self.client = self.make_client(1)
        self.timeout = 1000.0
        first = self.ask(1000.0)
        second = self.ask(5.0)
        self.clock.advance(5.0)
        self.failureResultOf(second, StoreError)
        self.agent.asked[0].succeed(200)
        self.successResultOf(first)
        # Nobody holds the place who is not there any more.
        third = self.ask()
        self.agent.asked[1].succeed(200)
        self.successResultOf(third)

    def test_giving_up_frees_the_place(self) -> None:
        self.client = self.make_client(1)
        first = self.ask(5.0)
        while not first.called:
            self.clock.advance(0.1)
        self.failureResultOf(first, StoreError)
        second = self.ask()
        self.agent.asked[-1].succeed(200)
        self.successResultOf(second)

    def test_a_request_that_cannot_be_made_is_not_tried_again(self) -> None:
        async def prepare() -> Request:
            raise StoreError("there are no credentials")

        error = self.assert_fails(StoreError, self.client.ask(prepare))
        self.assertEqual(error.problem, "there are no credentials")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_mistake_in_the_program_is_not_taken_for_a_lost_connection(self) -> None:
        asked = self.ask()
        self.agent.asked[-1].fail(ZeroDivisionError())
        self.failureResultOf(asked, ZeroDivisionError)

    def test_nothing_that_authorises_is_in_a_representation(self) -> None:
        request = Request("GET", "http://h/p?X-Amz-Signature=abc", {"authorization": "AWS4 secret"})
        self.assertEqual(repr(request), "<Request GET http://h/p>")
