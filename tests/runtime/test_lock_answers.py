"""What a worker answers when its parent asks about locks."""

from __future__ import annotations

from typing import Any

import msgspec

from giftless.errors import LocksUnavailable
from giftless.interfaces import LockForced
from giftless.runtime.lock_answers import LockAnswers
from giftless.runtime.lock_questions import Answer, LockFacts, Release, Search
from giftless.usecases.events import Events
from giftless.usecases.lock_administration import LockAdministration
from tests.contracts.lockstores import lock_of
from tests.locks.support import SQLiteTestCase
from tests.support.events import Recorder
from tests.support.run import CoroutineTestCase


class LockAnswersTests(SQLiteTestCase, CoroutineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.build()
        self.recorder = Recorder()
        events = Events({"recorder": self.recorder})
        self.answers = LockAnswers(LockAdministration(self.store, events))
        self.locks = [lock_of(f"{number}.psd", repo="acme/site") for number in range(3)]
        for lock in self.locks:
            self.run_now(self.store.create(lock))

    def ask(self, question: Any) -> Answer:
        """Ask as the parent does."""
        asks = isinstance(question, Search)
        answerer = self.answers.search if asks else self.answers.release
        return msgspec.json.decode(
            self.run_now(answerer(msgspec.json.encode(question))), type=Answer
        )

    def test_locks_are_told_page_by_page(self) -> None:
        first = self.ask(Search(2, "PSD"))
        self.assertEqual([lock.path for lock in first.locks], ["2.psd", "1.psd"])
        second = self.ask(Search(2, "PSD", cursor=first.next_cursor))
        lock = self.locks[0]
        self.assertEqual(
            second.locks,
            [LockFacts(lock.id, "acme/site", "0.psd", "olga", "basic#olga", lock.locked_at)],
        )
        self.assertEqual(second.next_cursor, "")

    def test_one_lock_is_told_by_its_id(self) -> None:
        found = self.ask(Search(1, id=self.locks[1].id))
        self.assertEqual([lock.path for lock in found.locks], ["1.psd"])
        self.assertEqual(self.ask(Search(1, id="unknown")), Answer())

    def test_a_released_lock_is_told_and_published(self) -> None:
        lock = self.locks[1]
        order = Release(lock.id, "ada", "basic#ada", "192.0.2.1", "f00d")
        self.assertEqual([found.id for found in self.ask(order).locks], [lock.id])
        self.assertEqual(
            self.recorder.seen, [LockForced(lock, "ada", "basic#ada", "192.0.2.1", "f00d")]
        )
        again = self.ask(order)
        self.assertEqual((again.status, again.locks), (404, []))
        self.assertIn("no such lock", again.problem)

    def test_problems_are_told_in_words(self) -> None:
        self.assertEqual(self.ask(Search(1, cursor="x")).status, 400)
        self.assertEqual(self.ask(Search(1, "x" * 1000)).status, 400)

        async def fails(_: object) -> None:
            raise LocksUnavailable("the locks cannot be reached now", 5)

        self.store.page = fails  # type: ignore[assignment,method-assign]
        answer = self.ask(Search(1))
        self.assertEqual((answer.status, answer.problem), (503, "the locks cannot be reached now"))

    def test_a_server_without_locks_says_so(self) -> None:
        self.answers = LockAnswers(None)
        for question in (Search(1), Release("x", "ada")):
            answer = self.ask(question)
            self.assertEqual(answer.status, 404)
            self.assertIn("no file locks", answer.problem)
