"""Uploads that are gone on with where they broke off, on a local disk."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from giftless.base.hold_files import PATIENCE
from giftless.errors import (
    BadRequest,
    Conflict,
    Disconnected,
    InsufficientStorage,
    ServiceUnavailable,
    StorageUnavailable,
)
from giftless.interfaces import IClaimedUpload, IResumableStore, Oddity
from giftless.lfs.objects import ObjectKey, Repo
from giftless.storage.local.factory import LocalFactory, LocalOptions
from giftless.storage.local.growing import path_of
from tests.contracts.multipart import bytes_of
from tests.contracts.resumable import ResumableContract
from tests.storage.local.test_disks import DisksTestCase
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.bodies import HeldBody, ListBody, read_all
from tests.support.disks import small_disk
from tests.support.making import environment, key_of, payload_of
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase
from tests.support.threads import running_threads

DATA = bytes_of(10_000)
KEY = key_of(DATA)

MIB = 1024 * 1024


class LocalResumableContractTests(ResumableContract, TestCase):
    """With threads, as in the daemon."""

    def setUp(self) -> None:
        self.threads = running_threads(self)
        self.path = self.mktemp()

    async def make_store(self) -> Any:
        return await self.make_other()

    async def make_other(self) -> Any:
        around = environment(self.mktemp(), reactor, self.threads)
        options = LocalOptions(path=self.path, prefix="a/b", resumable_expiry=1000)
        return LocalFactory().build(options, around)

    def tearDown(self) -> None:
        """Fail if somebody still holds an upload, or has not ended writing."""
        for name in ("holds", "tmp"):
            directory = os.path.join(self.path, ".giftless", name)
            if os.path.isdir(directory):
                self.assertEqual(os.listdir(directory), [])


class Uploads:
    """What tests of uploads on a local disk have in common.

    :ivar top: the root of the store.
    :ivar clock: what the stores wait by.
    """

    top: Path
    clock: Clock

    def start_at(self, top: Path) -> None:
        """Begin with a store in a directory."""
        self.top = top
        self.clock = Clock()
        # Times of files are compared with it.
        self.clock.advance(time.time())

    def open_store(self, clock: Clock | None = None, **options: Any) -> Any:
        """Return what a process has of the store."""
        around = environment(f"{self.top}-state", clock or self.clock, InlineBlocking())
        return LocalFactory().build(LocalOptions(path=str(self.top), **options), around)

    @property
    def file(self) -> Path:
        """Where what has come of the object is."""
        return self.top / os.fsdecode(path_of(KEY.path.encode(), len(DATA)))

    def files(self, below: str = ".giftless/resumable") -> list[str]:
        """List everything in a directory."""
        directory = self.top / below
        return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))

    def opened(self) -> list[str]:
        """List what this process has open of uploads and of claims."""
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/self/fd/{name}"))
        own = self.top / ".giftless"
        return [path for path in found if path.startswith((f"{own}/resumable", f"{own}/holds"))]

    def holds(self) -> list[str]:
        """List the files that stand for claims."""
        return self.files(".giftless/holds")


class LocalResumableTestCase(Uploads, CoroutineTestCase):
    """A test case with a store in an empty directory."""

    def setUp(self) -> None:
        self.start_at(Path(self.mktemp()).absolute())
        self.store = self.open_store()

    def claim(self, key: ObjectKey = KEY, size: int = len(DATA), store: Any = None) -> Any:
        """Claim an upload that nobody has."""
        return self.run_now((store or self.store).claim(key, size))

    def begin(self, data: bytes = b"") -> Any:
        """Claim the upload of the object, begin it, and append something."""
        upload = self.claim()
        self.run_now(upload.begin({}))
        if data:
            self.run_now(upload.append(ListBody([data])))
        return upload

    def release(self, *uploads: Any) -> None:
        """Release uploads."""
        for upload in uploads:
            self.run_now(upload.release())

    def offset(self) -> int | None:
        """Ask how much has come, as another process would."""
        upload = self.claim(store=self.open_store())
        self.release(upload)
        offset: int | None = upload.offset
        return offset

    def commit(self, upload: Any) -> None:
        """Make the object, and look at it."""
        self.run_now(upload.commit(payload_of(DATA), {}, False))
        self.release(upload)
        self.assertEqual((self.top / KEY.path).read_bytes(), DATA)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.holds(), [])


class FileTests(LocalResumableTestCase):
    def test_only_a_store_of_a_daemon_can_do_it(self) -> None:
        self.assertTrue(IResumableStore.providedBy(self.store))
        self.assertEqual(self.store.resumable_expiry, 7 * 86400)
        self.assertTrue(IClaimedUpload.providedBy(upload := self.claim()))
        self.release(upload)

    def test_where_what_has_come_lies(self) -> None:
        upload = self.begin(b"abc")
        self.assertEqual(self.file.read_bytes(), b"abc")
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o640)
        self.assertEqual(upload.changed, self.file.stat().st_mtime)
        self.assertEqual(len(self.holds()), 1)
        self.release(upload)
        self.assertEqual(self.holds(), [])
        self.assertTrue(self.file.exists())

    def test_stores_with_other_prefixes_share_no_uploads(self) -> None:
        upload = self.begin(b"abc")
        other = self.claim(store=self.open_store(prefix="team"))
        self.assertIsNone(other.offset)
        self.clock.pump([0.1] * 20)
        self.assertNoResult(upload.wanted)
        self.release(upload, other)

    def test_an_object_is_as_old_as_its_commit(self) -> None:
        """A collection removes what is old and not needed yet."""
        self.release(self.begin(DATA))
        os.utime(self.file, (1000, 1000))
        upload = self.claim()
        self.assertEqual(upload.changed, 1000)
        self.commit(upload)
        self.assertGreater((self.top / KEY.path).stat().st_mtime, time.time() - 600)

    def test_a_long_body_takes_little_memory(self) -> None:
        chunk = bytes(MIB)
        key = key_of(chunk)
        upload = self.claim(key, 64 * MIB)
        self.run_now(upload.begin({}))
        tracemalloc.start()
        try:
            self.run_now(upload.append(ListBody([chunk] * 64)))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertEqual(upload.offset, 64 * MIB)
        self.assertLess(most, 4 * MIB)
        self.run_now(upload.discard())
        self.release(upload)

    def test_directories_vanish_with_the_last_upload_in_them(self) -> None:
        first, second = self.begin(), self.claim(key_of(b"x", "org/repo/sub"), 1)
        self.run_now(second.begin({}))
        self.run_now(first.discard())
        self.assertEqual(len(self.files()), 4)
        self.run_now(second.discard())
        self.assertEqual(self.files(), [])
        self.run_now(second.begin({}))
        self.run_now(second.discard())
        self.release(first, second)

    def test_nothing_is_left_open(self) -> None:
        self.commit(self.begin(DATA))
        self.release(self.begin(b"abc"))
        upload = self.claim()
        self.run_now(upload.discard())
        self.release(upload)
        self.assertEqual(self.opened(), [])


class StrangeTests(LocalResumableTestCase):
    """What somebody else has put where uploads lie."""

    def test_what_is_no_upload_has_not_begun_and_is_in_nobodys_way(self) -> None:
        outside = self.top / "outside"
        outside.write_bytes(b"abc")

        def link(path: Path) -> None:
            path.symlink_to(outside)

        def long(path: Path) -> None:
            path.write_bytes(DATA + b"x")

        for make in (link, os.mkfifo, long):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            make(self.file)
            upload = self.claim()
            self.assertIsNone(upload.offset)
            self.run_now(upload.begin({}))
            self.assertEqual(upload.offset, 0)
            self.run_now(upload.append(ListBody([DATA])))
            self.commit(upload)
            self.assertEqual(outside.read_bytes(), b"abc")

    def test_a_directory_is_in_the_way_and_stays(self) -> None:
        (self.file / "x").mkdir(parents=True)
        upload = self.claim()
        self.assertIsNone(upload.offset)
        self.assert_fails(StorageUnavailable, upload.begin({}))
        self.release(upload)
        self.assertTrue((self.file / "x").is_dir())
        self.assertEqual(self.holds(), [])

    def test_a_file_that_is_replaced_becomes_no_object(self) -> None:
        upload = self.begin(DATA)
        self.file.unlink()
        self.file.write_bytes(DATA)
        self.assert_fails(Conflict, upload.commit(payload_of(DATA), {}, True))
        self.release(upload)
        self.assertFalse((self.top / KEY.path).exists())

    def test_what_somebody_removes_while_it_is_used_is_a_conflict(self) -> None:
        upload = self.begin(b"abc")
        self.file.unlink()
        self.run_now(upload.append(ListBody([DATA[3:]])))
        self.assert_fails(Conflict, upload.commit(payload_of(DATA), {}, True))
        self.release(upload)
        self.assertIsNone(self.offset())

    def test_a_claim_that_somebody_removes_is_a_conflict(self) -> None:
        upload = self.begin(b"abc")
        for name in self.holds():
            (self.top / ".giftless" / "holds" / name).unlink()
        for work in (
            upload.append(ListBody([b"x"])),
            upload.discard(),
            upload.commit(payload_of(DATA), {}, True),
        ):
            self.assert_fails(Conflict, work)
        self.release(upload)
        self.assertEqual(self.offset(), 3)


class TakenOverTests(LocalResumableTestCase):
    def setUp(self) -> None:
        super().setUp()
        # A process that is stopped as soon as it has claimed something.
        self.store = self.open_store(Clock())

    def take_over(self) -> Any:
        """Claim an upload whose holder does not answer."""
        claiming = self.start(self.open_store().claim(KEY, len(DATA)))
        self.clock.pump([0.1] * round(10 * (PATIENCE + 0.3)))
        return self.successResultOf(claiming)

    def test_who_takes_an_upload_over_goes_on_with_a_copy(self) -> None:
        stopped = self.begin(DATA[:100])
        inode = self.file.stat().st_ino
        upload = self.take_over()
        self.assertEqual(upload.offset, 100)
        self.assertNotEqual(self.file.stat().st_ino, inode)
        self.assert_fails(Conflict, stopped.append(ListBody([b"x" * 100])))
        self.assert_fails(Conflict, stopped.discard())
        self.assert_fails(Conflict, stopped.commit(payload_of(DATA), {}, True))
        self.release(stopped)
        self.run_now(upload.append(ListBody([DATA[100:]])))
        self.commit(upload)

    def test_a_write_that_was_under_way_goes_nowhere(self) -> None:
        stopped = self.begin(DATA[:100])
        body = HeldBody()
        appending = self.start(stopped.append(body))
        upload = self.take_over()
        self.run_now(upload.append(ListBody([DATA[100:200]])))
        # It was stopped after it had looked whether the upload is still its own.
        lost = self.patch(type(stopped._hold), "lost", lambda hold: False)
        body.provide(b"x" * 5000)
        lost.restore()
        body.provide()
        self.failureResultOf(appending, Conflict)
        self.release(stopped)
        self.assertEqual(upload.offset, 200)
        self.run_now(upload.append(ListBody([DATA[200:]])))
        self.commit(upload)

    def test_who_only_asks_leaves_a_copy_too(self) -> None:
        stopped = self.begin(DATA[:100])
        inode = self.file.stat().st_ino
        self.release(self.take_over())
        self.assertNotEqual(self.file.stat().st_ino, inode)
        self.assertEqual(self.holds(), [])
        self.release(stopped)

    def test_a_copy_for_which_there_is_no_room_is_made_by_the_next(self) -> None:
        stopped = self.begin(DATA[:100])

        def fail(*_: object) -> int:
            raise OSError(errno.ENOSPC, "full")

        full = self.patch(os, "writev", fail)
        claiming = self.start(self.open_store().claim(KEY, len(DATA)))
        self.clock.pump([0.1] * 20)
        self.failureResultOf(claiming, InsufficientStorage)
        full.restore()
        self.assertEqual(self.file.read_bytes(), DATA[:100])
        inode = self.file.stat().st_ino
        self.assertEqual(self.offset(), 100)
        self.assertNotEqual(self.file.stat().st_ino, inode)
        self.assertEqual(self.holds(), [])
        self.release(stopped)


class FullDiskTests(LocalResumableTestCase):
    def setUp(self) -> None:
        disk = Path(self.mktemp()).absolute()
        disk.mkdir()
        mounted = small_disk(disk, 4 * MIB)
        mounted.__enter__()
        self.addCleanup(mounted.__exit__, None, None, None)
        self.start_at(disk / "objects")
        self.store = self.open_store()
        self.addCleanup(self.close)

    def close(self) -> None:
        """Let the disk go."""
        self.store = None
        gc.collect()

    def test_what_does_not_fit_is_refused_before_it_is_sent(self) -> None:
        upload = self.claim(KEY, 8 * MIB)
        self.run_now(upload.begin({}))
        body = ListBody([bytes(1000)] * 10)
        error = self.assert_fails(InsufficientStorage, upload.append(body))
        self.assertIn("what has arrived stays", error.message)
        self.assertEqual((body.reads, upload.offset), (1, 0))
        self.release(upload)

    def test_what_came_before_a_disk_was_full_stays(self) -> None:
        key = key_of(b"any")
        upload = self.claim(key, 3 * MIB)
        self.run_now(upload.begin({}))
        self.run_now(upload.append(ListBody([bytes(MIB)])))
        filler = self.top / "filler"
        filler.write_bytes(bytes(2 * MIB))
        error = self.assert_fails(
            InsufficientStorage, upload.append(ListBody([b"x" * 64 * 1024] * 32))
        )
        self.assertIn("what has arrived stays", error.message)
        offset = upload.offset
        self.assertGreater(offset, MIB)
        self.assertLess(offset, 3 * MIB)
        self.release(upload)
        # Whoever asks needs no room.
        again = self.claim(key, 3 * MIB)
        self.assertEqual(again.offset, offset)
        filler.unlink()
        self.run_now(again.append(ListBody([b"x" * (3 * MIB - offset)])))
        self.assertEqual(again.offset, 3 * MIB)
        self.run_now(again.discard())
        self.release(again)

    def test_a_disk_that_is_only_read_is_503(self) -> None:
        self.release(self.begin(DATA[:100]))
        disk = str(self.top.parent)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        try:
            self.assert_fails(StorageUnavailable, self.store.claim(KEY, len(DATA)))
        finally:
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        upload = self.claim()
        self.run_now(upload.append(ListBody([DATA[100:]])))
        self.commit(upload)


class TroubleTests(LocalResumableTestCase):
    @contextmanager
    def failing(self, name: str, number: int = errno.EIO) -> Iterator[None]:
        """Let a system call fail."""

        def fail(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        patch = self.patch(os, name, fail)
        yield
        patch.restore()

    def test_what_could_not_be_synced_does_not_count(self) -> None:
        """Even though the next sync would succeed."""
        upload = self.begin(DATA[:100])
        with self.failing("fsync"):
            self.assert_fails(ServiceUnavailable, upload.append(ListBody([DATA[100:300]])))
        self.assertEqual(upload.offset, 100)
        self.run_now(upload.append(ListBody([DATA[100:200]])))
        self.assertEqual(upload.offset, 200)
        self.release(upload)
        self.assertEqual(self.file.read_bytes(), DATA[:200])
        upload = self.claim()
        self.run_now(upload.append(ListBody([DATA[200:]])))
        self.commit(upload)

    def test_a_commit_that_fails_keeps_what_has_come(self) -> None:
        upload = self.begin(DATA)
        for name in ("rename", "utime", "fsync"):
            with self.failing(name):
                commit = upload.commit(payload_of(DATA), {}, True)
                self.assert_fails(ServiceUnavailable, commit)
            self.assertFalse((self.top / KEY.path).exists())
            self.assertEqual(upload.offset, len(DATA))
        self.release(upload)
        upload = self.claim()
        self.assertEqual(upload.offset, len(DATA))
        self.commit(upload)

    def test_an_upload_that_cannot_be_begun_has_not_begun(self) -> None:
        upload = self.claim()
        with self.failing("open", errno.EDQUOT):
            self.assert_fails(InsufficientStorage, upload.begin({}))
        self.assertIsNone(upload.offset)
        self.run_now(upload.begin({}))
        self.release(upload)

    def test_no_repository_is_in_an_uploads_way(self) -> None:
        """Nor the other way round, whatever it is called: both have files below a path."""
        names = (f"{KEY.oid}.{len(DATA)}", f"{KEY.oid}-{len(DATA)}", f"giftless.{KEY.oid}")
        inner = [key_of(DATA[:5], f"{KEY.repo}/{name}") for name in names]
        for keys in ([KEY, *inner], [*inner, KEY]):
            uploads = [self.claim(key, size=len(DATA)) for key in keys]
            for upload in uploads:
                self.run_now(upload.begin({}))
            for upload in uploads:
                self.run_now(upload.discard())
            self.release(*uploads)
        own = self.file.name
        self.assertRaises(BadRequest, Repo.parse, [*KEY.repo.segments, own])

    def test_a_claim_that_fails_is_in_nobodys_way(self) -> None:
        self.release(self.begin(b"abc"))
        with self.failing("fsync"):
            self.assert_fails(ServiceUnavailable, self.store.claim(KEY, len(DATA)))
        self.assertEqual(self.holds(), [])
        self.assertEqual(self.offset(), 3)

    def test_who_gives_up_at_any_step_leaves_nothing_open(self) -> None:
        self.release(self.begin(b"abc"))
        steps = 0
        while True:
            blocking = ManualBlocking()
            around = environment(f"{self.top}-state", self.clock, blocking)
            store: Any = LocalFactory().build(LocalOptions(path=str(self.top)), around)
            claiming = self.start(store.claim(KEY, len(DATA)))
            for _ in range(steps):
                blocking.do_next()
            if claiming.called:
                break
            claiming.cancel()
            while blocking.waiting:
                blocking.do_next()
            self.failureResultOf(claiming, CancelledError)
            self.assertEqual((self.holds(), self.opened()), ([], []))
            steps += 1
        self.assertEqual(steps, 2)
        releasing = self.start(self.successResultOf(claiming).release())
        while blocking.waiting:
            blocking.do_next()
        self.successResultOf(releasing)

    def test_closing_waits_for_what_is_being_written(self) -> None:
        """Its descriptor may be another file's afterwards."""
        upload = self.begin()
        real, order = os.writev, []
        closing = threading.Thread(target=upload._alone, args=(upload._file.close,))

        def writev(fd: int, chunks: Any) -> int:
            closing.start()
            closing.join(0.05)
            order.append(closing.is_alive())
            return real(fd, chunks)

        patch = self.patch(os, "writev", writev)
        upload._alone(upload._file.write, [b"abc"])
        patch.restore()
        closing.join()
        self.assertEqual(order, [True])
        self.release(upload)

    def test_a_store_that_is_not_there_is_503(self) -> None:
        upload = self.begin(b"abc")
        away = self.top.with_name("away")
        self.top.rename(away)
        self.top.mkdir()
        self.assert_fails(StorageUnavailable, self.store.claim(KEY, len(DATA)))
        self.release(upload)
        self.top.rmdir()
        away.rename(self.top)
        self.assertEqual(self.offset(), 3)


