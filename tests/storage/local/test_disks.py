"""Organisations on other disks: linked, or mounted, into a store."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest

from giftless.base.identities import remembered_in
from giftless.errors import StorageUnavailable
from giftless.lfs.objects import ObjectKey
from giftless.storage.local.store import LocalStore
from tests.storage.local.test_root import RootTestCase
from tests.support.blocking import ManualBlocking
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, put_object, repo_of

#: A file system in memory.
OTHER = Path("/dev/shm")

#: More than what is stored together with others.
LARGE = bytes(range(256)) * 2000


class DisksTestCase(RootTestCase):
    """Has a directory on another file system, to link to."""

    def setUp(self) -> None:
        super().setUp()
        if not OTHER.is_dir() or OTHER.stat().st_dev == self.base.stat().st_dev:
            raise SkipTest("there is no second file system at /dev/shm")
        self.disk = Path(tempfile.mkdtemp(dir=OTHER))
        self.addCleanup(shutil.rmtree, self.disk, True)
        self.top.mkdir()

    def link(self, path: str = "acme") -> None:
        """Link to the other file system."""
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        (self.top / path).symlink_to(self.disk)

    def key(self, data: bytes, path: str = "acme/rocket") -> ObjectKey:
        """Return the key of an object that lies there."""
        return key_of(data, path)

    def upload(self, store: LocalStore, key: ObjectKey, data: bytes, n: int = 0) -> None:
        """Upload an object, with extras unless there are none."""
        self.run_now(put_object(store, key, len(data), ListBody([data]), {"n": n} if n else {}))

    def check_all(self, store: LocalStore, path: str = "acme/rocket") -> None:
        """Upload objects of all kinds to a repository there, and look at them."""
        for number, data in enumerate((b"abc", LARGE, b"with extras")):
            key = self.key(data, path)
            self.upload(store, key, data, number // 2)
            self.assertEqual(self.run_now(store.sizes([key])), [len(data)])
            stored = self.run_now(store.open(key))
            assert stored is not None
            self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), data)
            stored.close()
        page = self.run_now(store.list(None))
        self.assertEqual(len(page.objects), 3)
        self.assertEqual(self.run_now(store.list(repo_of(path))).objects, page.objects)
        self.assertEqual(self.temporary(), [])
        self.run_now(store.mark(self.key(b"abc", path), "broken"))
        self.run_now(store.delete(self.key(LARGE, path)))
        self.assertEqual(len(self.run_now(store.list(None)).objects), 1)

    def temporary(self) -> list[Path]:
        """Return the files of unfinished uploads, on both disks."""
        return [
            path
            for top in (self.top, self.disk)
            for path in top.rglob("tmp/*")
            if path.parent.parent.name == ".giftless"
        ]


class LinkedTests(DisksTestCase):
    def test_an_organisation_that_is_a_link_to_another_disk(self) -> None:
        self.link()
        store = self.build()
        self.check_all(store)
        self.assertTrue((self.disk / "rocket").is_dir())
        # Others are where they were.
        self.upload(store, key_of(b"abc"), b"abc")
        self.assertTrue((self.top / key_of(b"abc").path).exists())

    def test_a_disk_that_hangs_holds_up_no_lookup_on_another(self) -> None:
        self.link()
        manual = ManualBlocking()
        remembered = remembered_in(str(self.state), "local")
        store = LocalStore(str(self.top), "", manual, remembered=remembered)
        store.open_disks()
        hangs = self.start(store.sizes([self.key(b"abc")]))
        other = self.start(store.open(key_of(b"abc")))
        self.assertEqual(manual.waiting, 2)
        manual.fail_next(OSError(errno.EIO, "broken disk"))
        self.failureResultOf(hangs, StorageUnavailable)
        manual.do_next()
        self.assertIsNone(self.successResultOf(other))

    def test_below_a_prefix(self) -> None:
        self.link("team/a/acme")
        self.check_all(self.build(prefix="team/a"))

    def test_a_prefix_that_is_a_link(self) -> None:
        self.link("team")
        self.check_all(self.build(prefix="team/a"))
        self.assertTrue((self.disk / "a" / "acme").is_dir())

    def test_a_link_that_is_made_while_the_daemon_serves(self) -> None:
        for data in (b"abc", LARGE):
            store = self.build()
            self.link()
            key = self.key(data)
            self.upload(store, key, data)
            self.assertEqual(self.run_now(store.sizes([key])), [len(data)])
            self.assertEqual(self.temporary(), [])
            shutil.rmtree(self.top)
            shutil.rmtree(self.state)
            self.top.mkdir()

    def test_a_link_below_an_organisation(self) -> None:
        store = self.build()
        self.link("acme/rocket/engine")
        self.check_all(store, "acme/rocket/engine")
        self.check_all(self.build(), "acme/rocket/engine")

    def test_what_a_killed_upload_left_there_is_removed_at_the_next_start(self) -> None:
        self.link("acme/rocket")
        self.upload(self.build(), self.key(b"abc"), b"abc")
        (self.disk / ".giftless" / "tmp" / "stale").write_bytes(b"half")
        self.build()
        self.assertEqual(self.temporary(), [])

    def test_an_alias_within_the_store_is_followed_and_not_listed(self) -> None:
        (self.top / "org").mkdir()
        (self.top / "alias").symlink_to("org")
        store = self.build()
        self.upload(store, key_of(b"abc", "alias/repo"), b"abc")
        self.assertEqual(self.run_now(store.sizes([key_of(b"abc", "org/repo")])), [3])
        (listed,) = self.run_now(store.list(None)).objects
        self.assertEqual(listed.key, key_of(b"abc", "org/repo"))

    def test_the_room_is_that_of_the_disk(self) -> None:
        self.link()
        store = self.build()
        status = os.statvfs(self.disk)
        room = self.run_now(store.room(repo_of("acme/rocket")))
        self.assertLess(abs(room.bytes - status.f_bavail * status.f_frsize), 10**8)

    def test_a_rename_that_leads_nowhere_known_is_503(self) -> None:
        store = self.build()

        def elsewhere(*_: object, **options: object) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        self.patch(os, "rename", elsewhere)
        for data in (b"abc", LARGE):
            key = self.key(data)
            put = put_object(store, key, len(data), ListBody([data]), {})
            self.assert_fails(StorageUnavailable, put)


class AwayTests(DisksTestCase):
    """The other disk is gone: its objects are not taken for absent."""

    def setUp(self) -> None:
        super().setUp()
        self.link()
        self.store = self.build()
        self.upload(self.store, self.key(b"abc"), b"abc")
        self.upload(self.store, key_of(b"abc"), b"abc")

    def take_away(self, empty: bool) -> None:
        """Take the disk away, and leave an empty mount point or nothing."""
        away = self.disk.with_name(f"{self.disk.name}-away")
        self.addCleanup(shutil.rmtree, away, True)
        self.disk.rename(away)
        if empty:
            self.disk.mkdir()

    def test_it_is_503_for_its_repositories_alone(self) -> None:
        for empty in (False, True):
            self.take_away(empty)
            self.assert_fails(StorageUnavailable, self.store.sizes([self.key(b"abc")]))
            self.assert_fails(StorageUnavailable, self.store.open(self.key(b"abc")))
            self.assert_fails(StorageUnavailable, self.store.list(None))
            put = put_object(self.store, self.key(b"x"), 1, ListBody([b"x"]), {})
            self.assert_fails(StorageUnavailable, put)
            self.assertEqual(self.run_now(self.store.sizes([key_of(b"abc")])), [3])
            if empty:
                self.assertEqual(list(self.disk.iterdir()), [])
                self.disk.rmdir()
            self.disk.with_name(f"{self.disk.name}-away").rename(self.disk)
            self.assertEqual(self.run_now(self.store.sizes([self.key(b"abc")])), [3])

    def test_a_start_is_refused(self) -> None:
        for empty in (False, True):
            self.take_away(empty)
            problem = self.refusal()
            self.assertIn(str(self.top / "acme"), problem)
            self.assertIn("mount", problem)
            if empty:
                self.disk.rmdir()
            self.disk.with_name(f"{self.disk.name}-away").rename(self.disk)
        self.build()


class RefusedTests(DisksTestCase):
    def test_a_link_to_nothing_is_refused(self) -> None:
        (self.top / "acme").symlink_to("/nonexistent/acme")
        self.assertIn("is a link to nothing", self.refusal())

    def test_own_directories_must_be_on_the_disk_of_the_store(self) -> None:
        for name in (".giftless/tmp", ".giftless/parts", ".giftless/extras", ".giftless"):
            shutil.rmtree(self.top)
            shutil.rmtree(self.state, True)
            self.link(name)
            self.assertIn("another file system", self.refusal())
