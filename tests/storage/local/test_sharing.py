"""Equal objects on a real file system share their bytes."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from giftless.errors import ObjectDamaged, StorageUnavailable
from giftless.interfaces import ISharing
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.local import sharing
from giftless.storage.local.store import LocalStore
from tests.storage.local.test_disks import DisksTestCase
from tests.storage.local.test_listing import LocalTestCase
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, put_object
from tests.support.scripts import start_script

DATA = b"equal bytes" * 1000
ONE, TWO, THREE = (key_of(DATA, f"org/{name}") for name in ("one", "two", "three"))

#: Shares for ever, until it is killed: the store's directory, and the paths of keys.
_SHARER = """
import sys
from giftless.lfs.objects import ObjectKey
from giftless.storage.local.disks import Disks
from giftless.storage.local.files import Upload
from giftless.storage.local.sharing import share_file
disks = Disks(sys.argv[1].encode(), b"", None)
place, *others = [disks.place_of(ObjectKey.of_path(path)) for path in sys.argv[2:]]
while True:
    for other in others:
        # A file of its own, so that there is something to do each time.
        with open(sys.argv[1].encode() + b"/" + other.path, "rb") as file:
            upload = Upload(other.root.enter)
            upload.write([file.read()])
            upload.rename(other.path)
            upload.close()
        print(share_file(place, [other]), flush=True)
"""


class SharingTestCase(LocalTestCase):
    """Has one object in three repositories, each with bytes of its own."""

    def setUp(self) -> None:
        super().setUp()
        for path in ("org/one", "org/two", "org/three"):
            self.put(DATA, path)

    def share(self, key: ObjectKey, *others: ObjectKey) -> int:
        """Let others share the bytes of an object."""
        count: int = self.run_now(self.store.share(key, others))
        return count

    def path(self, key: ObjectKey) -> Path:
        """Return where an object's file is."""
        return self.top / key.path

    def files(self, *keys: ObjectKey) -> int:
        """Return how many different files some objects are."""
        return len({self.path(key).stat().st_ino for key in keys})

    def assert_tidy(self) -> None:
        """Fail if a temporary file has been left."""
        self.assertEqual(list(self.top.glob(".giftless/tmp/*")), [])

    def before_exchange(self, action: Callable[[], object]) -> None:
        """Let something happen just before two names are exchanged, once."""
        exchange = sharing._exchange

        def late(*names: Any) -> None:
            self.patch(sharing, "_exchange", exchange)
            action()
            exchange(*names)

        self.patch(sharing, "_exchange", late)