class LinkedTests(Uploads, DisksTestCase):
    """Organisations on another disk."""

    def setUp(self) -> None:
        super().setUp()
        self.start_at(self.top)
        self.object = key_of(DATA, "acme/rocket")

    def name(self) -> str:
        """Return what the file is called that has come of the object."""
        return os.path.basename(os.fsdecode(path_of(self.object.path.encode(), len(DATA))))

    def begin(self, store: Any) -> Any:
        upload = self.run_now(store.claim(self.object, len(DATA)))
        self.run_now(upload.begin({}))
        self.run_now(upload.append(ListBody([DATA[:100]])))
        return upload

    def finish(self, store: Any, upload: Any) -> None:
        self.run_now(upload.append(ListBody([DATA[upload.offset :]])))
        self.run_now(upload.commit(payload_of(DATA), {"n": 1}, False))
        self.run_now(upload.release())
        stored = self.run_now(store.open(self.object))
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)
        self.assertEqual(dict(stored.extras), {"n": 1})
        stored.close()
        self.assertTrue((self.disk / "rocket" / self.object.oid).is_file())
        self.assertEqual(self.holds(), [])

    def test_what_comes_lies_on_the_disk_of_the_object(self) -> None:
        self.link()
        store = self.open_store()
        upload = self.begin(store)
        place = self.disk / ".giftless" / "resumable" / "rocket" / self.name()
        self.assertEqual(place.read_bytes(), DATA[:100])
        self.finish(store, upload)
        self.assertEqual(list((self.disk / ".giftless" / "resumable").iterdir()), [])

    def test_an_abandoned_upload_there_is_told_and_removed(self) -> None:
        self.link()
        store = self.open_store()
        self.run_now(self.begin(store).release())
        place = self.disk / ".giftless" / "resumable" / "rocket" / self.name()
        os.utime(place, (1000, 1000))
        (odd,) = self.run_now(store.leftovers(time.time()))
        self.assertEqual(odd.key, self.object)
        self.assertEqual(self.run_now(store.resumable(7, self.clock).sweep(2000)), 1)
        self.assertEqual(list((self.disk / ".giftless" / "resumable").iterdir()), [])

    def test_a_disk_that_is_linked_while_bytes_come_gets_the_object(self) -> None:
        store = self.open_store()
        upload = self.begin(store)
        self.link()
        self.finish(store, upload)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.temporary(), [])


