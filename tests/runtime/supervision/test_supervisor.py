"""The supervisor, with processes that do as the tests say."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
from giftless.base.metrics.tally import Tally
from giftless.runtime.questions import MAX_LINE, Unanswered
from giftless.runtime.supervision.process import (
    COMPLAINTS,
    COUNTS,
    HEARTBEAT,
    LOG,
    ORDERS,
    QUIET,
    SILENT,
    STARTING,
    STATUS,
    Plan,
    Worker,
)
from giftless.runtime.supervision.supervisor import LONGEST_DELAY, RECENT, Supervisor, WorkerFailed
from tests.support.logs import observe


class Pipe:
    """A process's input that says whether it is read."""

    producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer


class Process:
    """A process's transport that notes what it is told."""

    def __init__(self, pid: int, protocol: Worker, descriptors: dict[int, Any]) -> None:
        self.pid: int | None = pid
        self.number = pid
        self.protocol = protocol
        self.descriptors = descriptors
        self.orders = b""
        self.signals: list[int] = []
        self.deaf = False
        self.pipes = {ORDERS: Pipe()}

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        assert descriptor == ORDERS
        if self.deaf:
            raise KeyError(descriptor)
        self.orders += data

    def signalProcess(self, number: int) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(number)

    def say(self, text: bytes, descriptor: int = STATUS) -> None:
        """Write something."""
        self.protocol.childDataReceived(descriptor, text)

    def ready(self) -> None:
        self.say(b"ready\n")

    def end(self, status: int = 0, killed_by: int | None = None) -> None:
        """End."""
        self.pid = None
        if status or killed_by:
            reason = Failure(ProcessTerminated(status or None, killed_by))
        else:
            reason = Failure(ProcessDone(0))
        self.protocol.processEnded(reason)

    @property
    def told_to(self) -> str:
        """What it was told after its orders."""
        if self.signals:
            return " ".join(signal.Signals(number).name for number in self.signals)
        return self.orders.partition(b"\n")[2].decode().strip()


