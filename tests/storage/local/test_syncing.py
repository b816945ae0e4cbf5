"""Files that are made durable at the same time: each error is told, and nothing too early."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from giftless.storage.local.syncing import MOST, NUMBERS, Kernel, Syncs
from tests.support.failing_file import FailingFile
from tests.support.kernel import refuse_call, run_alone
from tests.support.processes import PATIENCE

#: The refusals of a kernel that is too old, or has given away what it has, and of a sandbox.
REFUSALS = (errno.EINVAL, errno.EAGAIN, errno.ENOSYS, errno.EPERM)


class CountingKernel(Kernel):
    """The system's, as long as it is told nothing else.

    :ivar begun: how many files it has taken.
    :ivar ended: of how many of these it has told the end.
    """

    begun = ended = 0

    def submit(self, context: int, requests: Any) -> int:
        count = super().submit(context, requests)
        self.begun += count
        return count

    def wait(self, context: int, events: Any) -> int:
        count = super().wait(context, events)
        self.ended += count
        return count


class SyncsTestCase(SynchronousTestCase):
    """A test case with files that are not synced."""

    def setUp(self) -> None:
        self.top = Path(self.mktemp())
        self.top.mkdir()
        self.kernel = CountingKernel()
        self.in_turn: list[int] = []
        real = os.fsync

        def fsync(fd: int) -> None:
            self.in_turn.append(fd)
            real(fd)

        self.patch(os, "fsync", fsync)

    def open(self, name: str, flags: int = os.O_RDWR | os.O_CREAT) -> int:
        fd = os.open(self.top / name, flags)
        self.addCleanup(os.close, fd)
        return fd

    def make(self, count: int) -> list[int]:
        """Return the descriptors of new files."""
        fds = [self.open(f"file{number}") for number in range(count)]
        for fd in fds:
            os.write(fd, b"abc")
        return fds

    def sync(self, fds: Sequence[int], kernel: Kernel | None = None) -> list[int | None]:
        """Sync files; returns the errno of each."""
        problems = Syncs(kernel or self.kernel).sync_all(fds)
        self.assertEqual(self.kernel.ended, self.kernel.begun)
        return [None if problem is None else problem.errno for problem in problems]


class SyncsTests(SyncsTestCase):
    def setUp(self) -> None:
        super().setUp()
        need_kernel(self.kernel)

    def test_files_go_to_the_kernel_together(self) -> None:
        self.assertEqual(self.sync(self.make(8)), [None] * 8)
        self.assertEqual((self.kernel.begun, self.in_turn), (8, []))

    def test_a_single_file_is_synced_as_ever(self) -> None:
        fds = self.make(1)
        self.assertEqual(self.sync(fds), [None])
        self.assertEqual((self.kernel.begun, self.in_turn), (0, fds))
        self.assertEqual(self.sync([]), [])

    def test_more_files_than_a_context_takes(self) -> None:
        fds = self.make(MOST + 3)
        self.assertEqual(self.sync(fds), [None] * len(fds))
        self.assertEqual((self.kernel.begun, self.in_turn), (MOST, fds[MOST:]))

    def test_an_error_is_its_own_files_alone(self) -> None:
        (self.top / "broken").write_bytes(b"abc")
        hold = threading.Event()
        hold.set()
        with FailingFile(self.top / "broken", hold=hold) as failing:
            first, last = self.make(2)
            broken = os.open(self.top / "broken", os.O_RDONLY)
            try:
                self.assertEqual(self.sync([first, broken, last]), [None, errno.EIO, None])
            finally:
                os.close(broken)
            self.assertEqual((self.kernel.begun, self.in_turn), (3, []))
            self.assertEqual(failing.refused, 1)

    def test_it_waits_for_the_slowest(self) -> None:
        (self.top / "slow").write_bytes(b"abc")
        hold = threading.Event()
        with FailingFile(self.top / "slow", hold=hold):
            slow = os.open(self.top / "slow", os.O_RDONLY)
            told: list[list[int | None]] = []
            fds = [slow, *self.make(2)]
            thread = threading.Thread(target=lambda: told.append(self.sync(fds)))
            thread.start()
            thread.join(0.1)
            self.assertEqual(told, [])
            hold.set()
            thread.join(PATIENCE)
            os.close(slow)
        self.assertEqual(told, [[errno.EIO, None, None]])

    def test_what_the_kernel_does_not_take_is_synced_in_turn(self) -> None:
        """Pipes have no sync, so it stops there."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        first, last = self.make(2)
        self.assertEqual(self.sync([first, reading, last]), [None, errno.EINVAL, None])
        self.assertEqual((self.kernel.begun, self.in_turn), (1, [reading, last]))

    def test_signals_and_a_few_files_at_a_time(self) -> None:
        class Slow(CountingKernel):
            calls = 0

            def wait(self, context: int, events: Any) -> int:
                self.calls += 1
                if self.calls % 2:
                    raise InterruptedError
                one = (events._type_ * 1)()
                count = super().wait(context, one)
                events[0] = one[0]
                return count

        self.kernel = Slow()
        self.assertEqual(self.sync(self.make(5)), [None] * 5)
        self.assertEqual((self.kernel.ended, self.in_turn), (5, []))

    def test_files_of_which_nobody_tells_are_not_durable(self) -> None:
        """The next sync would tell nothing of their errors; the kernel ends them all the same."""
        destroyed: list[int] = []

        class Silent(CountingKernel):
            def wait(self, context: int, events: Any) -> int:
                raise OSError(errno.EFAULT, "silent")

            def destroy(self, context: int) -> None:
                destroyed.append(context)
                super().destroy(context)

        syncs = Syncs(Silent())
        fds = self.make(3)
        for count in (1, 2):
            problems = syncs.sync_all(fds)
            self.assertEqual([it and it.errno for it in problems], [errno.EIO] * 3)
            self.assertEqual(len(destroyed), count)

    def test_threads_share_no_context(self) -> None:
        syncs = Syncs(self.kernel)
        problems: list[OSError | None] = []
        kinds = (self.make(6), [self.open("/dev/null"), self.open("/dev/zero")])

        def work(number: int) -> None:
            for _ in range(20):
                problems.extend(syncs.sync_all(kinds[number % 2]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told = [None if it is None else it.errno for it in problems]
        self.assertEqual((told.count(None), told.count(errno.EINVAL)), (240, 80))
        self.assertLessEqual(len(syncs._idle), 4)

    def test_contexts_are_used_again_and_freed(self) -> None:
        contexts: list[int] = []

        class Noting(Kernel):
            def setup(self) -> int:
                contexts.append(super().setup())
                return contexts[-1]

            def destroy(self, context: int) -> None:
                contexts.remove(context)
                super().destroy(context)

        syncs = Syncs(Noting())
        for _ in range(3):
            syncs.sync_all(self.make(2))
            self.assertEqual(len(contexts), 1)
        del syncs
        self.assertEqual(contexts, [])


class RefusalTests(SyncsTestCase):
    """Where the kernel takes no files, they are synced one after the other."""

    def assert_in_turn(self, kernel: Kernel) -> None:
        self.in_turn.clear()
        fds = [*self.make(2), self.open("/dev/null")]
        self.assertEqual(self.sync(fds, kernel), [None, None, errno.EINVAL])
        self.assertEqual(self.in_turn, fds)

    def test_a_processor_whose_numbers_are_not_known(self) -> None:
        self.assert_in_turn(Kernel("riscv64"))

    def test_a_system_that_is_not_linux(self) -> None:
        self.patch(sys, "platform", "freebsd14")
        self.assert_in_turn(Kernel())

    def test_no_context_to_be_had(self) -> None:
        for refusal in REFUSALS:

            class Refusing(Kernel):
                def setup(self, refusal: int = refusal) -> int:
                    raise OSError(refusal, "refused")

            self.assert_in_turn(Refusing())

    def test_no_file_taken(self) -> None:
        for refusal in REFUSALS:

            class Refusing(Kernel):
                def submit(self, context: int, requests: Any, refusal: int = refusal) -> int:
                    raise OSError(refusal, "refused")

            self.assert_in_turn(Refusing())

    def test_sandboxes_and_forked_processes(self) -> None:
        need_kernel(self.kernel)
        lines = run_alone(__name__, "in_sandbox", self.top).splitlines()
        self.assertEqual(lines[:3], ["at first: 0", "forked: 0", "after that: 0"])
        self.assertEqual(lines[3:], ["refused: 3"] * 2 * len(REFUSALS))


def need_kernel(kernel: Kernel) -> None:
    """Skip the test where the kernel takes no files."""
    try:
        kernel.destroy(kernel.setup())
    except OSError as error:
        raise SkipTest(f"the kernel has no asynchronous I/O: {error}") from None


def in_sandbox(top: str) -> None:
    """Sync files, also in a forked process and where calls are refused.

    Prints how many are synced in turn.
    """
    in_turn: list[int] = []
    real = os.fsync

    def fsync(fd: Any) -> None:
        in_turn.append(fd)
        real(fd)

    os.fsync = fsync
    fds = [os.open(f"{top}/{number}", os.O_RDWR | os.O_CREAT) for number in range(3)]

    def sync(syncs: Syncs, when: str) -> None:
        in_turn.clear()
        assert syncs.sync_all(fds) == [None] * 3
        print(f"{when}: {len(in_turn)}", flush=True)

    syncs = Syncs()
    sync(syncs, "at first")
    if (pid := os.fork()) == 0:
        sync(syncs, "forked")
        os._exit(0)
    os.waitpid(pid, 0)
    sync(syncs, "after that")
    numbers = NUMBERS[os.uname().machine]
    for refusal in REFUSALS:
        refuse_call(numbers.submit, refusal)
        sync(syncs, "refused")
    for refusal in REFUSALS:
        refuse_call(numbers.setup, refusal)
        sync(Syncs(), "refused")
