"""What the daemon and a worker ask each other."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.questions import (
    ANSWER,
    ASK,
    ERROR,
    MAX_LINE,
    MAX_OPEN,
    MAX_PATIENCE,
    Answerer,
    Answers,
    Questions,
    Unanswered,
)


class Ends(SynchronousTestCase):
    """Two ends of a line: one asks, the other answers."""

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.sent: list[bytes] = []
        self.told: list[bytes] = []
        self.reads = True
        self.answerers: dict[str, Answerer] = {}
        self.questions = Questions(self.send, self.clock)
        self.answers = Answers(self.answerers, self.tell, self.clock)

    def send(self, line: bytes) -> bool:
        self.sent.append(line)
        return self.reads

    def tell(self, line: bytes) -> bool:
        self.told.append(line)
        return True

    def deliver(self) -> None:
        """Carry questions to the one side, and answers back."""
        sent, self.sent = self.sent, []
        for line in sent:
            word, _, text = line.partition(b" ")
            self.assertEqual(word, ASK)
            self.answers.asked(text)
        told, self.told = self.told, []
        for line in told:
            word, _, text = line.partition(b" ")
            self.questions.answered(word, text)

    def reason(self, answer: Deferred[bytes]) -> str:
        """Return why a question has got no answer."""
        return str(self.failureResultOf(answer, Unanswered).value)


async def echo(payload: bytes) -> bytes:
    return payload


class QuestionTests(Ends):
    def test_a_question_gets_its_answer(self) -> None:
        self.answerers["echo"] = echo
        first = self.questions.ask("echo", b'{"a": "b c"}')
        second = self.questions.ask("echo")
        self.assertEqual(self.sent, [b'ask 1 echo {"a": "b c"}', b"ask 2 echo null"])
        self.deliver()
        self.assertEqual(self.successResultOf(first), b'{"a": "b c"}')
        self.assertEqual(self.successResultOf(second), b"null")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answers_come_in_any_order(self) -> None:
        waiting: list[Deferred[bytes]] = []

        async def wait(_: bytes) -> bytes:
            waiting.append(Deferred())
            return await waiting[-1]

        self.answerers["wait"] = wait
        answers = [self.questions.ask("wait") for _ in range(3)]
        self.deliver()
        for number in (2, 0, 1):
            waiting[number].callback(b"%d" % number)
            self.deliver()
            self.assertEqual(self.successResultOf(answers[number]), b"%d" % number)

    def test_a_late_answer_is_not_waited_for(self) -> None:
        answer = self.questions.ask("echo", patience=3.0)
        self.clock.advance(3.0)
        self.assertEqual(self.reason(answer), "has not answered in time")
        self.questions.answered(ANSWER, b"1 {}")

    def test_who_gives_up_leaves_no_trace(self) -> None:
        self.questions.ask("echo").addErrback(lambda _: None).cancel()
        self.questions.answered(ANSWER, b"1 {}")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all_fail_when_the_other_side_is_lost(self) -> None:
        answers = [self.questions.ask("echo") for _ in range(3)]
        self.questions.lost("has ended")
        self.assertEqual([self.reason(answer) for answer in answers], ["has ended"] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_there_are_never_too_many(self) -> None:
        answers = [self.questions.ask("echo") for _ in range(MAX_OPEN + 1)]
        self.assertEqual(len(self.sent), MAX_OPEN)
        self.assertIn("too many questions", self.reason(answers.pop()))
        self.questions.answered(ANSWER, b"1 {}")
        self.assertEqual(self.successResultOf(answers[0]), b"{}")
        self.assertNoResult(self.questions.ask("echo"))

    def test_a_side_that_does_not_read_is_not_waited_for(self) -> None:
        self.reads = False
        self.assertIn("does not read", self.reason(self.questions.ask("echo")))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_question_that_is_too_long_is_not_sent(self) -> None:
        self.assertIn("so much", self.reason(self.questions.ask("echo", b"1" * MAX_LINE)))
        self.assertEqual(self.sent, [])

    @given(st.sampled_from([ANSWER, ERROR]), st.binary() | st.from_regex(rb"1 .*"))
    def test_nonsense_harms_nobody(self, word: bytes, text: bytes) -> None:
        questions = Questions(self.send, self.clock)
        answer = questions.ask("echo").addErrback(lambda failure: failure.trap(Unanswered))
        questions.answered(word, text)
        questions.lost("")
        self.successResultOf(answer)


class AnswerTests(Ends):
    def ask(self, name: str) -> Deferred[bytes]:
        answer = self.questions.ask(name)
        self.deliver()
        return answer

    def test_an_unknown_question_is_refused(self) -> None:
        self.assertEqual(self.reason(self.ask("what")), "does not know what is asked")

    def test_a_reason_is_passed_on(self) -> None:
        async def refuse(_: bytes) -> bytes:
            raise Unanswered("has no locks")

        self.answerers["locks"] = refuse
        self.assertEqual(self.reason(self.ask("locks")), "has no locks")

    def test_an_error_is_logged_and_its_text_stays_here(self) -> None:
        async def fail(_: bytes) -> bytes:
            raise ValueError("password is hunter2")

        self.answerers["locks"] = fail
        reason = self.reason(self.ask("locks"))
        self.assertIn("could not answer: ValueError", reason)
        self.assertNotIn("hunter2", reason)
        self.assertNotIn("Traceback", reason)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_an_answer_that_is_too_long_is_not_sent(self) -> None:
        async def much(_: bytes) -> bytes:
            return b"1" * MAX_LINE

        self.answerers["much"] = much
        self.assertIn("too much", self.reason(self.ask("much")))

    def test_what_hangs_holds_its_place_for_some_time_only(self) -> None:
        async def hang(_: bytes) -> bytes:
            return await Deferred[bytes]()

        self.answerers["hang"] = hang
        self.answerers["echo"] = echo
        for number in range(MAX_OPEN):
            self.answers.asked(b"%d hang null" % number)
        self.answers.asked(b"100 echo 1")
        self.assertEqual(self.told, [b'error 100 "has too many questions to answer already"'])
        self.clock.advance(MAX_PATIENCE)
        self.assertEqual(self.told[1], b'error 0 "has taken too long"')
        self.answers.asked(b"101 echo 1")
        self.assertEqual(self.told[-1], b"answer 101 1")

    @given(st.binary() | st.from_regex(rb"[0-9]+ .*"))
    def test_nonsense_gets_no_answer_or_an_error(self, text: bytes) -> None:
        told: list[bytes] = []

        def tell(line: bytes) -> bool:
            told.append(line)
            return True

        Answers({}, tell, self.clock).asked(text)
        for line in told:
            self.assertRegex(line, rb'^error [0-9]{1,20} "does not know what is asked"$')
