"""Worker threads beside a reactor that runs."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

from twisted.internet.defer import CancelledError, DeferredList
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from giftless.base.threads import Threads
from giftless.interfaces import IBlocking
from tests.support.processes import PATIENCE, wait_until
from tests.support.reactor import reactor


class ThreadsTests(TestCase):
    def start(self, size: int = 2) -> Threads:
        """Start threads that end with the test."""
        threads = Threads(reactor, size)
        threads.startService()

        def stop() -> None:
            if threads.running:
                threads.stopService()

        self.addCleanup(stop)
        return threads

    def test_they_provide_the_interface(self) -> None:
        verifyObject(IBlocking, Threads(reactor, 1))

    async def test_work_is_done_in_another_thread(self) -> None:
        here = threading.get_ident()
        there = await self.start().run(threading.get_ident)
        self.assertNotEqual(there, here)

    async def test_the_result_comes_back_to_the_reactors_thread(self) -> None:
        result = await self.start().run(divmod, 17, 5)
        self.assertEqual(result, (3, 2))
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_an_error_comes_back(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            await self.start().run(divmod, 1, 0)

    async def test_work_that_comes_early_is_done_later(self) -> None:
        """Before the service runs there are no threads."""
        threads = Threads(reactor, 1)
        result = threads.run(len, "abc")
        self.assertNoResult(result)
        threads.startService()
        self.addCleanup(threads.stopService)
        self.assertEqual(await result, 3)

    async def test_each_thread_is_prepared_once_before_its_first_job(self) -> None:
        prepared: list[int] = []
        threads = Threads(reactor, 1, lambda: prepared.append(threading.get_ident()))
        threads.startService()
        self.addCleanup(threads.stopService)
        there = [await threads.run(threading.get_ident) for _ in range(2)]
        self.assertEqual(prepared, there[:1])

    async def test_no_more_threads_than_allowed_run_at_once(self) -> None:
        threads = self.start(2)
        lock = threading.Lock()
        running = [0]
        most = [0]

        def work() -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.005)
            with lock:
                running[0] -= 1

        await DeferredList([threads.run(work) for _ in range(12)], fireOnOneErrback=True)
        self.assertLessEqual(most[0], 2)

    async def test_two_pieces_of_work_can_wait_for_each_other(self) -> None:
        """They really run beside each other."""
        barrier = threading.Barrier(2)
        threads = self.start(2)
        both = [threads.run(barrier.wait, PATIENCE) for _ in range(2)]
        self.assertEqual(sorted([await one for one in both]), [0, 1])

    async def test_one_thread_does_what_comes_one_after_the_other(self) -> None:
        """To go from one thread to another takes time, however many rest."""
        barrier = threading.Barrier(2)
        threads = self.start(2)
        for both in [threads.run(barrier.wait, PATIENCE) for _ in range(2)]:
            await both
        # One of the two may still be on its way to rest.
        await threads.run(threading.get_ident)
        used = {await threads.run(threading.get_ident) for _ in range(50)}
        self.assertEqual(len(used), 1)

    async def test_nothing_of_a_job_is_kept(self) -> None:
        """An idle thread would hold the last piece of an upload otherwise."""

        class Piece:
            """Can be referred to weakly."""

        threads = self.start(1)
        piece = Piece()
        gone = weakref.ref(piece)
        self.assertIs(await threads.run(lambda it: it, piece), piece)
        del piece
        # When this is done, the thread has turned to something else before.
        await threads.run(len, "abc")
        self.assertIsNone(gone())

    async def test_results_that_come_together_wake_the_reactor_once(self) -> None:
        threads = self.start(1)
        calls: list[object] = []
        call = reactor.callFromThread

        def note(*args: Any) -> None:
            calls.append(args)
            call(*args)

        self.patch(reactor, "callFromThread", note)
        jobs = [threads.run(len, "a" * number) for number in range(4)]
        # The reactor does nothing else until all have ended.
        wait_until(lambda: len(threads._ended) == 4, "the results")
        self.assertEqual(len(calls), 1)
        self.assertEqual([await job for job in jobs], [0, 1, 2, 3])
        self.assertEqual(await threads.run(len, "abc"), 3)
        self.assertEqual(len(calls), 2)

    async def test_no_result_is_lost_however_they_come(self) -> None:
        threads = self.start(8)
        for _ in range(20):
            jobs = [threads.run(divmod, number, 7) for number in range(100)]
            self.assertEqual([await job for job in jobs], [divmod(n, 7) for n in range(100)])

    async def test_threads_are_started_when_they_are_needed(self) -> None:
        threads = self.start(3)
        before = threading.active_count()
        for _ in range(5):
            await threads.run(len, "abc")
        self.assertEqual(threading.active_count(), before + 1)

    async def test_who_does_not_wait_any_more(self) -> None:
        """The job runs to its end, and the thread goes on."""
        threads = self.start(1)
        release = threading.Event()
        job = threads.run(release.wait, PATIENCE)
        job.cancel()
        release.set()
        self.assertEqual(await threads.run(len, "abc"), 3)
        with self.assertRaises(CancelledError):
            await job

    async def test_stopping_waits_for_the_work_that_runs(self) -> None:
        threads = self.start(1)
        begun, may_end = threading.Event(), threading.Event()
        done: list[bool] = []

        def work() -> None:
            begun.set()
            done.append(may_end.wait(PATIENCE))

        result = threads.run(work)
        self.assertTrue(begun.wait(PATIENCE))
        timer = threading.Timer(0.05, may_end.set)
        timer.start()
        self.addCleanup(timer.join)
        threads.stopService()
        self.assertEqual(done, [True])
        await result
