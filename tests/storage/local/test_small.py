"""Small files that are stored together: none is acknowledged before it is durable."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import weakref
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from giftless.base.threads import Threads
from giftless.errors import InsufficientStorage
from giftless.storage.local import small
from giftless.storage.local.disks import Place
from giftless.storage.local.files import make_directories
from giftless.storage.local.root import Root
from giftless.storage.local.small import (
    PATIENCE,
    SMALL_BYTES,
    SmallFile,
    SmallFiles,
    store_together,
)
from giftless.storage.local.store import LocalStore
from giftless.storage.local.syncing import Kernel, Syncs
from tests.storage.local.test_syncing import need_kernel
from tests.support.blocking import ManualBlocking
from tests.support.bodies import ListBody
from tests.support.making import key_of, put_object
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase

#: The system calls for eight files in a directory, without syncs.  The test itself asks
#: for the root, by one ``open`` and one ``stat``.
_CALLS: Final = {"open": 8 + 1, "writev": 8, "rename": 8, "stat": 1 + 1, "lstat": 1, "getpid": 1}


class SmallTestCase(CoroutineTestCase):
    """A test case in an empty directory, where the test says when work is done."""

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.tmp = self.top / ".giftless" / "tmp"
        self.blocking = ManualBlocking()
        self.root = Root(os.fsencode(self.top))
        self.root.enter()
        self.clock = Clock()
        self.files = SmallFiles(self.blocking, self.clock.seconds)

    def store(self, name: str, data: bytes = b"abc") -> Deferred[None]:
        """Begin to store a file."""
        return self.files.store(SmallFile(Place(self.root, name.encode()), [data]))

    def path(self, name: str) -> bytes:
        return os.fsencode(self.top / name)

    def finish(self) -> None:
        """Do all work that there is."""
        while self.blocking.waiting:
            self.blocking.do_next()


class TogetherTests(SmallTestCase):
    def test_a_file_is_stored_by_one_job(self) -> None:
        stored = self.store("org/a")
        self.assertNoResult(stored)
        self.assertEqual(self.blocking.waiting, 1)
        self.blocking.do_next()
        self.successResultOf(stored)
        self.assertEqual((self.top / "org/a").read_bytes(), b"abc")
        self.assertEqual(self.blocking.waiting, 0)

    def test_files_that_come_until_a_thread_begins_go_together(self) -> None:
        stored = [self.store(f"org/{number}") for number in range(6)]
        self.assertEqual(self.blocking.waiting, 1)
        for one in stored:
            self.assertNoResult(one)
        self.blocking.do_next()
        for one in stored:
            self.successResultOf(one)
        self.assertEqual(self.blocking.waiting, 0)

    def test_there_is_more_than_one_job_when_too_many_wait(self) -> None:
        """But only so many: threads are for others, too."""
        stored = [self.store(f"org/{number}") for number in range(200)]
        self.assertEqual(self.blocking.waiting, 4)
        self.finish()
        for one in stored:
            self.successResultOf(one)
        self.assertEqual(len(list((self.top / "org").iterdir())), 200)

    def test_files_wait_for_a_slow_job_only_until_the_next_one_comes(self) -> None:
        """Few clients that send one after the other never have as many as one job takes."""
        for name in ("org/a", "org/b"):
            self.store(name)
        self.clock.advance(PATIENCE * 1.01)
        third = self.store("org/c")
        self.assertEqual(self.blocking.waiting, 2)
        self.finish()
        self.successResultOf(third)
        self.assertEqual(len(list((self.top / "org").iterdir())), 3)

    def test_files_on_another_disk_do_not_wait(self) -> None:
        """One of the disks may hang."""
        self.store("org/a")
        (other := self.top / "other").mkdir()
        place = Place(Root(os.fsencode(other)), b"org/b")
        stored = self.files.store(SmallFile(place, [b"abc"]))
        self.assertEqual(self.blocking.waiting, 2)
        self.finish()
        self.successResultOf(stored)
        self.assertEqual((other / "org/b").read_bytes(), b"abc")

    def test_a_job_that_is_not_done_fails_its_files_and_no_others(self) -> None:
        first = self.store("org/a")
        self.blocking.fail_next(MemoryError())
        self.failureResultOf(first, MemoryError)
        second = self.store("org/b")
        self.finish()
        self.successResultOf(second)
        third = self.store("org/c")
        self.finish()
        self.successResultOf(third)

    def test_a_failure_is_freed_with_who_waited_for_it(self) -> None:
        """It has the files' bytes, and Python seldom looks for circles."""
        gc.disable()
        self.addCleanup(gc.enable)
        (self.top / "org").write_bytes(b"no directory")
        place = Place(Root(os.fsencode(self.top)), b"org/a")
        (problem,) = store_together([SmallFile(place, [b"abc"])], Syncs())
        assert problem is not None
        kept = weakref.ref(problem)
        del problem
        self.assertIsNone(kept())


