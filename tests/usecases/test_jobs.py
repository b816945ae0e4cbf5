"""Long operations: begun once, joined by whoever asks again, ended by whoever comes next."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import Conflict, LFSError, NotFound, ServiceUnavailable
from giftless.usecases.jobs import MAX_RUNNING, Job, JobFailed, Jobs, State
from tests.support.blocking import InlineBlocking

RENAME = Job("rename", "acme/rocket", "acme/engine")
NAMES = ("acme/rocket", "acme/engine")


class Work:
    """An operation that ends when a test says so.

    :ivar begun: how often it was begun.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.count: Callable[[int], None] = lambda count: None
        self.end: Deferred[bytes]

    async def __call__(self, progress: Callable[[int], None]) -> bytes:
        self.begun += 1
        self.count, self.end = progress, Deferred()
        return await self.end


class JobsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = self.mktemp()
        self.here, self.there = self.process(), self.process()
        self.work = Work()

    def process(self) -> Jobs:
        """Return what another process of the same machine has."""
        return Jobs(self.directory, self.clock, InlineBlocking(), self.clock.seconds)

    def ask(
        self, jobs: Jobs, job: Job = RENAME, names: tuple[str, ...] = NAMES, patience: float = 20
    ) -> Deferred[State]:
        return Deferred.fromCoroutine(jobs.run(job, names, self.work, patience))

    def test_what_ends_soon_is_answered_with_its_result(self) -> None:
        asked = self.ask(self.here)
        self.assertNoResult(asked)
        self.work.count(7)
        self.work.end.callback(b'{"objects":7}')
        state = self.successResultOf(asked)
        self.assertEqual((state.done, bytes(state.result)), (7, b'{"objects":7}'))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_takes_long_is_answered_with_how_far_it_is_and_goes_on(self) -> None:
        self.clock.advance(1000)
        asked = self.ask(self.here)
        self.work.count(3)
        self.clock.advance(20)
        state = self.successResultOf(asked)
        self.assertEqual((state.done, state.ended_at, state.began_at), (3, 0.0, 1000.0))
        # Asked again, here and in another process, which sees what was noted last.
        again = self.ask(self.here)
        self.clock.advance(1)
        self.work.count(2)
        elsewhere = self.ask(self.there, patience=0)
        self.assertEqual(self.successResultOf(elsewhere).done, 5)
        self.work.end.callback(b"{}")
        self.assertEqual(self.successResultOf(again).done, 5)
        self.assertEqual(self.work.begun, 1)

    def test_the_outcome_waits_for_who_asks_again_in_any_process(self) -> None:
        for jobs in (self.here, self.there):
            self.work, job = Work(), Job("copy", str(id(jobs)), "x/y")
            asked = self.ask(self.here, job, (job.repo,))
            self.clock.advance(20)
            self.successResultOf(asked)
            self.work.end.callback(b'"the end"')
            state = self.successResultOf(self.ask(jobs, job, (job.repo,)))
            self.assertEqual(bytes(state.result), b'"the end"')
            self.assertEqual(self.work.begun, 1)
            # It is told once: then the operation begins anew.
            self.ask(jobs, job, (job.repo,))
            self.assertEqual(self.work.begun, 2)

    def test_a_failure_that_nobody_was_told_waits_too(self) -> None:
        asked = self.ask(self.here)
        self.clock.advance(20)
        self.successResultOf(asked)
        self.work.end.errback(NotFound("the repository is gone"))
        error = self.failureResultOf(self.ask(self.there), JobFailed).value
        self.assertEqual((error.code, error.message), (404, "the repository is gone"))

    def test_an_old_outcome_is_forgotten(self) -> None:
        self.clock.advance(1000)
        asked = self.ask(self.here)
        self.clock.advance(20)
        self.successResultOf(asked)
        self.work.end.callback(b"{}")
        self.clock.advance(3601)
        self.ask(self.there)
        self.assertEqual(self.work.begun, 2)

    def test_a_failure_is_told_to_all_who_wait(self) -> None:
        asked = [self.ask(self.here), self.ask(self.here)]
        self.work.end.errback(NotFound("there is no such repository"))
        for each in asked:
            self.failureResultOf(each, NotFound)
        self.assertEqual(self.work.begun, 1)

    def test_a_bug_is_logged_and_told(self) -> None:
        asked = self.ask(self.here)
        self.work.end.errback(ZeroDivisionError())
        error = self.failureResultOf(asked, LFSError).value
        self.assertEqual(
            (error.code, error.message), (500, "the server failed; its log has the details")
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_failing_disk_is_the_same_to_who_waits_and_to_who_asks_later(self) -> None:
        asked = self.ask(self.here)
        self.clock.advance(20)
        self.successResultOf(asked)
        waiting = self.ask(self.here)
        self.work.end.errback(OSError(errno.EROFS, "read-only"))
        told = self.failureResultOf(waiting, LFSError).value
        self.assertEqual(told.code, 503)

        self.work, job = Work(), Job("copy", "x/y", "x/z")
        asked = self.ask(self.here, job, ("x/y",))
        self.clock.advance(20)
        self.successResultOf(asked)
        self.work.end.errback(OSError(errno.EROFS, "read-only"))
        kept = self.failureResultOf(self.ask(self.there, job, ("x/y",)), JobFailed).value
        self.assertEqual((kept.code, kept.message), (told.code, told.message))

    def test_another_operation_at_the_same_repository_is_refused(self) -> None:
        self.ask(self.here)
        for jobs in (self.here, self.there):
            other = self.ask(jobs, Job("copy", "acme/engine", "x/y"), ("acme/engine", "x/y"))
            error = self.failureResultOf(other, Conflict).value
            self.assertIn("rename of acme/rocket to acme/engine", error.message)
        self.ask(self.there, Job("copy", "x/y", "x/z"), ("x/y", "x/z"))
        self.assertEqual(self.work.begun, 2)

    def test_who_waits_for_another_process_goes_on_when_that_has_died(self) -> None:
        running = self.ask(self.here)
        waiting = self.ask(self.there)
        self.clock.advance(0.5)
        self.assertNoResult(waiting)
        # What the kernel does when a process dies.
        (job,) = self.here._running.values()
        job._held.release(keep=True)
        self.clock.advance(0.5)
        self.assertEqual(self.work.begun, 2)
        self.assertNoResult(running)

    def test_a_directory_that_goes_away_keeps_nobody_waiting(self) -> None:
        asked = self.ask(self.here)
        shutil.rmtree(self.directory)
        self.clock.advance(1)
        self.work.count(1)
        self.work.end.callback(b"{}")
        self.assertEqual(self.successResultOf(asked).done, 1)
        self.ask(self.here)
        self.assertEqual(self.work.begun, 2)

    def test_only_so_many_run_at_once(self) -> None:
        for number in range(MAX_RUNNING):
            self.ask(self.here, Job("copy", f"a/{number}", "b"), (f"a/{number}",))
        self.failureResultOf(self.ask(self.here), ServiceUnavailable)
        # What runs can be asked about all the same.
        again = self.ask(self.here, Job("copy", "a/0", "b"), ("a/0",), patience=0)
        self.clock.advance(0)
        self.successResultOf(again)