class Processes(Clock):
    """A reactor that starts no processes."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Process] = []
        self.arguments: list[Any] = []
        self.error: OSError | None = None

    def spawnProcess(self, protocol: Worker, *arguments: Any, childFDs: dict[int, Any]) -> Process:
        if self.error is not None:
            raise self.error
        process = Process(100 + len(self.started), protocol, childFDs)
        self.started.append(process)
        self.arguments.append(arguments)
        protocol.makeConnection(process)
        return process


def plan(number: int = 1, orders: bytes = b"serve") -> Plan:
    return Plan(number, orders, [7, 9], 60, 11)


class SupervisorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Processes()
        self.written: list[bytes] = []
        self.changes = 0
        self.tally = Tally()
        self.supervisor = Supervisor(
            "worker",
            self.reactor,
            ["python", "worker"],
            {"A": "b"},
            "/where",
            self.written.append,
            self.change,
            self.tally,
        )
        self.supervisor.startService()
        self.events: list[LogEvent] = []
        observe(self, self.events.append)

    def change(self) -> None:
        self.changes += 1

    @property
    def started(self) -> list[Process]:
        return self.reactor.started

    def run_plan(self, wanted: Plan) -> None:
        """Start workers for a plan, one after the other."""
        before = len(self.started)
        trial = self.supervisor.replace(wanted)
        while not self.supervisor.settled:
            self.assertLess(before, len(self.started), "no worker was started")
            self.started[before].ready()
            before += 1
        self.successResultOf(trial)

    def log(self, level: LogLevel) -> list[str]:
        return [
            formatEvent(event)
            for event in self.events
            if event["log_level"] == level and event["log_namespace"] == "giftless.workers"
        ]


class StartTests(SupervisorTestCase):
    def test_all_are_started_at_once_with_orders_and_sockets(self) -> None:
        self.supervisor.replace(plan(2))
        self.assertEqual([process.orders for process in self.started], [b"serve\n"] * 2)
        given = self.started[0].descriptors
        self.assertIsInstance(given.pop(COUNTS), int)
        self.assertEqual(given, {0: "w", 1: "r", 2: "r", 3: "r", 4: 11, 6: 7, 7: 9})
        self.assertEqual(
            self.reactor.arguments[0], ("python", ["python", "worker"], {"A": "b"}, "/where")
        )

    def test_the_plan_is_good_when_one_serves_and_settled_when_all_do(self) -> None:
        trial = self.supervisor.replace(plan(2))
        self.assertNoResult(trial)
        self.assertFalse(self.supervisor.settled)
        self.started[1].ready()
        self.successResultOf(trial)
        self.assertFalse(self.supervisor.settled)
        self.assertEqual(self.supervisor.status, "workers: 1 serving, 1 starting")
        before = self.changes
        self.started[0].ready()
        self.assertTrue(self.supervisor.settled)
        self.assertGreater(self.changes, before)
        self.assertEqual(self.supervisor.status, "workers: 2 serving")

    def test_the_first_that_cannot_start_ends_all(self) -> None:
        trial = self.supervisor.replace(plan(2))
        self.started[1].say(b"failed the key is ")
        self.started[1].say(b"wrong\n")
        self.started[1].end(1)
        problem = self.failureResultOf(trial, WorkerFailed).value
        self.assertEqual(str(problem), "the key is wrong")
        self.assertEqual(self.started[0].told_to, "SIGTERM")
        self.started[0].end()
        self.reactor.advance(100)
        self.assertEqual(len(self.started), 2)
        self.assertEqual(self.supervisor.status, "workers: none")

    def test_a_crash_at_the_start_is_said_to_be_one(self) -> None:
        for end, text in (
            ({"status": 3}, "worker 100 ended with status 3"),
            ({"killed_by": signal.SIGSEGV}, "worker 101 was killed by SIGSEGV"),
        ):
            trial = self.supervisor.replace(plan())
            self.started[-1].end(**end)
            self.assertEqual(str(self.failureResultOf(trial, WorkerFailed).value), text)

    def test_what_cannot_even_be_started_is_a_failure(self) -> None:
        self.reactor.error = OSError(11, "Resource temporarily unavailable")
        trial = self.supervisor.replace(plan(3))
        self.reactor.advance(0)
        problem = self.failureResultOf(trial, WorkerFailed).value
        self.assertEqual(str(problem), "no worker can be started: Resource temporarily unavailable")


class DeathTests(SupervisorTestCase):
    def test_the_dead_are_replaced_at_once(self) -> None:
        self.run_plan(plan(2))
        self.started[0].end(killed_by=signal.SIGKILL)
        self.assertEqual(len(self.started), 3)
        self.assertFalse(self.supervisor.settled)
        self.started[2].ready()
        self.assertTrue(self.supervisor.settled)
        self.assertEqual(
            self.log(LogLevel.error), ["worker 100 was killed by SIGKILL; another takes its place"]
        )

    def test_one_that_ends_without_having_been_told_is_replaced(self) -> None:
        self.run_plan(plan())
        self.started[0].end()
        self.assertEqual(len(self.started), 2)

    def test_all_may_die_once_at_once(self) -> None:
        """As when the kernel runs out of memory."""
        self.run_plan(plan(3))
        for process in self.started[:3]:
            process.end(killed_by=signal.SIGKILL)
        self.assertEqual(len(self.started), 6)

    def delays(self, count: int) -> list[float]:
        """Let each new worker die at once; return how long the next one took."""
        delays = []
        for _ in range(count):
            died, number = self.reactor.seconds(), len(self.started)
            self.started[-1].end(1)
            while len(self.started) == number:
                self.reactor.advance(0.5)
            delays.append(self.reactor.seconds() - died)
        return delays

    def test_who_dies_again_and_again_is_put_off(self) -> None:
        self.run_plan(plan())
        delays = self.delays(6)
        self.assertEqual(delays, [0, 1, 2, 4, 8, 16])
        self.assertLessEqual(max(self.delays(10)), LONGEST_DELAY)

    def test_calm_is_forgiven(self) -> None:
        self.run_plan(plan())
        self.delays(5)
        self.started[-1].ready()
        for _ in range(RECENT):
            self.started[-1].say(b"alive\n")
            self.reactor.advance(1)
        self.assertEqual(self.delays(1), [0])

    def test_the_delay_ends_with_the_service(self) -> None:
        self.run_plan(plan())
        self.started[-1].end(1)
        self.started[-1].end(1)
        self.successResultOf(self.supervisor.stopService())
        self.reactor.advance(100)
        self.assertEqual(len(self.started), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class ReplaceTests(SupervisorTestCase):
    def test_one_by_one_and_never_fewer(self) -> None:
        self.run_plan(plan(2))
        trial = self.supervisor.replace(plan(2, b"new"))
        self.assertEqual(len(self.started), 3)
        self.assertEqual([process.told_to for process in self.started], ["", "", ""])
        self.started[2].ready()
        self.successResultOf(trial)
        self.assertEqual([process.told_to for process in self.started], ["retire", "", "", ""])
        self.assertFalse(self.supervisor.settled)
        self.started[3].ready()
        told = [process.told_to for process in self.started]
        self.assertEqual(told, ["retire", "retire", "", ""])
        self.assertEqual(self.started[3].orders, b"new\n")
        # What the retired ones still do holds nothing up.
        self.assertTrue(self.supervisor.settled)
        self.assertEqual(self.supervisor.status, "workers: 2 serving, 2 leaving")
        self.started[0].end()
        self.started[1].end()
        self.assertEqual(len(self.started), 4)
        self.assertEqual(self.log(LogLevel.error), [])

    def test_more_workers_replace_fewer(self) -> None:
        self.run_plan(plan(1))
        self.supervisor.replace(plan(3))
        self.assertEqual(len(self.started), 3)
        self.started[1].ready()
        self.started[2].ready()
        self.started[3].ready()
        self.assertTrue(self.supervisor.settled)
        self.assertEqual([process.told_to for process in self.started], ["retire", "", "", ""])

    def test_fewer_workers_replace_more(self) -> None:
        self.run_plan(plan(4))
        self.run_plan(plan(2))
        self.assertEqual(len(self.started), 6)
        told = [process.told_to for process in self.started]
        self.assertEqual(told, ["retire"] * 4 + [""] * 2)

    def test_a_plan_that_fails_leaves_all_as_it_was(self) -> None:
        self.run_plan(plan(2))
        trial = self.supervisor.replace(plan(2, b"bad"))
        self.started[2].say(b"failed no\n")
        self.started[2].end(1)
        self.failureResultOf(trial, WorkerFailed)
        self.assertEqual([process.told_to for process in self.started], ["", "", ""])
        self.assertTrue(self.supervisor.settled)
        self.started[0].end(1)
        self.assertEqual(self.started[3].orders, b"serve\n")

    def test_deaths_during_a_trial_are_made_good_when_it_fails(self) -> None:
        self.run_plan(plan(2))
        trial = self.supervisor.replace(plan(2, b"bad"))
        self.started[0].end(1)
        self.started[1].end(1)
        self.assertEqual(self.started[3].orders, b"bad\n")
        self.started[2].end(1)
        self.failureResultOf(trial, WorkerFailed)
        self.assertEqual(self.started[3].told_to, "SIGTERM")
        self.assertEqual([process.orders for process in self.started[4:]], [b"serve\n"] * 2)
        self.started[4].ready()
        self.started[5].ready()
        self.assertTrue(self.supervisor.settled)

    def test_a_good_plan_goes_on_when_a_later_worker_dies(self) -> None:
        self.run_plan(plan(2))
        self.successResultOf(self.replace_first(plan(2, b"new")))
        self.started[3].end(1)
        self.assertEqual(self.started[4].orders, b"new\n")
        self.started[4].ready()
        self.assertTrue(self.supervisor.settled)

    def replace_first(self, wanted: Plan) -> Deferred[None]:
        trial = self.supervisor.replace(wanted)
        self.started[-1].ready()
        return trial

    def test_a_replacement_may_itself_be_replaced_before_it_is_complete(self) -> None:
        self.run_plan(plan(2))
        self.replace_first(plan(2, b"new"))
        self.run_plan(plan(2, b"newest"))
        serving = [process for process in self.started if not process.told_to]
        self.assertEqual([process.orders for process in serving], [b"newest\n"] * 2)
        # The one that was being started is not waited for.
        self.assertEqual(self.started[3].told_to, "SIGTERM")

    def test_one_that_died_unnoticed_may_be_retired(self) -> None:
        self.run_plan(plan())
        self.started[0].deaf = True
        self.run_plan(plan())
        self.started[0].end(1)
        self.assertTrue(self.supervisor.settled)


class SilenceTests(SupervisorTestCase):
    def beat(self, times: int) -> None:
        self.reactor.pump([HEARTBEAT] * times)

    def test_who_says_nothing_is_killed_and_replaced(self) -> None:
        self.run_plan(plan())
        self.beat(QUIET - 1)
        self.assertTrue(self.supervisor.answering)
        self.beat(1)
        self.assertFalse(self.supervisor.answering)
        self.beat(SILENT - QUIET - 1)
        self.assertEqual(self.started[0].told_to, "")
        self.beat(1)
        self.assertEqual(self.started[0].told_to, "SIGABRT")
        self.assertFalse(self.supervisor.answering)
        self.beat(1)
        self.assertEqual(self.started[0].told_to, "SIGABRT SIGKILL")
        self.started[0].end(killed_by=signal.SIGKILL)
        self.assertEqual(len(self.started), 2)
        self.assertFalse(self.supervisor.answering)
        self.started[1].ready()
        self.assertTrue(self.supervisor.answering)

    def test_a_word_is_enough(self) -> None:
        self.run_plan(plan())
        for _ in range(3 * SILENT):
            self.beat(1)
            self.started[0].say(b"alive\n")
        self.assertEqual(self.started[0].told_to, "")

    def test_a_start_may_take_longer(self) -> None:
        self.supervisor.replace(plan())
        self.beat(STARTING - 1)
        self.assertEqual(self.started[0].told_to, "")
        self.beat(1)
        self.assertEqual(self.started[0].told_to, "SIGABRT")

    def test_a_jump_of_the_clock_kills_nobody(self) -> None:
        self.run_plan(plan())
        self.reactor.advance(HEARTBEAT * SILENT * 10)
        self.assertEqual(self.started[0].told_to, "")

    def test_who_is_leaving_must_answer_as_well(self) -> None:
        self.run_plan(plan())
        self.run_plan(plan())
        self.beat(SILENT)
        self.assertEqual(self.started[0].signals, [signal.SIGABRT])

    def test_one_of_several_is_enough_for_the_watchdog(self) -> None:
        self.run_plan(plan(2))
        for _ in range(SILENT + 2):
            self.beat(1)
            self.started[0].say(b"alive\n")
        self.assertTrue(self.supervisor.answering)


class StopTests(SupervisorTestCase):
    def test_all_are_told_and_waited_for(self) -> None:
        self.run_plan(plan(2))
        self.run_plan(plan(2))
        self.supervisor.replace(plan(2))
        stopped = self.supervisor.stopService()
        self.assertTrue(all("SIGTERM" in process.told_to for process in self.started))
        for process in self.started:
            self.assertNoResult(stopped)
            process.end()
        self.successResultOf(stopped)
        self.assertEqual(len(self.started), 5)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_who_takes_too_long_is_killed(self) -> None:
        self.run_plan(plan())
        stopped = self.supervisor.stopService()
        for _ in range(59):
            self.started[0].say(b"alive\n")
            self.reactor.advance(1)
        self.assertEqual(self.started[0].told_to, "SIGTERM")
        self.reactor.advance(1)
        self.assertEqual(self.started[0].told_to, "SIGTERM SIGKILL")
        self.started[0].end(killed_by=signal.SIGKILL)
        self.successResultOf(stopped)

    def test_one_that_has_just_ended_is_not_signalled(self) -> None:
        self.run_plan(plan())
        self.started[0].pid = None
        stopped = self.supervisor.stopService()
        self.started[0].end()
        self.successResultOf(stopped)

    def test_nothing_to_stop(self) -> None:
        self.successResultOf(self.supervisor.stopService())


class OutputTests(SupervisorTestCase):
    def test_logs_are_passed_on_in_whole_lines(self) -> None:
        self.run_plan(plan(2))
        one, two = self.started
        one.say(b"one 1\none", LOG)
        two.say(b"two 1\n", LOG)
        one.say(b" ", LOG)
        one.say(b"2\n\none 3", LOG)
        self.assertEqual(self.written, [b"one 1\n", b"two 1\n", b"one 2\n\n"])

    def test_complaints_become_events(self) -> None:
        self.run_plan(plan())
        self.started[0].say(b"Fatal \xff\nin main\nand", COMPLAINTS)
        self.started[0].say(b"half a line", LOG)
        self.assertEqual(self.log(LogLevel.warn), ["Fatal \\xff", "in main"])
        self.started[0].end(killed_by=signal.SIGSEGV)
        self.assertEqual(self.log(LogLevel.warn)[2:], ["half a line", "and"])
        self.assertEqual(self.written, [])
        warned = [event for event in self.events if event["log_level"] == LogLevel.warn]
        self.assertEqual({event["worker"] for event in warned}, {100})


class QuestionTests(SupervisorTestCase):
    """Workers are asked, and ask."""

    def ask(self) -> Deferred[bytes]:
        answer = self.supervisor.ask("health")
        assert answer is not None
        return answer

    def test_one_worker_is_asked(self) -> None:
        self.run_plan(plan(2))
        answers = [self.ask(), self.ask()]
        self.assertEqual(
            [process.told_to for process in self.started],
            ["ask 1 health null\nask 2 health null", ""],
        )
        self.started[0].say(b'answer 2 {"b":1}\nanswer 1 {"a":1}\nanswer 1 {}\n')
        self.assertEqual([self.successResultOf(it) for it in answers], [b'{"a":1}', b'{"b":1}'])
        self.assertEqual(self.log(LogLevel.error), [])

    def test_all_are_asked_that_serve_or_are_leaving(self) -> None:
        self.run_plan(plan(2))
        self.supervisor.replace(plan(2, b"new"))
        self.started[2].ready()
        self.assertEqual(self.started[0].told_to, "retire")
        answers = self.supervisor.ask_all("activity", b"[1]")
        self.assertEqual(
            [process.told_to for process in self.started],
            [
                "retire\nask 1 activity [1]",
                "ask 1 activity [1]",
                "ask 1 activity [1]",
                "",
            ],
        )
        for process in self.started[:3]:
            process.say(b"answer 1 %d\n" % process.number)
        self.assertEqual({self.successResultOf(it) for it in answers}, {b"100", b"101", b"102"})

    def test_one_that_may_hang_is_not_asked_if_another_has_been_heard_of(self) -> None:
        self.run_plan(plan(2))
        self.reactor.pump([HEARTBEAT])
        self.started[1].say(b"alive\n")
        self.ask()
        self.assertEqual([process.told_to for process in self.started], ["", "ask 1 health null"])

    def test_nobody_is_asked_who_does_not_serve_and_answer(self) -> None:
        self.assertIsNone(self.supervisor.ask("health"))
        self.supervisor.replace(plan())
        self.assertIsNone(self.supervisor.ask("health"))
        self.started[0].ready()
        self.reactor.pump([HEARTBEAT] * QUIET)
        self.assertIsNone(self.supervisor.ask("health"))
        self.started[0].say(b"alive\n")
        self.assertIsNotNone(self.supervisor.ask("health"))

    def test_one_that_ends_before_it_answers_leaves_nobody_waiting(self) -> None:
        self.run_plan(plan())
        answer = self.ask()
        self.started[0].end(killed_by=signal.SIGKILL)
        reason = self.failureResultOf(answer, Unanswered).getErrorMessage()
        self.assertEqual(reason, "has not answered: it was killed by SIGKILL")

    def test_who_waits_no_longer_disturbs_nobody(self) -> None:
        self.run_plan(plan())
        answer = self.ask()
        answer.addErrback(lambda _: None)
        answer.cancel()
        self.started[0].say(b"answer 1 {}\n")
        self.started[0].end()

    def test_one_that_does_not_read_is_not_asked(self) -> None:
        """What is sent to it would fill the parent's memory."""
        self.run_plan(plan())
        (process,) = self.started
        process.pipes[ORDERS].producer.pauseProducing()
        self.failureResultOf(self.ask(), Unanswered)
        self.supervisor.answers["page"] = self.page
        process.say(b"ask 1 page 2\n")
        self.assertEqual(process.told_to, "")
        process.pipes[ORDERS].producer.resumeProducing()
        self.assertNoResult(self.ask())
        process.pipes[ORDERS].producer.stopProducing()
        self.failureResultOf(self.ask(), Unanswered)

    async def page(self, payload: bytes) -> bytes:
        return b"[%s]" % payload

    def test_a_worker_is_answered(self) -> None:
        self.run_plan(plan())
        self.supervisor.answers["page"] = self.page
        self.started[0].say(b"ask 7 page 1\nask 8 book 1\n")
        self.assertEqual(
            self.started[0].told_to, 'answer 7 [1]\nerror 8 "does not know what is asked"'
        )

    def test_an_endless_line_is_cut(self) -> None:
        self.run_plan(plan())
        answer = self.ask()
        self.started[0].say(b"answer 1 ")
        for _ in range(5):
            self.started[0].say(b"x" * 2**20)
        self.started[0].say(b"x\nalive\n")
        self.assertEqual(len(self.successResultOf(answer)), MAX_LINE - len("answer 1 "))