class DurabilityTests(SmallTestCase):
    """Nothing is acknowledged too early.

    :cvar machine: the processor for which the kernel is called.
    """

    machine = os.uname().machine

    def setUp(self) -> None:
        super().setUp()
        self.calls: list[tuple[str, str]] = []
        #: The error that is told of a sync, by its number among those of files.
        self.errors: dict[int, int] = {}
        kernel = _NotingKernel(self.machine, self.note_sync)
        self.patch(small, "Syncs", partial(Syncs, kernel))
        self.files = SmallFiles(self.blocking, self.clock.seconds)
        real_fsync, real_rename = os.fsync, os.rename

        def fsync(fd: int) -> None:
            real_fsync(fd)
            if problem := self.note_sync(fd):
                raise OSError(problem, os.strerror(problem))

        def rename(source: bytes, target: bytes, **options: int) -> None:
            real_rename(source, target, **options)
            self.calls.append(("rename", os.path.basename(os.fsdecode(target))))

        self.patch(os, "fsync", fsync)
        self.patch(os, "rename", rename)

    def note_sync(self, fd: int) -> int:
        """Note that a file was synced; returns the errno that is told, or 0."""
        name = Path(os.readlink(f"/proc/self/fd/{fd}")).relative_to(self.top)
        self.calls.append(("fsync", "file" if name.parent.name == "tmp" else str(name)))
        return self.errors.get(self.calls.count(("fsync", "file")), 0)

    def run_together(self, *names: str) -> list[Deferred[None]]:
        """Store files by one job; note what it does to the disk."""
        # This is about files: the directories are made, and synced, before.
        for directory in {os.path.dirname(name.encode()) for name in names}:
            make_directories(self.root.enter(), directory)
        stored = [self.store(name) for name in names]
        self.calls.clear()
        self.blocking.do_next()
        return stored

    def test_a_directory_is_synced_once_after_the_last_name_in_it(self) -> None:
        stored = self.run_together("org/a", "org/b", "org/c")
        for one in stored:
            self.successResultOf(one)
        renames = [("rename", name) for name in "abc"]
        self.assertEqual(self.calls, [*[("fsync", "file")] * 3, *renames, ("fsync", "org")])

    def test_each_directory_is_synced(self) -> None:
        self.run_together("org/a", "other/b", "org/c")
        self.assertEqual(sorted(self.calls[-2:]), [("fsync", "org"), ("fsync", "other")])
        self.assertEqual(len(self.calls), 8)

    def test_a_name_that_comes_during_a_sync_waits_for_the_next(self) -> None:
        """The sync that runs need not hold it."""
        late: list[Deferred[None]] = []
        sync = os.fsync

        def fsync(fd: int) -> None:
            if os.readlink(f"/proc/self/fd/{fd}").endswith("org") and not late:
                late.append(self.store("org/late"))
            sync(fd)

        self.patch(os, "fsync", fsync)
        (early,) = self.run_together("org/early")
        self.successResultOf(early)
        self.assertNoResult(late[0])
        self.calls.clear()
        self.finish()
        self.successResultOf(late[0])
        self.assertEqual(self.calls, [("fsync", "file"), ("rename", "late"), ("fsync", "org")])

    def test_without_a_sync_of_the_directory_nothing_is_acknowledged(self) -> None:
        sync = os.fsync

        def fsync(fd: int) -> None:
            if os.readlink(f"/proc/self/fd/{fd}").endswith("org"):
                raise OSError(errno.EIO, "broken disk")
            sync(fd)

        self.patch(os, "fsync", fsync)
        for one in self.run_together("org/a", "org/b"):
            self.assertEqual(self.failureResultOf(one, OSError).value.errno, errno.EIO)

    def test_a_file_that_cannot_be_stored_holds_up_no_other(self) -> None:
        for step in ("writev", "rename"):
            real, calls = getattr(os, step), [0]

            def fail(
                *arguments: Any, calls: list[int] = calls, real: Any = real, **options: int
            ) -> Any:
                calls[0] += 1
                if calls[0] == 2:
                    raise OSError(errno.ENOSPC, "full")
                return real(*arguments, **options)

            with contextlib.ExitStack() as stack:
                patch = self.patch(os, step, fail)
                stack.callback(patch.restore)
                outcomes = self.run_together("org/a", "org/b", "org/c")
            self.successResultOf(outcomes[0])
            self.assertEqual(self.failureResultOf(outcomes[1], OSError).value.errno, errno.ENOSPC)
            self.successResultOf(outcomes[2])
            self.assertEqual(sorted(os.listdir(self.top / "org")), ["a", "c"])
            self.assertEqual(os.listdir(self.tmp), [])

    def test_a_file_that_cannot_be_synced_holds_up_no_other_and_gets_no_name(self) -> None:
        self.errors[2] = errno.EIO
        outcomes = self.run_together("org/a", "org/b", "org/c")
        told = self.failureResultOf(outcomes.pop(1), OSError).value
        self.assertEqual((told.errno, told.strerror), (errno.EIO, os.strerror(errno.EIO)))
        for outcome in outcomes:
            self.successResultOf(outcome)
        renames = [("rename", name) for name in "ac"]
        self.assertEqual(self.calls, [*[("fsync", "file")] * 3, *renames, ("fsync", "org")])
        self.assertEqual(sorted(os.listdir(self.top / "org")), ["a", "c"])
        self.assertEqual(os.listdir(self.tmp), [])

    def test_files_are_freed(self) -> None:
        self.run_together("org/first")
        before = os.listdir("/proc/self/fd")
        self.run_together("org/a", "org/b")
        self.assertEqual(os.listdir("/proc/self/fd"), before)
        self.assertEqual(os.listdir(self.tmp), [])

    def count_calls(self) -> dict[str, int]:
        """Store eight files together; returns how often which system call was made."""
        counts: Counter[str] = Counter()

        def count(module: Any, name: str) -> None:
            real = getattr(module, name)

            def counted(*arguments: Any, **options: Any) -> Any:
                counts[name] += 1
                return real(*arguments, **options)

            self.patch(module, name, counted)

        self.run_together("org/first")
        for name in ("open", "writev", "posix_fadvise", "fsync", "rename"):
            count(os, name)
        for name in ("stat", "lstat", "fstat", "urandom", "mkdir", "unlink", "getpid"):
            count(os, name)
        count(fcntl, "flock")
        for name in ("submit", "wait"):
            count(Kernel, name)
        self.run_together(*[f"org/{number}" for number in range(8)])
        return dict(counts)

    def test_a_group_makes_few_system_calls(self) -> None:
        """Each takes the interpreter's lock from the reactor's thread, and gives it back."""
        need_kernel(Kernel())
        self.assertEqual(self.count_calls(), {**_CALLS, "submit": 1, "wait": 1, "fsync": 1})


