"""Objects on a real file system are copied: they get a second name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from giftless.errors import InsufficientStorage, StorageUnavailable
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.storage.local.files import Upload
from tests.storage.local.test_disks import LARGE, DisksTestCase
from tests.storage.local.test_listing import LocalTestCase
from tests.support.bodies import ListBody, read_all
from tests.support.making import key_of, put_object

OTHER = key_of(b"abc", "other/place")


class CopyTests(LocalTestCase):
    def copy(self, source: ObjectKey, target: ObjectKey = OTHER) -> bool:
        """Copy an object."""
        copied: bool = self.run_now(self.store.copy(source, target))
        return copied

    def inode(self, key: ObjectKey) -> int:
        """Return which file an object is."""
        return (self.top / key.path).stat().st_ino

    def temporary(self) -> list[Path]:
        """Return the temporary files."""
        return list(self.top.glob(".giftless/tmp/*"))

    def test_a_copy_is_one_job_and_the_same_file(self) -> None:
        key = self.put(b"abc")
        self.blocking.jobs.clear()
        self.assertTrue(self.copy(key))
        self.assertEqual(len(self.blocking.jobs), 1)
        self.assertEqual(self.inode(OTHER), self.inode(key))
        self.assertEqual(self.temporary(), [])

    def test_the_trash_is_in_the_directory_of_the_organisation(self) -> None:
        for path, place in (
            ("acme/rocket", "acme/.giftless/trash/rocket"),
            ("acme", "acme/.giftless/trash"),
            ("acme/a/b", "acme/.giftless/trash/a/b"),
        ):
            key = self.put(b"abc", path)
            self.assertTrue(self.copy(key, in_trash(key)))
            self.assertEqual(self.inode(key), (self.top / place / key.oid).stat().st_ino)

    def test_a_copy_is_on_the_disk_when_it_is_acknowledged(self) -> None:
        key = self.put(b"abc", extras={"n": 1})
        events: list[str] = []
        link, fsync = os.link, os.fsync

        def record_link(source: bytes, target: bytes, **options: Any) -> None:
            events.append(f"link {os.fsdecode(target)}")
            link(source, target, **options)

        def record_fsync(fd: int) -> None:
            path = os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), self.top)
            if "tmp" not in path:
                events.append(f"sync {path}")
            fsync(fd)

        self.patch(os, "link", record_link)
        self.patch(os, "fsync", record_fsync)
        self.assertTrue(self.copy(key))
        linked = events.index(f"link {OTHER.path}")
        self.assertEqual(events[linked:], [f"link {OTHER.path}", "sync other/place"])
        # The names of the directories, and the extras, are on the disk before.
        self.assertIn("sync .giftless/extras/other/place", events[:linked])
        self.assertEqual(events[linked - 2 : linked], ["sync .", "sync other"])
        # Whoever finds it there does not know whether its name is on the disk.
        events.clear()
        self.assertTrue(self.copy(key))
        self.assertEqual(events, ["sync other/place"])

    def test_a_copy_keeps_the_time_at_which_the_object_was_stored(self) -> None:
        key = self.put(b"abc")
        os.utime(self.top / key.path, (0, 1_600_000_000.25))
        self.copy(key)
        times = {entry.modified for entry in self.run_now(self.store.list(None)).objects}
        self.assertEqual(times, {1_600_000_000.25})

    def test_the_trash_tells_when_an_object_came_there(self) -> None:
        key = self.put(b"abc")
        before = (self.top / key.path).stat().st_ctime
        os.utime(self.top / key.path, (0, 1_600_000_000.25))
        self.copy(key, in_trash(key))
        (entry,) = self.run_now(self.store.list(None, trash=True)).objects
        self.assertGreaterEqual(entry.modified, before)

    def test_what_is_uploaded_meanwhile_stays(self) -> None:
        """It was stored later than what is copied."""
        key = self.put(b"abc")
        os.utime(self.top / key.path, (0, 1_600_000_000))
        link = os.link

        def late(*names: Any, **options: Any) -> None:
            self.put(b"abc", "other/place")
            self.patch(os, "link", link)
            link(*names, **options)

        self.patch(os, "link", late)
        self.assertTrue(self.copy(key))
        self.assertNotEqual(self.inode(OTHER), self.inode(key))
        self.assertEqual(self.temporary(), [])

    def test_what_is_deleted_meanwhile_is_absent(self) -> None:
        key = self.put(b"abc")
        link = os.link

        def late(*names: Any, **options: Any) -> None:
            (self.top / key.path).unlink(missing_ok=True)
            link(*names, **options)

        self.patch(os, "link", late)
        self.assertFalse(self.copy(key))
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.temporary(), [])

    def test_a_directory_that_is_removed_meanwhile_is_made_again(self) -> None:
        key = self.put(b"abc")
        self.assertTrue(self.copy(key))
        self.run_now(self.store.delete(OTHER))
        (self.top / "other" / "place").rmdir()
        self.assertTrue(self.copy(key))
        self.assertEqual(self.inode(OTHER), self.inode(key))

    def test_extras_survive_a_deletion_that_is_killed_half_way(self) -> None:
        """They go first; whoever moves the object to the trash then begins anew."""
        key = self.put(b"abc", extras={"n": 1})
        self.assertTrue(self.copy(key, in_trash(key)))
        (self.top / ".giftless" / "extras" / key.path).unlink()
        self.assertTrue(self.copy(key, in_trash(key)))
        self.run_now(self.store.delete(key))
        stored = self.run_now(self.store.open(in_trash(key)))
        assert stored is not None
        self.addCleanup(stored.close)
        self.assertEqual(dict(stored.extras), {"n": 1})

    def test_extras_of_another_time_do_not_come_back(self) -> None:
        key = self.put(b"abc")
        kept = self.top / ".giftless" / "extras" / OTHER.path
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b'{"n":2}')
        self.assertTrue(self.copy(key))
        self.assertFalse(kept.exists())

    def test_two_names_of_one_file_leave_no_third(self) -> None:
        """Renaming one to another does nothing, and leaves both."""
        key = self.put(b"abc")
        self.put(b"cut", "other/place")
        (self.top / OTHER.path).write_bytes(b"cut off")
        rename = os.rename

        def late(source: bytes, target: bytes, **options: Any) -> None:
            os.unlink(self.top / OTHER.path)
            os.link(self.top / key.path, self.top / OTHER.path)
            rename(source, target, **options)

        self.patch(os, "rename", late)
        self.assertTrue(self.copy(key))
        self.assertEqual(self.temporary(), [])
        self.assertEqual((self.top / OTHER.path).stat().st_nlink, 2)

    def test_links_and_other_things_are_no_objects(self) -> None:
        key = key_of(b"abc")
        path = self.top / key.path
        path.parent.mkdir(parents=True)
        for make in (lambda: path.symlink_to("/etc/passwd"), lambda: os.mkfifo(path)):
            make()
            self.assertFalse(self.copy(key))
            path.unlink()
        self.assertEqual(self.listed(), [])

    def test_bytes_are_copied_where_files_have_one_name(self) -> None:
        for number in (errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            data = b"number %d" % number
            key, other = self.put(data, extras={"n": 1}), key_of(data, "other/place")

            def refuse(*_: Any, number: int = number, **__: Any) -> None:
                raise OSError(number, os.strerror(number))

            self.patch(os, "link", refuse)
            self.assertTrue(self.copy(key, other))
            self.assertEqual((self.top / other.path).read_bytes(), data)
            self.assertNotEqual(self.inode(other), self.inode(key))
        self.assertEqual(self.temporary(), [])

    def test_a_disk_that_fails_leaves_nothing(self) -> None:
        key = self.put(b"abc")
        for number, kind in (
            (errno.EIO, StorageUnavailable),
            (errno.ENOSPC, InsufficientStorage),
            (errno.EROFS, StorageUnavailable),
        ):

            def fail(*_: Any, number: int = number, **__: Any) -> None:
                raise OSError(number, os.strerror(number))

            self.patch(os, "link", fail)
            self.assert_fails(kind, self.store.copy(key, OTHER))
        self.assertEqual(self.listed(), [key.path])
        self.assertEqual(self.temporary(), [])


class CopyToOtherDiskTests(DisksTestCase):
    """Organisations that lie on another disk than others."""

    def setUp(self) -> None:
        super().setUp()
        self.link()
        self.store = self.build()
        self.there = self.key(LARGE)
        self.upload(self.store, self.there, LARGE, 1)
        self.here = key_of(LARGE, "local/copy")

    def assert_copied(self, source: ObjectKey, target: ObjectKey) -> None:
        """Fail unless an object is copied, with its extras."""
        self.assertTrue(self.run_now(self.store.copy(source, target)))
        stored = self.run_now(self.store.open(target))
        assert stored is not None
        self.addCleanup(stored.close)
        self.assertEqual(self.run_now(read_all(stored.read(0, stored.size))), LARGE)
        self.assertEqual(dict(stored.extras), {"n": 1})
        self.assertEqual(self.temporary(), [])

    def test_bytes_are_copied_to_and_from_it(self) -> None:
        self.assert_copied(self.there, self.here)
        self.run_now(self.store.delete(self.there))
        self.assert_copied(self.here, self.there)

    def test_the_trash_of_an_organisation_is_on_its_disk(self) -> None:
        trashed = in_trash(self.there)
        self.assert_copied(self.there, trashed)
        place = self.disk / ".giftless" / "trash" / "rocket" / self.there.oid
        self.assertEqual(place.stat().st_ino, (self.disk / "rocket" / self.there.oid).stat().st_ino)
        page = self.run_now(self.store.list(None, trash=True))
        self.assertEqual([entry.key for entry in page.objects], [trashed])
        self.run_now(self.store.delete(self.there))
        self.assert_copied(trashed, self.there)
        self.run_now(self.store.mark(trashed, "bad bytes"))
        self.assertFalse(self.run_now(self.store.copy(trashed, self.here)))

    def test_a_link_that_was_made_meanwhile_is_discovered(self) -> None:
        (self.disk / "late").mkdir()
        (self.top / "late").symlink_to(self.disk / "late")
        target = key_of(LARGE, "late/repo")
        put = put_object(self.store, self.here, len(LARGE), ListBody([LARGE]), {"n": 1})
        self.run_now(put)
        self.assert_copied(self.here, target)
        self.assertTrue((self.disk / "late" / "repo" / target.oid).exists())

    def test_a_copy_with_other_bytes_is_thrown_away(self) -> None:
        write = Upload.write

        def wrong(upload: Upload, chunks: Any) -> None:
            write(upload, [bytes(len(chunk)) for chunk in chunks])

        self.patch(Upload, "write", wrong)
        self.assert_fails(StorageUnavailable, self.store.copy(self.there, self.here))
        self.assertEqual(self.run_now(self.store.sizes([self.here])), [None])
        self.assertEqual(self.temporary(), [])

    def test_a_copy_that_does_not_fit_is_refused_at_once(self) -> None:
        self.patch(os, "statvfs", lambda _: os.statvfs_result((1, 1, *[0] * 8)))
        self.assert_fails(InsufficientStorage, self.store.copy(self.there, self.here))
        self.assertEqual(self.temporary(), [])