class SweepTests(LocalResumableTestCase):
    def age(self, seconds: float) -> None:
        """Make what has come look as old as that."""
        then = self.clock.seconds() - seconds
        os.utime(self.file, (then, then))

    def serve(self, expiry: int) -> Any:
        """Start what a daemon does beside serving."""
        around = environment(str(self.top) + "-state", self.clock, InlineBlocking())
        options = LocalOptions(path=str(self.top), resumable_expiry=expiry)
        LocalFactory().build(options, around)
        around.services.startService()
        self.addCleanup(lambda: self.successResultOf(around.services.stopService()))
        return around

    def test_what_nobody_goes_on_with_goes(self) -> None:
        self.release(self.begin(b"abc"))
        self.age(101)
        self.serve(100)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.holds(), [])

    def test_what_is_young_stays_until_its_time(self) -> None:
        self.release(self.begin(b"abc"))
        self.age(50)
        self.serve(100)
        self.assertTrue(self.file.exists())
        self.clock.pump([10] * 8)
        self.assertFalse(self.file.exists())

    def test_what_is_held_stays_however_old_it_is(self) -> None:
        upload = self.begin(DATA[:3])
        self.age(101)
        self.serve(100)
        self.assertTrue(self.file.exists())
        self.assertNoResult(upload.wanted)
        self.run_now(upload.append(ListBody([DATA[3:]])))
        self.commit(upload)

    def test_what_somebody_goes_on_with_just_then_stays(self) -> None:
        self.release(self.begin(b"abc"))
        self.age(101)
        uploads = self.store.resumable(100, self.clock)
        claim = uploads._holds.claim_unheld

        async def late(name: str) -> Any:
            upload = self.claim()
            await upload.append(ListBody([b"def"]))
            await upload.release()
            return await claim(name)

        uploads._holds.claim_unheld = late
        self.assertEqual(self.run_now(uploads.sweep(self.clock.seconds() - 100)), 0)
        self.assertEqual(self.offset(), 6)

    def test_what_is_no_upload_goes_too(self) -> None:
        self.release(self.begin())
        (self.file.parent / "x").symlink_to("/nonexistent")
        os.utime(self.file.parent / "x", (1000, 1000), follow_symlinks=False)
        self.serve(100)
        self.assertEqual([path.name for path in self.file.parent.iterdir()], [self.file.name])

    def test_claims_of_killed_processes_go(self) -> None:
        upload = self.begin()
        self.release(upload)
        stale = self.top / ".giftless" / "holds" / ("0" * 64)
        stale.write_bytes(b"")
        self.serve(100)
        self.assertEqual(self.holds(), [])

    def test_a_store_without_uploads_gets_no_directories(self) -> None:
        """It may be only read."""
        self.serve(100)
        self.assertNotIn("holds", self.files(".giftless"))
        self.assertNotIn("resumable", self.files(".giftless"))