class CountTests(SupervisorTestCase):
    """What workers count outlasts them."""

    def count(self, process: Process) -> None:
        """Count something in a process."""
        counts = Counts(Slab(self.memories[process.number]))
        counts.counter("done_total", "Done.").add(())

    def setUp(self) -> None:
        super().setUp()
        self.memories: dict[int, int] = {}
        spawn = self.reactor.spawnProcess

        def keep(protocol: Worker, *arguments: Any, childFDs: dict[int, Any]) -> Process:
            process = spawn(protocol, *arguments, childFDs=childFDs)
            # As a process has its own descriptor.
            self.memories[process.number] = os.dup(childFDs[COUNTS])
            self.addCleanup(os.close, self.memories[process.number])
            return process

        self.patch(self.reactor, "spawnProcess", keep)

    def done(self) -> float:
        (series,) = [series for family, series in self.tally.sums() if family.name == "done_total"]
        return series[()][0]

    def test_what_a_worker_has_counted_is_never_lost(self) -> None:
        self.run_plan(plan(2))
        for number in range(10):
            self.count(self.started[-1])
            self.started[-1].end(killed_by=signal.SIGKILL)
            self.assertEqual(self.done(), number + 1)
            self.reactor.advance(RECENT)
            self.started[-1].ready()
        self.assertEqual(self.supervisor.died, 10)
        self.assertEqual(self.supervisor.started, 12)

    def test_whoever_is_killed_has_died_whatever_it_was_doing(self) -> None:
        """While it serves, finishes its transfers, or is the first of a new plan."""
        self.run_plan(plan(2))
        self.started[0].end(killed_by=signal.SIGKILL)
        self.assertEqual(self.supervisor.died, 1)
        self.started[2].ready()
        self.run_plan(plan(2))
        self.assertEqual(self.started[1].told_to, "retire")
        self.started[1].end(killed_by=signal.SIGKILL)
        self.assertEqual(self.supervisor.died, 2)
        trial = self.supervisor.replace(plan(2))
        self.started[-1].end(killed_by=signal.SIGKILL)
        self.failureResultOf(trial, WorkerFailed)
        self.assertEqual(self.supervisor.died, 3)

    def test_whoever_ends_as_it_was_told_to_has_not_died(self) -> None:
        self.run_plan(plan(1))
        self.run_plan(plan(1))
        self.started[0].end()
        trial = self.supervisor.replace(plan(1))
        self.started[2].say(b"failed the disk is gone\n")
        self.started[2].end(1)
        self.failureResultOf(trial, WorkerFailed)
        self.supervisor.stopService()
        self.started[1].end(killed_by=signal.SIGTERM)
        self.assertEqual(self.supervisor.died, 0)

    def test_no_descriptor_of_a_worker_that_has_ended_is_left(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        self.run_plan(plan(2))
        for _ in range(10):
            self.started[-1].end()
            self.reactor.advance(RECENT)
            self.started[-1].ready()
        # The mapped memories of the two that run; these tests have one of each.
        left = len(os.listdir("/proc/self/fd")) - len(self.memories)
        self.assertEqual(left, before + 2)

    def test_a_worker_that_cannot_be_started_counts_nothing(self) -> None:
        self.reactor.error = OSError(11, "Resource temporarily unavailable")
        trial = self.supervisor.replace(plan())
        self.reactor.advance(0)
        self.failureResultOf(trial, WorkerFailed)
        self.assertEqual(list(self.tally.sums()), [])
