"""Names that one holder at a time has, and gives to whoever asks."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from giftless.base.hold_files import PATIENCE, SLOW_PATIENCE, Attempt
from giftless.base.holds import BOUND, Hold, Holds
from giftless.errors import Conflict, ServiceUnavailable
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase
from tests.support.scripts import Process, start_script
from tests.support.threads import running_threads

#: Claims a name, says so, and says when it is wanted; releases it then if that is its way.
HOLDER = """
import os, sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from giftless.base.holds import Holds
from giftless.base.threads import Threads

path, way = sys.argv[1:]

async def hold():
    threads = Threads(reactor, 1)
    threads.startService()
    holds = Holds(lambda: os.open(path, os.O_RDONLY), threads, reactor)
    held = await holds.claim("name")
    if way == "committing":
        await held.committing()
    print("held", flush=True)
    await held.wanted
    print("wanted", flush=True)
    if way == "polite":
        await held.release()
    else:
        sys.stdin.readline()
        print(held.lost(), flush=True)
        await held.release()
    threads.stopService()

react(lambda reactor: Deferred.fromCoroutine(hold()))
"""


def opened_below(path: str) -> list[str]:
    """Return what this process has open in a directory, and that itself."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [place for place in found if place.startswith(os.path.abspath(path))]


def die(hold: Hold) -> None:
    """Do what the kernel does when a holder is killed."""
    fd, hold.file._fd = hold.file._fd, -1
    os.close(fd)


