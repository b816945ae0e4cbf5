"""Files that are read from the disk, past the kernel's memory."""

from __future__ import annotations

import errno
import os
from typing import Any

from zope.interface.verify import verifyObject

from giftless.errors import ObjectUnreadable
from giftless.interfaces import IListing, IMarking, IReadableStore, IStoredFile, IStoredObject
from giftless.lfs.objects import ObjectKey
from giftless.storage import quiet
from giftless.storage.local.store import LocalStore
from giftless.storage.quiet import SLICE, quiet_store
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, put_object
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

#: More than two slices, and not a whole number of blocks.
DATA = os.urandom(2 * SLICE + 4097)
KEY = key_of(DATA)


def cached_pages(path: str) -> int:
    """Return how many bytes of a file the kernel has in memory, as far as it says."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        found = 0
        for offset in range(0, os.path.getsize(path), 4096):
            try:
                os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT)
            except BlockingIOError:
                continue
            found += 4096
        return found


class QuietStoreTests(CoroutineTestCase):
    def setUp(self) -> None:
        os.makedirs(path := self.mktemp())
        self.inner = LocalStore(path, "", InlineBlocking())
        self.run_now(put_object(self.inner, KEY, len(DATA), ListBody([DATA]), {"x-a": 1}))
        self.path = os.path.join(path, KEY.path)
        self.store = quiet_store(self.inner, InlineBlocking())
        self.forget()

    def forget(self) -> None:
        """Let the kernel have nothing of the file in memory."""
        fd = os.open(self.path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    def open(self, key: ObjectKey = KEY) -> Any:
        """Open an object; it is closed when the test ends."""
        stored = self.run_now(self.store.open(key))
        assert stored is not None
        self.addCleanup(stored.close)
        return stored

    def read(self, start: int = 0, end: int = len(DATA)) -> bytes:
        """Read a part of the object."""
        return self.run_now(read_all(self.open().read(start, end)))

    def test_it_has_the_interfaces_of_the_store(self) -> None:
        verifyObject(IReadableStore, self.store)
        verifyObject(IListing, self.store)
        self.assertTrue(IMarking.providedBy(self.store))
        self.assertEqual(self.run_now(self.store.sizes([KEY])), [len(DATA)])

    def test_an_open_object_is_no_file_for_others(self) -> None:
        stored = self.open()
        verifyObject(IStoredObject, stored)
        self.assertFalse(IStoredFile.providedBy(stored))
        self.assertEqual((stored.size, stored.extras), (len(DATA), {"x-a": 1}))

    def test_any_part_can_be_read(self) -> None:
        end = len(DATA)
        for start, stop in ((0, end), (0, 0), (1, 2), (4095, 4097), (SLICE - 1, end), (end, end)):
            self.assertEqual(self.read(start, stop), DATA[start:stop], (start, stop))

    def test_what_is_read_does_not_come_into_memory(self) -> None:
        self.assertEqual(self.read(), DATA)
        self.assertEqual(cached_pages(self.path), 0)

    def test_what_clients_read_stays_in_memory(self) -> None:
        with open(self.path, "rb") as file:
            file.read()
        before = cached_pages(self.path)
        self.assertGreaterEqual(before, len(DATA))
        self.assertEqual(self.read(), DATA)
        self.assertEqual(cached_pages(self.path), before)

    def test_where_the_file_system_cannot_it_is_read_through_memory_and_forgotten(self) -> None:
        set_direct = quiet._set_direct

        def refused(fd: int, direct: bool) -> None:
            if direct:
                raise OSError(errno.EINVAL, "not here")
            set_direct(fd, direct)

        self.patch(quiet, "_set_direct", refused)
        self.assertEqual(self.read(), DATA)
        self.assertEqual(cached_pages(self.path), 0)
        self.assertEqual(self.read(SLICE + 1, SLICE + 5000), DATA[SLICE + 1 : SLICE + 5000])

    def test_a_disk_that_fails_makes_the_object_unreadable(self) -> None:
        def fail(fd: int, direct: bool) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.patch(quiet, "_set_direct", fail)
        error = self.assert_fails(ObjectUnreadable, read_all(self.open().read(0, len(DATA))))
        self.assertIn("Input/output error", error.message)

    def test_a_file_that_became_shorter_is_unreadable(self) -> None:
        stored = self.open()
        os.truncate(self.path, 100)
        self.assert_fails(ObjectUnreadable, read_all(stored.read(0, len(DATA))))

    def test_a_file_is_closed_behind_the_read_that_runs(self) -> None:
        blocking = ManualBlocking()
        self.store = quiet_store(self.inner, blocking)
        closed: list[int] = []
        stored = self.run_now(self.store.open(KEY))
        assert stored is not None
        self.patch(os, "close", closed.append)
        reading = self.start(stored.read(0, 10).read())
        stored.close()
        stored.close()
        blocking.do_next()
        self.assertEqual((self.successResultOf(reading), closed), ([DATA[:10]], []))
        blocking.do_next()
        self.assertEqual((len(closed), blocking.waiting), (1, 0))

    def test_what_is_no_file_is_as_it_was(self) -> None:
        memory = MemoryStore()
        memory.add(KEY, b"abc")
        store = quiet_store(memory, InlineBlocking())
        self.assertIs(self.run_now(store.open(KEY)), memory.opened[0])
        self.assertIsNone(self.run_now(store.open(key_of(b"absent"))))
