"""Short jobs that share a thread's turn: none waits for a slow one for long."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.base.together import (
    GROUP_JOBS,
    GROUP_SECONDS,
    GROUPS,
    PATIENCE,
    Groups,
    Together,
    _Group,
)
from giftless.interfaces import IBlocking
from tests.support.blocking import InlineBlocking, ManualBlocking

T = TypeVar("T")


class TogetherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.blocking = ManualBlocking()
        self.together = Together(self.blocking, lambda: self.now)
        self.done: list[Any] = []

    def run_many(self, count: int) -> list[Deferred[Any]]:
        """Ask for jobs that note their number and return it."""

        def job(number: int) -> int:
            self.done.append(number)
            return number

        return [self.together.run(job, number) for number in range(count)]

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IBlocking, self.together)

    def test_a_job_begins_at_once(self) -> None:
        result = self.together.run(divmod, 17, 5)
        self.assertEqual(self.blocking.waiting, 1)
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(result), (3, 2))
        self.assertEqual(self.blocking.waiting, 0)

    def test_jobs_that_come_until_a_thread_begins_share_its_turn(self) -> None:
        results = self.run_many(6)
        self.assertEqual(self.blocking.waiting, 1)
        self.blocking.do_next()
        self.assertEqual([self.successResultOf(one) for one in results], list(range(6)))
        self.assertEqual(self.done, list(range(6)))
        self.assertEqual(self.blocking.waiting, 0)

    def test_jobs_that_come_while_others_run_join_them(self) -> None:
        results: list[Deferred[Any]] = []
        first = self.together.run(lambda: results.extend(self.run_many(5)))
        self.blocking.do_next()
        self.successResultOf(first)
        self.assertEqual([self.successResultOf(one) for one in results], list(range(5)))
        self.assertEqual(self.blocking.waiting, 0)

    def test_jobs_that_come_when_the_group_is_full_share_the_next_turn(self) -> None:
        results = self.run_many(GROUP_JOBS + 2)
        self.assertEqual(self.blocking.waiting, 1)
        self.blocking.do_next()
        self.assertEqual(self.done, list(range(GROUP_JOBS)))
        for one in results[GROUP_JOBS:]:
            self.assertNoResult(one)
        self.blocking.do_next()
        self.assertEqual([self.successResultOf(one) for one in results], self.done)
        self.assertEqual(self.blocking.waiting, 0)

    def test_a_thread_that_finds_nobody_waiting(self) -> None:
        """Others may have been quicker, of which one began after a while."""
        first = self.together.run(len, "a")
        self.now += 2 * PATIENCE
        second = self.together.run(len, "ab")
        self.assertEqual(self.blocking.waiting, 2)
        self.blocking.do_next()
        self.assertEqual([self.successResultOf(one) for one in (first, second)], [1, 2])
        self.blocking.do_next()
        third = self.together.run(len, "abc")
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(third), 3)

    def test_an_error_is_its_own_jobs_alone(self) -> None:
        jobs = [self.together.run(divmod, 1, number) for number in (1, 0, 2)]
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(jobs[0]), (1, 0))
        self.failureResultOf(jobs[1], ZeroDivisionError)
        self.assertEqual(self.successResultOf(jobs[2]), (0, 1))

    def test_an_error_that_is_a_result_is_returned(self) -> None:
        """A store tells of one object that something is wrong with it."""
        error = OSError("told, not raised")
        result = self.together.run(lambda: error)
        self.blocking.do_next()
        self.assertIs(self.successResultOf(result), error)

    def test_a_group_that_is_not_done_fails_and_the_next_goes_on(self) -> None:
        group = [self.together.run(len, "a"), self.together.run(len, "ab")]
        self.blocking.fail_next(MemoryError())
        for one in group:
            self.failureResultOf(one, MemoryError)
        second = self.together.run(len, "ab")
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(second), 2)
        third = self.together.run(len, "abc")
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(third), 3)

    def test_more_threads_help_when_many_wait(self) -> None:
        results = self.run_many(1 + 3 * GROUP_JOBS)
        self.assertEqual(self.blocking.waiting, 3)
        while self.blocking.waiting:
            self.blocking.do_next()
        self.assertEqual([self.successResultOf(one) for one in results], self.done)

    def test_there_are_so_many_groups_at_once_and_no_more(self) -> None:
        results = self.run_many(2 * GROUPS * GROUP_JOBS)
        self.assertEqual(self.blocking.waiting, GROUPS)
        while self.blocking.waiting:
            self.blocking.do_next()
        self.assertEqual([self.successResultOf(one) for one in results], self.done)

    def test_a_slow_job_holds_up_none_that_comes_later(self) -> None:
        """It may be one that waits for a disk for ever."""
        self.run_many(1)
        self.now += 2 * PATIENCE
        late = self.together.run(len, "abc")
        self.assertEqual(self.blocking.waiting, 2)
        self.blocking._jobs.pop(0)
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(late), 3)

    def test_who_waits_for_a_slow_job_begins_with_the_next_that_comes(self) -> None:
        self.run_many(1)
        waiting = self.together.run(len, "ab")
        self.assertEqual(self.blocking.waiting, 1)
        self.now += 2 * PATIENCE
        self.together.run(len, "abc")
        self.blocking._jobs.pop(0)
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(waiting), 2)

    def test_jobs_on_a_slow_disk_begin_at_once_each_by_itself(self) -> None:
        """As many at once as there are threads for, since the disk takes the time."""

        def slow() -> None:
            self.now += 0.02

        self.together.run(slow)
        self.blocking.do_next()
        for count in range(1, GROUPS + 1):
            self.together.run(slow)
            self.assertEqual(self.blocking.waiting, count)
        self.together.run(slow)
        self.assertEqual(self.blocking.waiting, GROUPS)

    def test_a_group_takes_only_so_long_as_the_last_one_tells(self) -> None:
        def job() -> None:
            self.now += GROUP_SECONDS / 3

        self.together.run(job)
        self.blocking.do_next()
        for _ in range(6):
            self.together.run(job)
        self.assertEqual(self.blocking.waiting, 2)

    def test_a_disk_that_is_quick_again_has_large_groups_again(self) -> None:
        def slow() -> None:
            self.now += 1

        self.together.run(slow)
        self.blocking.do_next()
        self.together.run(len, "abc")
        self.blocking.do_next()
        self.run_many(GROUP_JOBS)
        self.assertEqual(self.blocking.waiting, 1)

    def test_who_is_cancelled_disturbs_no_other(self) -> None:
        busy, one, other = self.run_many(3)
        one.cancel()
        self.failureResultOf(one, CancelledError)
        while self.blocking.waiting:
            self.blocking.do_next()
        self.successResultOf(busy)
        self.assertEqual(self.successResultOf(other), 2)

    def test_work_that_is_done_where_it_is_asked_for(self) -> None:
        together = Together(InlineBlocking())
        self.assertEqual(self.successResultOf(together.run(os.path.basename, "a/b")), "b")
        self.assertEqual(self.successResultOf(together.run(len, "abc")), 3)

    def test_a_failure_is_freed_with_who_waited_for_it(self) -> None:
        """It does not wait for Python to look for circles, which is seldom."""
        gc.disable()
        self.addCleanup(gc.enable)

        class Broken(Exception):
            pass

        def fail() -> None:
            raise Broken

        errors: list[weakref.ref[BaseException]] = []

        def note(failure: Failure) -> None:
            assert failure.value is not None
            errors.append(weakref.ref(failure.value))

        together = Together(_Forgetful())
        for _ in range(3):
            together.run(fail).addErrback(note)
        self.assertEqual([error() for error in errors], [None] * 3)


class GroupsTests(SynchronousTestCase):
    """One group at a time, of two."""

    def setUp(self) -> None:
        self.blocking = ManualBlocking()
        self.worked_on: list[list[int]] = []
        self.groups: Groups[int, int] = Groups(self.blocking, self.work, most=2, groups=1)

    def work(self, items: Iterable[int]) -> list[int]:
        self.worked_on.append(list(items))
        return self.worked_on[-1]

    def add(self, *items: int) -> list[Deferred[int]]:
        return [self.groups.add(item) for item in items]

    def test_a_full_group_begins_before_results_are_dealt_with(self) -> None:
        """The thread works on while the reactor does."""
        first, *_ = self.add(1, 2, 3, 4)
        first.addCallback(lambda _: self.assertEqual(self.blocking.waiting, 1))
        self.blocking.do_next()
        self.successResultOf(first)
        self.assertEqual(self.blocking.waiting, 1)

    def test_others_begin_after_results_are_dealt_with(self) -> None:
        """Who has waited for them may send more."""
        first, *_ = self.add(1, 2, 3)
        first.addCallback(lambda _: self.assertEqual(self.blocking.waiting, 0))
        first.addCallback(lambda _: self.add(4))
        self.blocking.do_next()
        self.successResultOf(first)
        self.blocking.do_next()
        self.assertEqual(self.worked_on, [[1, 2], [3, 4]])
        self.assertEqual(self.blocking.waiting, 0)

    def test_work_that_stops_halfway_fails_what_it_has_taken_and_no_other(self) -> None:
        def break_off(items: Iterable[int]) -> list[int]:
            next(iter(items))
            raise MemoryError

        self.groups = Groups(self.blocking, break_off, most=2, groups=1)
        first, second = self.add(1, 2)
        self.blocking.do_next()
        self.failureResultOf(first, MemoryError)
        self.assertNoResult(second)
        self.blocking.do_next()
        self.failureResultOf(second, MemoryError)
        self.assertEqual(self.blocking.waiting, 0)

    def test_each_item_belongs_to_one_group_however_many_threads_take(self) -> None:
        threads = [Thread(target=self.work_often) for _ in range(4)]
        self.taken: list[int] = []
        for number in range(2000):
            self.groups._waiting.append((number, Deferred()))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(self.taken), list(range(2000)))

    def work_often(self) -> None:
        """Take groups until nobody waits."""
        while items := list(_Group(self.groups._waiting, 3)):
            self.taken.extend(items)


@implementer(IBlocking)
class _Forgetful:
    """Does jobs at once, and has no name for their results, as the daemon's threads."""

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        done.callback(function(*args))
        return done