class SharingTests(SharingTestCase):
    def test_it_provides_its_interface(self) -> None:
        verifyObject(ISharing, self.store)

    def test_equal_objects_become_one_file(self) -> None:
        inode = self.path(ONE).stat().st_ino
        self.blocking.jobs.clear()
        self.assertEqual(self.share(ONE, TWO, THREE), 2)
        self.assertEqual(len(self.blocking.jobs), 1)
        for key in (ONE, TWO, THREE):
            # The others give way: only this one was verified.
            self.assertEqual(self.path(key).stat().st_ino, inode)
            self.assertEqual(self.path(key).read_bytes(), DATA)
        self.assertEqual(self.share(ONE, TWO, THREE), 0)
        self.assertEqual(self.share(TWO, ONE, TWO), 0)
        self.assert_tidy()

    def test_each_is_deleted_by_itself(self) -> None:
        self.share(ONE, TWO, THREE)
        self.run_now(self.store.delete(ONE))
        self.assertEqual(self.listed(), sorted([TWO.path, THREE.path]))
        self.assertEqual(self.path(TWO).read_bytes(), DATA)

    def test_what_is_in_the_trash_shares_too(self) -> None:
        trashed = in_trash(TWO)
        self.run_now(self.store.copy(TWO, trashed))
        self.run_now(self.store.delete(TWO))
        self.assertEqual(self.share(ONE, trashed), 1)
        self.assertEqual(self.files(ONE, trashed), 1)

    def test_what_is_absent_does_not_appear(self) -> None:
        self.run_now(self.store.delete(TWO))
        absent = key_of(DATA, "never/seen")
        self.assertEqual(self.share(ONE, TWO, absent, THREE), 1)
        self.assertEqual(self.listed(), sorted([ONE.path, THREE.path]))
        self.assertEqual(self.share(TWO, ONE, THREE), 0)
        self.assertEqual(self.listed(), sorted([ONE.path, THREE.path]))
        self.assert_tidy()

    def test_what_is_deleted_meanwhile_does_not_come_back(self) -> None:
        self.before_exchange(lambda: self.run_now(self.store.delete(TWO)))
        self.assertEqual(self.share(ONE, TWO), 0)
        self.assertEqual(self.listed(), sorted([ONE.path, THREE.path]))
        self.assert_tidy()

    def test_what_is_stored_meanwhile_keeps_its_time(self) -> None:
        def store_again() -> None:
            self.put(DATA, "org/two")
            os.utime(self.path(TWO), (0, 2_000_000_000))

        self.before_exchange(store_again)
        self.assertEqual(self.share(ONE, TWO), 1)
        self.assertEqual(self.path(TWO).stat().st_mtime, 2_000_000_000)
        self.assert_tidy()

    def test_no_object_becomes_older_than_it_was_stored(self) -> None:
        for one, two in ((1_500_000_000, 1_600_000_000), (1_600_000_000, 1_500_000_000)):
            self.setUp()
            os.utime(self.path(ONE), (0, one))
            os.utime(self.path(TWO), (0, two))
            self.assertEqual(self.share(ONE, TWO), 1)
            self.assertEqual(self.path(TWO).stat().st_mtime, 1_600_000_000)
            # Storing it again makes it younger.
            self.put(DATA, "org/two")
            self.assertGreater(self.path(TWO).stat().st_mtime, 1_700_000_000)
            self.assertEqual(self.files(ONE, TWO), 2)

    def test_something_else_in_its_place_stays(self) -> None:
        """Its size tells it, before and after the exchange."""
        self.path(TWO).write_bytes(b"cut off")
        self.assertEqual(self.share(ONE, TWO), 0)
        self.before_exchange(lambda: self.path(THREE).write_bytes(b"cut off"))
        self.assertEqual(self.share(ONE, THREE), 0)
        for key in (TWO, THREE):
            self.assertEqual(self.path(key).read_bytes(), b"cut off")
        self.path(TWO).unlink()
        self.path(TWO).symlink_to(self.path(ONE))
        self.assertEqual(self.share(ONE, TWO), 0)
        self.assertTrue(self.path(TWO).is_symlink())
        self.path(TWO).unlink()
        self.path(TWO).mkdir()
        self.assertEqual(self.share(ONE, TWO), 0)
        self.assertTrue(self.path(TWO).is_dir())
        self.assert_tidy()

    def test_another_object_is_left_alone(self) -> None:
        other = self.put(bytes(len(DATA)), "org/two")
        self.assertEqual(self.share(ONE, other), 0)
        self.assertEqual(self.path(other).read_bytes(), bytes(len(DATA)))

    def test_a_damaged_object_keeps_its_mark(self) -> None:
        self.run_now(self.store.mark(TWO, "bad bytes"))
        self.assertEqual(self.share(ONE, TWO), 0)
        (size,) = self.run_now(self.store.sizes([TWO]))
        self.assertIsInstance(size, ObjectDamaged)
        # Nor is a damaged one what others become.
        self.assertEqual(self.share(TWO, ONE, THREE), 0)
        self.assertEqual(self.files(ONE, THREE), 2)
        self.assert_tidy()

    def test_extras_stay_those_of_each(self) -> None:
        self.put(DATA, "org/two", {"n": 2})
        self.put(DATA, "org/one", {"n": 1})
        self.assertEqual(self.share(ONE, TWO), 1)
        stored = self.run_now(self.store.open(TWO))
        assert stored is not None
        self.addCleanup(stored.close)
        self.assertEqual(dict(stored.extras), {"n": 2})

    def test_whoever_reads_an_object_reads_on(self) -> None:
        stored = self.run_now(self.store.open(TWO))
        assert stored is not None
        self.addCleanup(stored.close)
        self.share(ONE, TWO)
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), DATA)

    def test_file_systems_without_links_or_exchange_are_left_alone(self) -> None:
        for place, name, number in (
            (os, "link", errno.EPERM),
            (os, "link", errno.EMLINK),
            (os, "link", errno.EOPNOTSUPP),
            (sharing, "_exchange", errno.EINVAL),
            (sharing, "_exchange", errno.ENOSYS),
            (sharing, "_exchange", errno.EXDEV),
        ):
            with self.failing(place, name, number):
                self.assertEqual(self.share(ONE, TWO, THREE), 0, errno.errorcode[number])
        self.patch(sharing, "_renameat2", None)
        self.assertEqual(self.share(ONE, TWO, THREE), 0)
        self.assertEqual(self.files(ONE, TWO, THREE), 3)
        self.assert_tidy()

    def test_a_disk_that_fails_is_503(self) -> None:
        for number in (errno.EIO, errno.EROFS):
            with self.failing(sharing, "_exchange", number):
                self.assert_fails(StorageUnavailable, self.store.share(ONE, [TWO]))
        self.assertEqual(self.files(ONE, TWO), 2)
        self.assert_tidy()

    def test_a_shared_name_is_on_the_disk_before_its_old_file_goes(self) -> None:
        events: list[str] = []
        unlink, fsync, exchange = os.unlink, os.fsync, sharing._exchange

        def record_exchange(*names: Any) -> None:
            events.append("exchange")
            exchange(*names)

        def record_unlink(path: bytes, **options: int) -> None:
            events.append("unlink")
            unlink(path, **options)

        def record_fsync(fd: int) -> None:
            events.append(f"sync {os.path.relpath(os.readlink(f'/proc/self/fd/{fd}'), self.top)}")
            fsync(fd)

        self.share(ONE, THREE)
        self.patch(sharing, "_exchange", record_exchange)
        self.patch(os, "unlink", record_unlink)
        self.patch(os, "fsync", record_fsync)
        self.share(ONE, TWO)
        self.assertEqual(events, ["exchange", "sync org/two", "unlink"])

    @contextlib.contextmanager
    def failing(self, place: Any, name: str, number: int) -> Iterator[None]:
        """Let a function fail."""

        def fail(*_: Any, **__: Any) -> None:
            raise OSError(number, os.strerror(number))

        patched = self.patch(place, name, fail)
        try:
            yield
        finally:
            patched.restore()


