"""What the kernel has in memory is told at once; all else is left to a thread."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Final
from unittest import SkipTest

from twisted.internet.task import Clock

from giftless.lfs.objects import ObjectKey
from giftless.storage.local import cached
from giftless.storage.local.cached import NotCached, Opener, can_ask, place_of, size_of
from giftless.storage.local.store import LocalStore
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.kernel import mount_what_hangs, refuse_call, run_alone, scanned
from tests.support.making import key_of, put_object, repo_of
from tests.support.run import CoroutineTestCase

_OPENAT2: Final = 437


class CachedTestCase(CoroutineTestCase):
    """A directory on a file system that can be asked."""

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.fd = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, self.fd)
        if not can_ask(self.fd):
            raise SkipTest("the kernel, or this file system, cannot be asked")

    def make(self, name: str, data: bytes = b"abc") -> bytes:
        """Make a file; returns its path below the directory."""
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name.encode()

    def skip_on_tmpfs(self) -> None:
        """Skip the test where the kernel forgets at once that something is absent."""
        mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
        kinds = {mount: kind for _, mount, kind, *_ in mounts}
        (mount,) = [path for path in (self.top, *self.top.parents) if str(path) in kinds][:1]
        if kinds[str(mount)] == "tmpfs":
            raise SkipTest("tmpfs does not remember what is absent")


class LookupTests(CachedTestCase):
    """A store answers what is in memory without a thread."""

    def setUp(self) -> None:
        super().setUp()
        self.blocking = InlineBlocking()
        self.store = LocalStore(str(self.top), "", self.blocking)
        self.present = self.put(b"abc")
        self.absent = key_of(b"absent")
        # What is absent is in memory when somebody has looked for it.
        self.run_now(self.store.sizes([self.absent, self.present]))
        self.run_now(self.open(self.present))
        self.blocking.jobs.clear()

    def put(self, data: bytes, **extras: str) -> ObjectKey:
        """Upload an object."""
        key = key_of(data)
        self.run_now(put_object(self.store, key, len(data), ListBody([data]), extras))
        return key

    async def open(self, key: ObjectKey) -> tuple[int, dict[str, object]] | None:
        """Return the size and the extras of an object."""
        stored = await self.store.open(key)
        if stored is None:
            return None
        self.addCleanup(stored.close)
        return stored.size, dict(stored.extras)

    def test_no_thread_is_needed(self) -> None:
        self.assertEqual(self.run_now(self.store.sizes([self.present])), [3])
        self.assertEqual(self.run_now(self.open(self.present)), (3, {}))
        sizes, room = self.run_now(self.store.sizes_and_room([self.present], repo_of()))
        self.assertEqual(sizes, [3])
        self.assertGreater(room.bytes, 0)
        self.assertEqual(self.blocking.jobs, [])

    def test_an_object_that_somebody_has_missed_needs_none(self) -> None:
        self.skip_on_tmpfs()
        self.assertEqual(self.run_now(self.store.sizes([self.absent, self.present])), [None, 3])
        self.assertEqual(self.blocking.jobs, [])

    def test_an_object_that_nobody_has_looked_for_needs_one(self) -> None:
        self.assertEqual(self.run_now(self.store.sizes([key_of(b"new")])), [None])
        self.assertEqual(len(self.blocking.jobs), 1)

    def test_many_objects_need_one(self) -> None:
        self.assertEqual(self.run_now(self.store.sizes([self.present] * 17)), [3] * 17)
        self.assertEqual(len(self.blocking.jobs), 1)

    def test_an_object_that_was_stored_or_deleted_is_seen_at_once(self) -> None:
        self.put(b"absent")
        self.blocking.jobs.clear()
        self.assertEqual(self.run_now(self.store.sizes([self.absent])), [6])
        self.assertEqual(self.blocking.jobs, [])
        self.run_now(self.store.delete(self.absent))
        self.assertEqual(self.run_now(self.store.sizes([self.absent])), [None])

    def test_extras_come_along(self) -> None:
        key = self.put(b"named", filename="x")
        self.assertEqual(self.run_now(self.open(key)), (5, {"filename": "x"}))

    def test_what_is_set_apart_is_told(self) -> None:
        self.run_now(self.store.mark(self.present, "it is broken"))
        (told,) = self.run_now(self.store.sizes([self.present]))
        self.assertIn("it is broken", str(told))
        self.assertEqual(self.run_now(self.store.sizes([self.absent])), [None])

    def test_nothing_stays_open(self) -> None:
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            self.run_now(self.store.sizes_and_room([self.present, self.absent], repo_of()))
            stored = self.run_now(self.store.open(self.present))
            assert stored is not None
            stored.close()
        self.assertEqual(os.listdir("/proc/self/fd"), before)


class AnswerTests(CachedTestCase):
    """What is answered, and what is left to others."""

    def test_the_size_of_a_file(self) -> None:
        self.assertEqual(size_of(self.make("a/b"), self.fd), 3)

    def test_what_is_known_to_be_absent(self) -> None:
        self.assertFalse((self.top / "none").exists())
        self.skip_on_tmpfs()
        self.assertIsNone(size_of(b"none", self.fd))

    def test_what_is_no_file_is_left_to_others(self) -> None:
        (self.top / "directory").mkdir()
        os.mkfifo(self.top / "pipe")
        (self.top / "link").symlink_to(os.fsdecode(self.make("file")))
        opener = Opener()
        before = os.listdir("/proc/self/fd")
        for name in (b"directory", b"pipe", b"link", b"file/below", b"a" * 300):
            self.assertRaises(NotCached, size_of, name, self.fd)
            self.assertRaises(NotCached, opener.open, name, self.fd)
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_the_way_to_another_file_system_is_left_to_others(self) -> None:
        (self.top / "out").symlink_to("/proc/self")
        self.assertTrue((self.top / "out" / "stat").is_file())
        self.assertRaises(NotCached, size_of, b"out/stat", self.fd)

    def test_the_place_of_a_directory(self) -> None:
        (self.top / "link").symlink_to(self.top)
        for path in (self.top, self.top / "link"):
            status = path.stat()
            place = place_of(os.fsencode(path))
            self.assertEqual(place, (status.st_dev, status.st_ino))
        status = os.stat("/proc")
        self.assertEqual(place_of(b"/proc"), (status.st_dev, status.st_ino))

    def test_a_directory_that_is_not_there_is_left_to_others(self) -> None:
        missing = self.top / "missing"
        self.assertFalse(missing.exists())
        self.assertRaises(NotCached, place_of, os.fsencode(missing))
        self.assertRaises(NotCached, place_of, os.fsencode(self.top) + b"/" + self.make("file"))

    def test_a_file_is_opened(self) -> None:
        fd, size = Opener().open(self.make("file"), self.fd)
        self.addCleanup(os.close, fd)
        self.assertEqual((size, os.read(fd, 10)), (3, b"abc"))
        self.assertFalse(os.get_inheritable(fd))

    def test_without_descriptors_others_are_asked(self) -> None:
        name = self.make("file")
        self.patch(cached, "_syscall", lambda *_: _fail(errno.EMFILE))
        self.assertRaises(NotCached, size_of, name, self.fd)


class KernelTests(CachedTestCase):
    """Where the kernel refuses, holds up, or never answers."""

    def test_file_systems_that_ask_others_are_left_alone(self) -> None:
        fd = os.open("/proc", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.assertFalse(can_ask(fd))

    def test_a_sandbox_that_refuses_the_call(self) -> None:
        for error in (errno.EPERM, errno.ENOSYS):
            self.assertEqual(run_alone(__name__, "in_sandbox", self.top, error), "False [3]\n")

    def test_a_mount_that_hangs_holds_nobody_up(self) -> None:
        if os.geteuid():
            raise SkipTest("only root can mount")
        (self.top / "hangs").mkdir()
        told = run_alone(__name__, "below_what_hangs", self.top / "hangs")
        if told.startswith("impossible"):
            raise SkipTest(told)
        self.assertEqual(told, "other\nnot cached\n")

    def test_a_scanner_holds_up_one_request_only(self) -> None:
        if os.geteuid():
            raise SkipTest("only root can scan files")
        self.make("file")
        told = run_alone(__name__, "scan", self.top)
        if told.startswith("impossible"):
            raise SkipTest(told)
        self.assertEqual(told, "opened\nnot cached\nnot cached\nopened\n")


def in_sandbox(top: str, error: str) -> None:
    """Use a store where ``openat2`` fails; print whether it can be asked, and a size."""
    refuse_call(_OPENAT2, int(error))
    fd = os.open(top, os.O_RDONLY)
    case = CoroutineTestCase()
    store = LocalStore(top, "", InlineBlocking())
    key = key_of(b"abc")
    case.run_now(put_object(store, key, 3, ListBody([b"abc"]), {}))
    print(can_ask(fd), case.run_now(store.sizes([key])))


def below_what_hangs(path: str) -> None:
    """Ask about the root of a mount that hangs, and about what is below it."""
    before = place_of(path.encode())
    try:
        mount_what_hangs(path)
    except OSError as error:
        print("impossible:", error)
        return
    print("same" if place_of(path.encode()) == before else "other")
    try:
        place_of(path.encode() + b"/below")
    except NotCached:
        print("not cached")


def scan(top: str) -> None:
    """Open a file that is scanned, again and again, as time goes by."""
    clock = Clock()
    opener = Opener(clock.seconds)
    fd = os.open(top, os.O_RDONLY)

    def try_it() -> None:
        try:
            os.close(opener.open(b"file", fd)[0])
        except NotCached:
            print("not cached", flush=True)
        else:
            print("opened", flush=True)

    clock.advance(1)
    try:
        with scanned(os.path.join(top, "file"), 0.05):
            try_it()
            try_it()
            clock.advance(cached.PAUSE - 1)
            try_it()
            clock.advance(1)
            try_it()
    except OSError as error:
        print("impossible:", error)


def _fail(number: int) -> int:
    ctypes.set_errno(number)
    return -1
