"""What operators do with locks, over a real store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.logger import formatEvent

from giftless.errors import BadRequest, NotFound
from giftless.interfaces import LockForced
from giftless.lfs.locks import Lock, LockPage, LockQuery
from giftless.usecases.events import Events
from giftless.usecases.lock_administration import MAX_TEXT, LockAdministration
from giftless.usecases.locks import By
from tests.contracts.lockstores import lock_of
from tests.locks.support import SQLiteTestCase
from tests.support.events import Recorder
from tests.support.logs import observe
from tests.support.run import CoroutineTestCase


class LockAdministrationTests(SQLiteTestCase, CoroutineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.build()
        self.recorder = Recorder()
        self.administration = LockAdministration(self.store, Events({"recorder": self.recorder}))
        self.lock = lock_of("art/a.psd")
        self.run_now(self.store.create(self.lock))

    def page(self, query: LockQuery) -> LockPage:
        """List locks."""
        found: LockPage = self.run_now(self.administration.page(query))
        return found

    def release(self, lock_id: str, by: By) -> Lock:
        """Remove a lock by force."""
        released: Lock = self.run_now(self.administration.release(lock_id, by))
        return released

    def test_locks_of_all_repositories_are_found(self) -> None:
        other = lock_of("b.psd", repo="acme/site")
        self.run_now(self.store.create(other))
        self.assertEqual(self.page(LockQuery(9)).locks, (other, self.lock))
        self.assertEqual(self.page(LockQuery(9, text="ART")).locks, (self.lock,))

    def test_what_no_lock_can_have_is_not_searched_for(self) -> None:
        for query in (
            LockQuery(9, text="a\x00b"),
            LockQuery(9, text="\ud800"),
            LockQuery(9, id="a/b"),
        ):
            self.assertEqual(self.page(query), LockPage())

    def test_a_huge_text_is_refused(self) -> None:
        self.page(LockQuery(9, text="x" * MAX_TEXT))
        query = LockQuery(9, text="x" * (MAX_TEXT + 1))
        self.assert_fails(BadRequest, self.administration.page(query))

    def test_a_released_lock_is_gone_and_observers_are_told_who_did_it(self) -> None:
        by = By("admin endpoint", "basic#ada", "192.0.2.7", "f00d")
        self.assertEqual(self.release(self.lock.id, by), self.lock)
        self.assertEqual(self.page(LockQuery(9)).locks, ())
        self.assertEqual(
            self.recorder.seen,
            [LockForced(self.lock, "admin endpoint", "basic#ada", "192.0.2.7", "f00d")],
        )

    def test_the_log_says_who_has_released_a_lock(self) -> None:
        for by, text in (
            (By("admin endpoint", "", "192.0.2.7"), "admin endpoint at 192.0.2.7"),
            (By("ada", "basic#ada"), "ada (basic#ada)"),
        ):
            logged: list[Any] = []
            observe(self, logged.append)
            lock = lock_of(text)
            self.run_now(self.store.create(lock))
            self.release(lock.id, by)
            self.assertIn(
                f"{text} has removed {lock} in org/repo", [formatEvent(event) for event in logged]
            )

    def test_a_lock_that_is_not_there_is_not_released(self) -> None:
        by = By("admin endpoint")
        for lock_id in ("", "unknown", "a/b", "\x00"):
            self.assert_fails(NotFound, self.administration.release(lock_id, by))
        self.release(self.lock.id, by)
        self.assert_fails(NotFound, self.administration.release(self.lock.id, by))
        self.assertEqual(len(self.recorder.seen), 1)

    def test_of_two_who_release_a_lock_at_once_one_is_told_so(self) -> None:
        page = self.store.page

        async def slow_page(query: LockQuery) -> LockPage:
            found = await page(query)
            await self.store.remove(self.lock)
            return found

        self.store.page = slow_page  # type: ignore[method-assign]
        self.assert_fails(NotFound, self.administration.release(self.lock.id, By("x")))
        self.assertEqual(self.recorder.seen, [])

    def test_a_new_lock_on_the_same_path_is_not_released_by_the_old_id(self) -> None:
        self.release(self.lock.id, By("x"))
        new = replace(self.lock, id="new")
        self.run_now(self.store.create(new))
        self.assert_fails(NotFound, self.administration.release(self.lock.id, By("x")))
        self.assertEqual(self.page(LockQuery(9)).locks, (new,))