class SharedDisksTests(DisksTestCase):
    def test_objects_on_other_disks_are_left_alone(self) -> None:
        self.link()
        store = self.build()
        keys = [self.key(DATA), self.key(DATA, "acme/other"), ONE, TWO]
        for key in keys:
            self.upload(store, key, DATA)
        self.assertEqual(self.run_now(store.share(keys[0], keys[1:])), 1)
        self.assertEqual(self.run_now(store.share(keys[2], [*keys[:2], keys[3]])), 1)
        places = [self.disk / "rocket", self.disk / "other", self.top / "org/one"]
        numbers = {(place / ONE.oid).stat().st_ino for place in places}
        self.assertEqual(len(numbers), 2)
        self.assertEqual(self.temporary(), [])


class SharingRaceTests(SharingTestCase):
    """Somebody stores, deletes and reads the same objects all the while."""

    def in_threads(self, *work: Callable[[], None]) -> None:
        """Call functions again and again, at the same time, for a while."""
        ended = threading.Event()
        problems: list[BaseException] = []

        def repeat(function: Callable[[], None]) -> None:
            while not ended.is_set():
                try:
                    function()
                except BaseException as error:
                    problems.append(error)
                    ended.set()

        threads = [threading.Thread(target=repeat, args=(function,)) for function in work]
        for thread in threads:
            thread.start()
        ended.wait(1.0)
        ended.set()
        for thread in threads:
            thread.join()
        if problems:
            raise problems[0]

    def other_store(self) -> LocalStore:
        """Return a store over the same directory, as another process has."""
        return LocalStore(str(self.top), "", InlineBlocking(), 4)

    def now(self, work: Awaitable[Any]) -> Any:
        """Await what is done inline."""

        async def wait() -> Any:
            return await work

        return self.successResultOf(Deferred.fromCoroutine(wait()))

    def test_what_is_deleted_stays_deleted_and_what_is_there_has_its_bytes(self) -> None:
        counts = {"shared": 0, "deleted": 0}
        sharer, owner, writer, reader = (self.other_store() for _ in range(4))

        def share() -> None:
            counts["shared"] += self.now(sharer.share(ONE, [TWO, THREE]))

        def store_and_delete() -> None:
            self.now(put_object(owner, TWO, len(DATA), ListBody([DATA]), {}))
            assert self.now(owner.sizes([TWO])) == [len(DATA)]
            self.now(owner.delete(TWO))
            for _ in range(20):
                assert self.now(owner.sizes([TWO])) == [None], "it came back"
            counts["deleted"] += 1

        def replace() -> None:
            self.now(put_object(writer, THREE, len(DATA), ListBody([DATA]), {}))

        def read() -> None:
            assert self.now(reader.sizes([ONE, THREE])) == [len(DATA)] * 2
            stored = self.now(reader.open(THREE))
            assert self.now(read_all(stored.read(0, stored.size))) == DATA
            stored.close()

        self.in_threads(share, store_and_delete, replace, read)
        self.assertGreater(counts["shared"], 0)
        self.assertGreater(counts["deleted"], 0)
        self.assert_tidy()

    def test_what_a_killed_process_has_left_is_swept(self) -> None:
        paths = [key.path for key in (ONE, TWO, THREE)]
        for number in range(8):
            process = start_script(_SHARER, self.top, *paths)
            assert process.stdout is not None
            for _ in range(number + 1):
                self.assertEqual(process.stdout.readline(), "1\n")
            process.kill()
            process.communicate()
            for key in (ONE, TWO, THREE):
                self.assertEqual(self.path(key).read_bytes(), DATA)
            self.other_store().sweep()
            self.assert_tidy()
        self.run_now(put_object(self.store, TWO, len(DATA), ListBody([DATA]), {}))
        self.assertGreater(self.share(ONE, TWO), 0)