class LeftoverTests(LocalResumableTestCase):
    def leftovers(self, before: float) -> list[Oddity]:
        return list(self.run_now(self.store.leftovers(before)))

    def test_what_nobody_has_gone_on_with_is_told(self) -> None:
        self.release(self.begin(b"abc"))
        self.assertEqual(self.leftovers(time.time() - 600), [])
        (odd,) = self.leftovers(time.time() + 600)
        self.assertEqual((odd.key, odd.path), (KEY, str(self.file)))
        self.assertIn("3 of 10000 bytes", odd.problem)
        (self.top / KEY.path).parent.mkdir(parents=True)
        (self.top / KEY.path).write_bytes(DATA)
        (odd,) = self.leftovers(time.time() + 600)
        self.assertIn("nobody needs this", odd.problem)

    def test_what_is_no_upload_is_told(self) -> None:
        self.release(self.begin())
        own = f".giftless.{KEY.oid}"
        for name in ("x", f"{own}.x", f"{own}.", ".giftless.x.7", f"{KEY.oid}.7", f"x{own}.7"):
            (self.file.parent / name).write_bytes(b"")
        (self.file.parent / f"{own}.7").symlink_to("x")
        odd = self.leftovers(time.time() - 600)
        self.assertEqual(len(odd), 7)
        self.assertEqual({each.problem for each in odd}, {"no upload can have been here"})


class BrokenOffTests(LocalResumableTestCase):
    def test_what_came_is_on_the_disk_when_the_failure_is_told(self) -> None:
        upload = self.begin()
        synced: list[int] = []
        fsync = os.fsync

        def note(fd: int) -> None:
            fsync(fd)
            synced.append(os.fstat(fd).st_size)

        self.patch(os, "fsync", note)
        body = ListBody([DATA[:7], DATA[7:50]], Disconnected("gone"))
        self.assert_fails(Disconnected, upload.append(body))
        self.assertEqual(synced[-1], 50)
        self.assertEqual(upload.offset, 50)
        self.release(upload)