class DurabilityInTurnTests(DurabilityTests):
    """The same where the kernel takes no files together."""

    machine = "none"

    def test_a_group_makes_few_system_calls(self) -> None:
        self.assertEqual(self.count_calls(), {**_CALLS, "posix_fadvise": 8, "fsync": 8 + 1})


class _NotingKernel(Kernel):
    """Tells a test which files are durable, when it does.

    :param note: is told a descriptor; returns an errno to tell of, or 0.
    """

    def __init__(self, machine: str, note: Callable[[int], int]) -> None:
        super().__init__(machine)
        self._note = note
        self._fds: list[int] = []

    def submit(self, context: int, requests: Any) -> int:
        self._fds = [request.fd for request in requests]
        return super().submit(context, requests)

    def wait(self, context: int, events: Any) -> int:
        count = super().wait(context, events)
        for event in sorted(events[:count], key=lambda event: event.data):
            if problem := self._note(self._fds[event.data]):
                event.result = -problem
        return count


class UploadTests(TestCase):
    """Small uploads to a store, with threads as there are."""

    def make_store(self) -> LocalStore:
        threads = Threads(reactor, 8)
        threads.startService()
        self.addCleanup(threads.stopService)
        os.makedirs(top := self.mktemp())
        return LocalStore(top, "", threads)

    async def put(self, store: LocalStore, data: bytes) -> None:
        await put_object(store, key_of(data), len(data), ListBody([data[:5], data[5:]]), {})

    async def test_all_that_come_at_once_are_stored(self) -> None:
        store = self.make_store()
        for count in (1, 2, 7, 8, 9, 100):
            contents = [os.urandom(number + 1) for number in range(count)]
            await gatherResults(
                [Deferred.fromCoroutine(self.put(store, data)) for data in contents]
            )
            for data in contents:
                path = Path(os.fsdecode(store._disks.main.path), key_of(data).path)
                self.assertEqual(path.read_bytes(), data)

    async def test_objects_on_both_sides_of_small(self) -> None:
        store = self.make_store()
        for size in (0, 1, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1):
            data = os.urandom(size)
            await put_object(store, key_of(data), size, ListBody([data] if data else []), {})
            self.assertEqual(await store.sizes([key_of(data)]), [size])

    async def test_a_full_disk_is_507(self) -> None:
        store = self.make_store()

        def full(fd: int, buffers: object) -> int:
            raise OSError(errno.ENOSPC, "full")

        self.patch(os, "writev", full)
        with self.assertRaises(InsufficientStorage):
            await put_object(store, key_of(b"abc"), 3, ListBody([b"abc"]), {})
        self.assertEqual(await store.sizes([key_of(b"abc")]), [None])