class HoldsTestCase(CoroutineTestCase):
    """A test case with an empty directory, and two processes' ways to it, both in this one."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        os.mkdir(self.path)
        self.clock = Clock()
        self.holds = self.other_process()
        self.addCleanup(self.assert_nothing_is_left)

    def other_process(self) -> Holds:
        """Return what another process would have."""
        return Holds(self.open_directory, InlineBlocking(), self.clock)

    def stopped_process(self) -> Holds:
        """Return what a process has that is stopped as soon as it has claimed something."""
        return Holds(self.open_directory, InlineBlocking(), Clock())

    def open_directory(self) -> int:
        return os.open(self.path, os.O_RDONLY)

    def claim(self, name: str = "name", holds: Holds | None = None) -> Hold:
        """Claim what is free."""
        return self.run_now((holds or self.holds).claim(name))

    def claiming(self) -> Deferred[Hold]:
        """Claim what somebody else has."""
        claiming = self.start(self.other_process().claim("name"))
        self.assertNoResult(claiming)
        return claiming

    def pump(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.pump([0.05] * round(seconds / 0.05))

    def assert_nothing_is_left(self) -> None:
        self.assertEqual(os.listdir(self.path), [])
        self.assertEqual(opened_below(self.path), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HoldsTests(HoldsTestCase):
    def test_a_name_that_is_free_is_had_at_once(self) -> None:
        for name in ("name", "other/name", "\u00fc" * 5000, "\udcff"):
            hold = self.claim(name)
            self.assertFalse(hold.seized)
            self.assertFalse(hold.lost())
            self.assertNoResult(hold.wanted)
            self.run_now(hold.release())
            self.run_now(hold.release())

    def test_different_names_have_nothing_to_do_with_each_other(self) -> None:
        first, second = self.claim("a"), self.claim("b")
        self.pump(5)
        self.assertNoResult(first.wanted)
        self.assertNoResult(second.wanted)
        for hold in (first, second):
            self.run_now(hold.release())

    def test_a_holder_is_asked_and_the_claimer_follows_soon(self) -> None:
        hold = self.claim()
        claiming = self.claiming()
        self.pump(0.5)
        self.successResultOf(hold.wanted)
        self.assertNoResult(claiming)
        self.run_now(hold.release())
        self.pump(0.2)
        following = self.successResultOf(claiming)
        self.assertFalse(following.seized)
        self.pump(5)
        self.assertNoResult(following.wanted)
        self.run_now(following.release())

    def test_claims_in_one_process_exclude_each_other_as_well(self) -> None:
        hold = self.claim()
        claiming = self.start(self.holds.claim("name"))
        self.pump(0.5)
        self.assertNoResult(claiming)
        self.successResultOf(hold.wanted)
        self.run_now(hold.release())
        self.pump(0.2)
        self.run_now(self.successResultOf(claiming).release())

    def test_a_holder_who_answers_has_more_time(self) -> None:
        """Its disk may be slow."""
        hold = self.claim()
        claiming = self.claiming()
        self.pump(SLOW_PATIENCE - 0.3)
        self.successResultOf(hold.wanted)
        self.assertNoResult(claiming)
        self.assertFalse(hold.lost())
        self.pump(0.6)
        following = self.successResultOf(claiming)
        self.assertTrue(following.seized)
        self.assertTrue(hold.lost())
        following.replaced()
        for each in (hold, following):
            self.run_now(each.release())

    def test_a_holder_who_does_not_answer_loses_the_name(self) -> None:
        hold = self.claim(holds=self.stopped_process())
        claiming = self.claiming()
        self.pump(PATIENCE - 0.2)
        self.assertFalse(hold.lost())
        self.assertNoResult(claiming)
        self.pump(0.4)
        following = self.successResultOf(claiming)
        self.assertTrue(following.seized)
        self.assertTrue(hold.lost())
        self.assert_fails(Conflict, hold.committing())
        # What the loser does harms nobody.
        self.run_now(hold.release())
        self.assertFalse(following.lost())
        self.run_now(following.committing())
        following.replaced()
        self.run_now(following.release())

    def test_that_a_name_was_taken_away_is_known_until_what_was_open_is_replaced(self) -> None:
        """Whoever has taken it may be killed before it has replaced what was open."""
        hold = self.claim(holds=self.stopped_process())
        claiming = self.claiming()
        self.pump(PATIENCE + 0.2)
        second = self.successResultOf(claiming)
        die(second)
        third = self.claim(holds=self.other_process())
        self.assertTrue(third.seized)
        self.run_now(third.release())
        third = self.claim(holds=self.other_process())
        self.assertTrue(third.seized)
        third.replaced()
        for each in (third, second, hold):
            self.run_now(each.release())
        fourth = self.claim()
        self.assertFalse(fourth.seized)
        self.run_now(fourth.release())

    def test_who_commits_keeps_the_name(self) -> None:
        hold = self.claim()
        self.run_now(hold.committing())
        self.run_now(hold.committing())
        claiming = self.claiming()
        self.pump(BOUND - 1)
        self.assertNoResult(claiming)
        self.assertFalse(hold.lost())
        self.pump(2)
        error = self.failureResultOf(claiming, ServiceUnavailable).value
        self.assertIn("Retry-After", error.headers)
        self.assertFalse(hold.lost())
        self.run_now(hold.release())

    def test_who_has_committed_gives_the_name_back(self) -> None:
        hold = self.claim()
        self.run_now(hold.committing())
        claiming = self.claiming()
        self.pump(10)
        self.run_now(hold.release())
        self.pump(0.2)
        following = self.successResultOf(claiming)
        self.assertFalse(following.seized)
        self.run_now(following.release())

    def test_a_name_is_kept_for_a_while(self) -> None:
        hold = self.claim(holds=self.stopped_process())
        self.run_now(hold.committing())
        self.run_now(hold.yielding())
        with hold.kept():
            claiming = self.claiming()
            self.pump(10)
            self.assertNoResult(claiming)
        self.pump(0.2)
        following = self.successResultOf(claiming)
        self.assertTrue(following.seized)
        with self.assertRaises(Conflict), hold.kept():
            self.fail("it is lost")
        following.replaced()
        for each in (hold, following):
            self.run_now(each.release())

    def test_each_new_holder_is_asked_before_it_loses_the_name(self) -> None:
        """Not those who waited long because of others."""
        hold = self.claim()
        claimings = [self.claiming(), self.claiming()]
        self.pump(PATIENCE - 0.2)
        self.run_now(hold.release())
        self.pump(0.3)
        (first,) = [claiming for claiming in claimings if claiming.called]
        (last,) = [claiming for claiming in claimings if not claiming.called]
        following = self.successResultOf(first)
        self.pump(0.5)
        self.successResultOf(following.wanted)
        self.assertFalse(following.lost())
        self.run_now(following.release())
        self.pump(0.2)
        self.run_now(self.successResultOf(last).release())

    def test_only_what_nobody_holds_is_claimed_without_a_question(self) -> None:
        hold = self.claim()
        self.assertIsNone(self.run_now(self.other_process().claim_unheld("name")))
        self.pump(1)
        self.assertNoResult(hold.wanted)
        self.run_now(hold.release())
        unheld = self.run_now(self.holds.claim_unheld("name"))
        assert unheld is not None
        self.run_now(unheld.release())

    def test_what_dead_processes_have_left_is_swept(self) -> None:
        held, dead, seized = map(self.claim, ("held", "dead", "seized"))
        os.chmod(os.path.join(self.path, seized.file._name), 0o700)
        for each in (dead, seized):
            die(each)
        self.assertEqual(len(os.listdir(self.path)), 3)
        self.assertEqual(self.run_now(self.holds.sweep()), 1)
        self.assertFalse(held.lost())
        # Whoever has lost it may be alive.
        again = self.claim("seized")
        self.assertTrue(again.seized)
        again.replaced()
        for each in (held, again, dead, seized):
            self.run_now(each.release())


class TroubleTests(HoldsTestCase):
    def test_a_directory_that_is_gone_is_an_error_for_who_comes_and_none_for_who_goes(self) -> None:
        hold = self.claim()
        moved = f"{self.path}-moved"
        os.rename(self.path, moved)
        self.assert_fails(FileNotFoundError, self.other_process().claim("name"))
        self.run_now(hold.release())
        os.rename(moved, self.path)
        # Its file is still there, and in nobody's way.
        again = self.claim()
        self.assertFalse(again.seized)
        self.run_now(again.release())

    def test_a_file_that_somebody_removes_is_a_name_that_is_lost(self) -> None:
        hold = self.claim()
        (name,) = os.listdir(self.path)
        os.unlink(os.path.join(self.path, name))
        self.assertTrue(hold.lost())
        self.pump(0.3)
        self.successResultOf(hold.wanted)
        following = self.claim(holds=self.other_process())
        self.run_now(hold.release())
        self.assertFalse(following.lost())
        self.run_now(following.release())

    def test_a_file_that_is_closed_while_it_is_looked_at_changes_no_other(self) -> None:
        """Its descriptor may be that of another file a moment later."""
        hold = self.claim()
        claiming = self.claiming()
        other = os.path.join(self.path, "other")
        truncate = os.ftruncate

        def close_before(fd: int, length: int) -> None:
            closing.start()
            closing.join(0.2)
            truncate(fd, length)

        def close() -> None:
            number = hold.file._fd
            hold.file.close()
            with open(other, "wb") as file:
                file.write(b"others' bytes")
                file.flush()
                os.dup2(file.fileno(), number)
            looked.wait()
            os.close(number)

        closing, looked = threading.Thread(target=close), threading.Event()
        patch = self.patch(os, "ftruncate", close_before)
        hold.file.wanted()
        looked.set()
        patch.restore()
        closing.join()
        with open(other, "rb") as file:
            self.assertEqual(file.read(), b"others' bytes")
        os.unlink(other)
        self.run_now(hold.release())
        self.pump(0.2)
        self.run_now(self.successResultOf(claiming).release())

    def test_what_lies_in_the_place_of_a_file_is_an_error(self) -> None:
        hold = self.claim()
        file = os.path.join(self.path, hold.file._name)
        self.run_now(hold.release())
        os.symlink("/etc/passwd", file)
        self.assert_fails(OSError, self.holds.claim("name"))
        os.unlink(file)
        os.mkdir(file)
        self.assert_fails(IsADirectoryError, self.holds.claim("name"))
        self.assertEqual(self.run_now(self.holds.sweep()), 0)
        os.rmdir(file)

    def test_who_gives_up_waiting_leaves_nothing(self) -> None:
        hold = self.claim()
        claiming = self.claiming()
        self.pump(0.35)
        claiming.cancel()
        self.failureResultOf(claiming, CancelledError)
        self.run_now(hold.release())

    def test_who_gives_up_just_when_it_gets_the_name_leaves_nothing(self) -> None:
        blocking = ManualBlocking()
        holds = Holds(self.open_directory, blocking, self.clock)
        for late in (False, True):
            claiming = self.start(holds.claim("name"))
            if late:
                # The step has been done in its thread, and nobody has heard of it.
                _, function, args = blocking._jobs.pop()
                function(*args)
                self.assertEqual(len(os.listdir(self.path)), 1)
            claiming.cancel()
            self.failureResultOf(claiming, CancelledError)
            while blocking.waiting:
                blocking.do_next()
            self.assertEqual(os.listdir(self.path), [])

    def test_who_takes_a_name_away_and_is_killed_is_in_nobodys_way(self) -> None:
        """Before each of the calls by which it changes the directory."""
        for name in ("fchmod", "open", "ftruncate", "rename"):
            hold = self.claim(holds=self.stopped_process())
            attempt = Attempt(self.open_directory, hold.file._name)
            attempt.step(0.0)
            with self.killed_at(name):
                self.assertRaises(KeyboardInterrupt, attempt.step, PATIENCE)
            attempt._close()
            claiming = self.claiming()
            self.pump(PATIENCE + 0.2)
            following = self.successResultOf(claiming)
            self.assertTrue(following.seized)
            following.replaced()
            for each in (hold, following):
                self.run_now(each.release())
            self.run_now(self.holds.sweep())
            self.assertEqual(os.listdir(self.path), [], name)

    @contextlib.contextmanager
    def killed_at(self, name: str) -> Iterator[None]:
        """Let a process be killed at a call that takes a name away."""
        real = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            takes = {
                "open": lambda: str(args[0]).endswith(".next"),
                "ftruncate": lambda: args[1] == 1,
            }
            if takes.get(name, lambda: True)():
                raise KeyboardInterrupt
            return real(*args, **options)

        patch = self.patch(os, name, call)
        yield
        patch.restore()


class ProcessTests(TestCase):
    """With other processes, and a reactor that runs."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        os.mkdir(self.path)
        self.threads = running_threads(self)
        self.holds = Holds(lambda: os.open(self.path, os.O_RDONLY), self.threads, reactor)

    def start(self, way: str) -> Process:
        """Start a process that holds the name when this returns."""
        process = start_script(HOLDER, self.path, way)

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        self.assertEqual(self.line(process), "held\n")
        return process

    def line(self, process: Process) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    async def test_another_process_is_asked_and_releases_within_a_second(self) -> None:
        process = self.start("polite")
        began = reactor.seconds()
        hold = await self.holds.claim("name")
        took = reactor.seconds() - began
        self.assertFalse(hold.seized)
        self.assertEqual(self.line(process), "wanted\n")
        await hold.release()
        self.assertEqual(os.listdir(self.path), [])
        self.assertEqual(process.wait(), 0)
        self.assertLess(took, PATIENCE)

    async def test_a_process_that_is_stopped_loses_the_name_and_sees_it(self) -> None:
        process = self.start("rude")
        process.send_signal(signal.SIGSTOP)
        hold = await self.holds.claim("name")
        self.assertTrue(hold.seized)
        process.send_signal(signal.SIGCONT)
        self.assertEqual(self.line(process), "wanted\n")
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(self.line(process), "True\n")
        self.assertEqual(process.wait(), 0)
        self.assertFalse(hold.lost())
        hold.replaced()
        await hold.release()
        self.assertEqual(os.listdir(self.path), [])

    async def test_a_process_that_commits_keeps_the_name_even_if_it_is_stopped(self) -> None:
        process = self.start("committing")
        process.send_signal(signal.SIGSTOP)
        claiming = Deferred.fromCoroutine(self.holds.claim("name"))
        deadline: Deferred[None] = Deferred()
        reactor.callLater(PATIENCE + 1, deadline.callback, None)
        await deadline
        self.assertNoResult(claiming)
        process.kill()
        hold = await claiming
        self.assertFalse(hold.seized)
        await hold.release()

    async def test_a_name_is_free_when_its_holder_is_killed(self) -> None:
        process = self.start("rude")
        process.kill()
        process.wait()
        self.assertEqual(len(os.listdir(self.path)), 1)
        began = reactor.seconds()
        hold = await self.holds.claim("name")
        self.assertLess(reactor.seconds() - began, PATIENCE)
        self.assertFalse(hold.seized)
        await hold.release()
        self.assertEqual(os.listdir(self.path), [])

    async def test_fifty_who_come_at_once_get_through_one_at_a_time(self) -> None:
        inside: list[int] = []

        async def go(number: int) -> bool:
            hold = await self.holds.claim("name")
            self.assertEqual(inside, [])
            inside.append(number)
            await self.threads.run(threading.get_ident)
            inside.remove(number)
            seized = hold.seized
            await hold.release()
            return seized

        results = await gatherResults([Deferred.fromCoroutine(go(number)) for number in range(50)])
        self.assertEqual(results, [False] * 50)
        self.assertEqual(os.listdir(self.path), [])
        self.assertEqual(opened_below(self.path), [])
