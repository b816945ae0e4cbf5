"""Questions that several share."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from giftless.base.shared_answers import PATIENCE, FreshAnswers, Shared
from tests.support.run import CoroutineTestCase


class SharedTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.shared: Shared[str, int] = Shared()
        self.asked: list[Deferred[int]] = []

    async def question(self) -> int:
        self.asked.append(Deferred())
        return await self.asked[-1]

    def test_one_question_is_asked_and_all_get_the_answer(self) -> None:
        answers = [self.shared.ask("a", self.question()) for _ in range(3)]
        self.assertEqual(len(self.asked), 1)
        for answer in answers:
            self.assertNoResult(answer)
        self.asked[0].callback(7)
        self.assertEqual([self.successResultOf(answer) for answer in answers], [7, 7, 7])

    def test_other_questions_are_asked_beside_it(self) -> None:
        first, second = (self.shared.ask(key, self.question()) for key in "ab")
        self.asked[1].callback(2)
        self.assertNoResult(first)
        self.assertEqual(self.successResultOf(second), 2)
        self.asked[0].callback(1)
        self.assertEqual(self.successResultOf(first), 1)

    def test_all_get_the_error(self) -> None:
        answers = [self.shared.ask("a", self.question()) for _ in range(2)]
        self.asked[0].errback(KeyError("x"))
        for answer in answers:
            self.failureResultOf(answer, KeyError)

    def test_an_answer_is_not_kept(self) -> None:
        for number in (1, 2):
            answer = self.shared.ask("a", self.question())
            self.asked[-1].callback(number)
            self.assertEqual(self.successResultOf(answer), number)
        self.assertEqual(len(self.asked), 2)

    def test_who_gives_up_does_not_stop_the_others(self) -> None:
        first, second = (self.shared.ask("a", self.question()) for _ in range(2))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.asked[0].callback(7)
        self.assertEqual(self.successResultOf(second), 7)

    def test_a_question_that_nobody_waits_for_is_cancelled(self) -> None:
        first, second = (self.shared.ask("a", self.question()) for _ in range(2))
        for left, cancelled in ((first, False), (second, True)):
            left.cancel()
            self.failureResultOf(left, CancelledError)
            self.assertEqual(self.asked[0].called, cancelled)
        third = self.shared.ask("a", self.question())
        self.assertEqual(len(self.asked), 2)
        self.asked[1].callback(7)
        self.assertEqual(self.successResultOf(third), 7)

    def test_an_answer_that_is_there_at_once_is_handed_on(self) -> None:
        async def known() -> int:
            return 3

        self.assertEqual(self.successResultOf(self.shared.ask("a", known())), 3)


class FreshAnswersTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[int]]] = []
        self.answers: FreshAnswers[str, int] = FreshAnswers(self.ask, self.clock)

    async def ask(self, key: str) -> int:
        self.asked.append((key, Deferred()))
        return await self.asked[-1][1]

    def get(self, count: int = 1, key: str = "a") -> list[Deferred[int]]:
        return [self.answers.get(key) for _ in range(count)]

    def answer(self, number: int) -> None:
        """Answer a question, by the number of its turn, with that number."""
        self.asked[number][1].callback(number)

    def assert_answers(self, waiting: list[Deferred[int]], number: int) -> None:
        self.assertEqual([self.successResultOf(each) for each in waiting], [number] * len(waiting))

    def assert_nothing_is_left(self) -> None:
        self.assertEqual(self.answers._last, {})
        self.assertEqual(self.answers._shared._waiting, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_gets_an_answer_to_what_was_asked_before_they_came(self) -> None:
        first = self.get()
        late = self.get(5)
        self.assertEqual(len(self.asked), 1)
        self.answer(0)
        self.assert_answers(first, 0)
        self.assertEqual(len(self.asked), 2)
        later = self.get(3)
        self.answer(1)
        self.assert_answers(late, 1)
        for each in later:
            self.assertNoResult(each)
        self.answer(2)
        self.assert_answers(later, 2)
        self.assert_nothing_is_left()

    def test_a_slow_answer_is_not_waited_for(self) -> None:
        first = self.get()
        self.clock.advance(PATIENCE * 0.6)
        late = self.get(5)
        self.clock.advance(PATIENCE * 0.3)
        late += self.get()
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(PATIENCE * 0.2)
        self.assertEqual(len(self.asked), 2)
        self.answer(1)
        self.assert_answers(late, 1)
        self.answer(0)
        self.assert_answers(first, 0)
        self.assert_nothing_is_left()

    def test_after_a_while_a_question_is_asked_at_once(self) -> None:
        self.get()
        self.clock.advance(2 * PATIENCE)
        late = self.get()
        self.clock.advance(0)
        self.answer(1)
        self.assert_answers(late, 1)

    def test_other_things_are_asked_about_at_the_same_time(self) -> None:
        for key in "abc":
            self.get(2, key)
        self.assertEqual([key for key, _ in self.asked], ["a", "b", "c"])

    def test_an_error_goes_to_all_who_share_it_and_to_nobody_else(self) -> None:
        first, late = self.get(), self.get(3)
        self.asked[0][1].errback(KeyError("x"))
        self.failureResultOf(first[0], KeyError)
        for each in late:
            self.assertNoResult(each)
        self.asked[1][1].errback(ValueError("y"))
        for each in late:
            self.failureResultOf(each, ValueError)
        self.assert_nothing_is_left()

    def test_an_answer_that_is_there_at_once_is_handed_on(self) -> None:
        async def know(key: str) -> int:
            return len(key)

        answers = FreshAnswers(know, self.clock)
        self.assertEqual(self.successResultOf(answers.get("abc")), 3)
        self.assertEqual(answers._last, {})

    def test_who_gives_up_does_not_stop_the_others(self) -> None:
        self.get()
        late = self.get(3)
        late[0].cancel()
        self.failureResultOf(late.pop(0), CancelledError)
        self.answer(0)
        late[0].cancel()
        self.failureResultOf(late.pop(0), CancelledError)
        self.answer(1)
        self.assert_answers(late, 1)
        self.assert_nothing_is_left()

    def test_a_question_that_nobody_waits_for_is_not_asked(self) -> None:
        first, late = self.get(), self.get(2)
        for each in late:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer(0)
        self.assert_answers(first, 0)
        self.assertEqual(len(self.asked), 1)
        self.assert_nothing_is_left()

    def test_a_question_that_nobody_waits_for_any_more_is_cancelled(self) -> None:
        (first,) = self.get()
        (late,) = self.get()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        # So the other's turn has come.
        self.assertEqual(len(self.asked), 2)
        self.answer(1)
        self.assert_answers([late], 1)
        self.assert_nothing_is_left()
