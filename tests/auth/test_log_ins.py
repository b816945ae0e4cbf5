"""Clients take turns at having passwords checked, in a queue of bounded length."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from giftless.auth import log_ins
from giftless.auth.log_ins import LogIns
from giftless.errors import LogInsBusy
from tests.support.blocking import ManualBlocking
from tests.support.run import CoroutineTestCase


class LogInsTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.blocking = ManualBlocking()
        self.queue: LogIns[str] = LogIns(self.blocking, 1)
        self.order: list[str] = []
        self.done: list[str] = []

    def work(self, name: str) -> str:
        self.order.append(name)
        return name

    def run_job(self, network: str, account: str, name: str) -> Deferred[str]:
        return self.queue.run(network, account, self.done.append, self.work, name)

    def finish(self) -> list[str]:
        """Do all that waits, and return it in the order in which it was done."""
        while self.blocking.waiting:
            self.blocking.do_next()
        return self.order

    def test_results_and_errors_come_back(self) -> None:
        first, second = (self.run_job("here", "a", name) for name in "12")
        self.assertNoResult(first)
        self.blocking.do_next()
        self.assertEqual(self.successResultOf(first), "1")
        self.blocking.fail_next(MemoryError())
        self.failureResultOf(second, MemoryError)
        self.assertEqual(self.done, ["1"])

    def test_a_few_run_at_once(self) -> None:
        queue: LogIns[str] = LogIns(self.blocking, 3)
        for name in "abcde":
            queue.run(name, "", self.done.append, self.work, name)
        self.assertEqual(self.blocking.waiting, 3)
        self.blocking.do_next()
        self.assertEqual(self.blocking.waiting, 3)

    def test_clients_take_turns(self) -> None:
        for number in range(5):
            self.run_job("busy", "a", f"busy {number}")
        self.run_job("new", "a", "new 0")
        self.run_job("new", "a", "new 1")
        wanted = ["busy 0", "new 0", "busy 1", "new 1", "busy 2", "busy 3", "busy 4"]
        self.assertEqual(self.finish(), wanted)

    def test_accounts_of_a_client_take_turns(self) -> None:
        for number in range(4):
            self.run_job("office", "guessed", f"guess {number}")
        self.run_job("office", "alice", "alice")
        self.assertEqual(self.finish()[:3], ["guess 0", "alice", "guess 1"])

    def test_who_has_left_is_forgotten(self) -> None:
        running, waiting, last = (self.run_job("here", "a", name) for name in "123")
        for left in (running, waiting):
            left.cancel()
            self.failureResultOf(left, CancelledError)
        self.assertEqual(self.finish(), ["1", "3"])
        self.assertEqual(self.successResultOf(last), "3")
        self.assertEqual(self.done, ["1", "3"], "what ran to its end is not lost")

    def test_a_job_that_nobody_waits_for_holds_its_turn(self) -> None:
        self.run_job("here", "a", "1").addErrback(lambda _: None).cancel()
        self.run_job("here", "a", "2")
        self.assertEqual(self.blocking.waiting, 1)

    def test_the_queue_is_bounded(self) -> None:
        jobs = [self.run_job("here", str(n), str(n)) for n in range(log_ins.MAX_WAITING + 2)]
        error = self.failureResultOf(jobs.pop(), LogInsBusy).value
        self.assertEqual((error.code, error.headers), (429, {"Retry-After": "5"}))
        self.assertEqual(len(self.finish()), log_ins.MAX_WAITING + 1)
        for job in jobs:
            self.successResultOf(job)

    def test_a_full_queue_makes_room_for_another_client(self) -> None:
        jobs = [self.run_job("busy", str(n), str(n)) for n in range(log_ins.MAX_WAITING + 1)]
        new = [self.run_job("new", "a", f"new {n}") for n in range(log_ins.MAX_WAITING)]
        half = log_ins.MAX_WAITING // 2
        self.assertEqual([job.called for job in jobs], [False] * (half + 1) + [True] * half)
        for refused in (*jobs[half + 1 :], *new[half:]):
            self.failureResultOf(refused, LogInsBusy)
        self.finish()
        for job in (*jobs[: half + 1], *new[:half]):
            self.successResultOf(job)

    def test_the_order_of_turns_is_forgotten_in_time(self) -> None:
        self.patch(log_ins, "_MAX_SERVED", 10)
        for number in range(100):
            self.run_job(str(number), "a", str(number))
            self.finish()
        self.assertLessEqual(len(self.queue._served), 12)
