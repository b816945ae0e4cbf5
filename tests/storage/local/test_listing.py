"""Objects on a real file system are listed and deleted."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import TestCase

from giftless.errors import BadRequest, StorageUnavailable
from giftless.interfaces import PartUpload
from giftless.lfs.objects import MAX_SEGMENTS, ObjectKey
from giftless.storage.local.store import LocalStore
from tests.contracts.copying import CopyingContract
from tests.contracts.listing import DeletingContract, ListingContract
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import key_of, oid_of, put_object, repo_of
from tests.support.run import CoroutineTestCase


class LocalListingContractTests(ListingContract, CopyingContract, DeletingContract, TestCase):
    prefix: ClassVar[str] = ""

    async def make_store(self) -> LocalStore:
        os.makedirs(path := self.mktemp())
        self.root = Path(path, self.prefix)
        return LocalStore(path, self.prefix, InlineBlocking(), 4)

    async def add_foreign(self, path: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(b"foreign")


class LocalListingWithPrefixContractTests(LocalListingContractTests):
    prefix = "team/a"

    async def test_what_is_not_below_the_prefix_is_left_out(self) -> None:
        await self.prepare()
        other = LocalStore(str(self.root.parent.parent), "team/b", InlineBlocking())
        await put_object(other, key_of(b"abc"), 3, ListBody([b"abc"]), {})
        self.assertEqual(await self.listed(), [])


class LocalTestCase(CoroutineTestCase):
    """A test case with a store in an empty directory."""

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.blocking = InlineBlocking()
        self.store = LocalStore(str(self.top), "", self.blocking, 4)

    def put(self, data: bytes, path: str = "org/repo", extras: Any = None) -> ObjectKey:
        """Store an object."""
        key = key_of(data, path)
        self.run_now(put_object(self.store, key, len(data), ListBody([data]), extras or {}))
        return key

    def listed(self, path: str | None = None, cursor: str | None = None) -> list[str]:
        """Return the paths of all objects that are listed."""
        repo = None if path is None else repo_of(path)
        page = self.run_now(self.store.list(repo, cursor))
        self.assertIsNone(page.next_cursor)
        return [entry.key.path for entry in page.objects]


class ListingTests(LocalTestCase):
    def test_objects_come_in_the_order_of_their_paths(self) -> None:
        keys = [self.put(b"%d" % n, path) for n in range(5) for path in ("org", "org/a", "b")]
        self.assertEqual(self.listed(), sorted(key.path for key in keys))

    def test_it_tells_when_an_object_was_written(self) -> None:
        key = self.put(b"abc")
        os.utime(self.top / key.path, (0, 1_600_000_000.25))
        (entry,) = self.run_now(self.store.list(None)).objects
        self.assertEqual(entry.modified, 1_600_000_000.25)

    def test_a_page_is_one_job(self) -> None:
        for path in ("org/repo", "a", "b/c/d"):
            self.put(b"abc", path)
        self.blocking.jobs.clear()
        self.listed()
        self.assertEqual(len(self.blocking.jobs), 1)

    def test_what_the_store_keeps_for_itself_is_left_out(self) -> None:
        key = self.put(b"abc", extras={"filename": "x"})
        parts = self.store.plan(5)
        (part, *_) = parts
        upload = PartUpload("", parts)
        self.run_now(self.store.put_part(key_of(b"01234"), upload, part, ListBody([b"0123"])))
        (self.top / ".giftless" / "tmp" / oid_of(b"x")).write_bytes(b"x")
        self.assertEqual(self.listed(), [key.path])

    def test_links_are_neither_listed_nor_followed(self) -> None:
        key = self.put(b"abc")
        (self.top / "link").symlink_to("org")
        (self.top / "org" / "link").symlink_to("repo")
        (self.top / "org" / "loop").symlink_to(".")
        (self.top / "org" / "repo" / oid_of(b"x")).symlink_to(key.oid)
        (self.top / "org" / "repo" / oid_of(b"y")).symlink_to("nowhere")
        self.assertEqual(self.listed(), [key.path])
        for path in ("link/repo", "org/link", "org/loop/repo"):
            self.assertEqual(self.listed(path), [], path)
        # No cursor leads behind a link either.
        zeros = "0" * 64
        self.assertEqual(self.listed(cursor=f"link/repo/{zeros}"), [key.path])
        self.assertEqual(self.listed(cursor=f"org/link/{zeros}"), [key.path])

    def test_only_regular_files_are_objects(self) -> None:
        key = self.put(b"abc")
        os.mkfifo(self.top / "org" / "repo" / oid_of(b"fifo"))
        (self.top / "org" / "repo" / oid_of(b"directory")).mkdir()
        (self.top / "org" / "repo" / oid_of(b"directory") / key.oid).write_bytes(b"abc")
        self.assertEqual(self.listed(), [key.path])

    def test_directories_that_no_repository_can_have_are_left_out(self) -> None:
        for name in (b"\xff", b"a\nb", b".giftless2", b"0" * 64):
            directory = os.path.join(os.fsencode(self.top), name)
            os.mkdir(directory)
            with open(os.path.join(directory, oid_of(b"x").encode()), "wb"):
                pass
        self.assertEqual(self.listed(), [])

    def test_repositories_are_not_looked_for_too_deep(self) -> None:
        deepest = self.top.joinpath(*["a"] * MAX_SEGMENTS)
        (deepest / "a").mkdir(parents=True)
        (deepest / oid_of(b"x")).write_bytes(b"x")
        (deepest / "a" / oid_of(b"x")).write_bytes(b"x")
        self.assertEqual(self.listed(), ["a/" * MAX_SEGMENTS + oid_of(b"x")])

    def test_a_cursor_of_another_repository_is_refused(self) -> None:
        key = self.put(b"abc")
        self.assertEqual(self.listed("org/repo", key.path), [])
        for path in ("org", "org/repo/sub", "other"):
            self.assert_fails(BadRequest, self.store.list(repo_of(path), key.path))

    def test_a_disk_that_cannot_be_read_is_503(self) -> None:
        """A list without what could not be read would be taken for the whole list."""
        self.put(b"abc", "a")
        self.put(b"abc", "b")
        scandir = os.scandir

        def broken(path: bytes) -> Any:
            if path.endswith(b"/b"):
                raise OSError(errno.EIO, "broken disk")
            return scandir(path)

        self.patch(os, "scandir", broken)
        error = self.assert_fails(StorageUnavailable, self.store.list(None))
        self.assertEqual(error.code, 503)
        self.assertNotIn("broken disk", error.message)
        self.assertIsNotNone(error.retry_after)
        self.assertEqual(self.listed("a"), [key_of(b"abc", "a").path])

    def test_a_disk_that_is_away_is_503(self) -> None:
        self.top.rmdir()
        self.assert_fails(StorageUnavailable, self.store.list(None))
        self.assert_fails(StorageUnavailable, self.store.list(repo_of()))

    def test_what_is_deleted_while_it_is_listed_is_left_out(self) -> None:
        """After its name has been read, and before it is looked at."""
        kept, gone = self.put(b"kept"), self.put(b"gone")
        self.put(b"gone too", "z/deep/repo")
        scandir = os.scandir

        @contextmanager
        def racing(path: bytes) -> Iterator[Iterator[os.DirEntry[bytes]]]:
            with scandir(path) as entries:
                found = list(entries)
            if path.endswith(b"/repo"):
                (self.top / gone.path).unlink(missing_ok=True)
            if path.endswith(b"/z"):
                os.rename(self.top / "z" / "deep", self.top.parent / f"{self.top.name}.moved")
            yield iter(found)

        self.patch(os, "scandir", racing)
        self.assertEqual(self.listed(), [kept.path])


class DeletionTests(LocalTestCase):
    def files(self) -> list[str]:
        """Return every file below the directory, but for the locks of writers."""
        return sorted(
            str(path.relative_to(self.top))
            for path in self.top.rglob("*")
            if path.is_file() and path.parent.name != "writers"
        )

    def test_a_deletion_is_one_job(self) -> None:
        key = self.put(b"abc")
        self.blocking.jobs.clear()
        self.run_now(self.store.delete(key))
        self.assertEqual(len(self.blocking.jobs), 1)

    def test_nothing_is_left_of_an_object(self) -> None:
        self.run_now(self.store.delete(self.put(b"abc", extras={"filename": "x"})))
        self.assertEqual(self.files(), [])

    def test_a_deletion_is_on_the_disk_when_it_is_acknowledged(self) -> None:
        key = self.put(b"abc", extras={"filename": "x"})
        events: list[str] = []
        unlink, fsync = os.unlink, os.fsync

        def record_unlink(path: bytes, **options: int) -> None:
            events.append(f"unlink {os.fsdecode(path)}")
            unlink(path, **options)

        def record_fsync(fd: int) -> None:
            events.append(f"sync {os.path.relpath(os.readlink(f'/proc/self/fd/{fd}'), self.top)}")
            fsync(fd)

        self.patch(os, "unlink", record_unlink)
        self.patch(os, "fsync", record_fsync)
        self.run_now(self.store.delete(key))
        self.assertEqual(
            events,
            [
                f"unlink .giftless/extras/{key.path}",
                "sync .giftless/extras/org/repo",
                f"unlink {key.path}",
                "sync org/repo",
            ],
        )
        # Who deletes it at the same time may have been told so before it is there.
        events.clear()
        self.run_now(self.store.delete(key))
        self.assertEqual(events, ["sync .giftless/extras/org/repo", "sync org/repo"])

    def test_a_disk_that_refuses_is_503_and_the_object_is_still_listed(self) -> None:
        key = self.put(b"abc", extras={"filename": "x"})
        unlink = os.unlink

        def refuse(path: bytes, **options: int) -> None:
            if b".giftless" not in path:
                raise PermissionError(errno.EACCES, "no")
            unlink(path, **options)

        self.patch(os, "unlink", refuse)
        self.assert_fails(StorageUnavailable, self.store.delete(key))
        self.assertEqual(self.listed(), [key.path])

    def test_what_is_no_object_stays(self) -> None:
        key = self.put(b"abc")
        others = [key_of(data) for data in (b"link", b"directory", b"fifo")]
        paths = [self.top / other.path for other in others]
        paths[0].symlink_to(key.oid)
        paths[1].mkdir()
        os.mkfifo(paths[2])
        for other, path in zip(others, paths, strict=True):
            self.run_now(self.store.delete(other))
            self.assertTrue(os.path.lexists(path))
        self.assertEqual(self.listed(), [key.path])

    def test_a_file_where_a_repository_would_be_is_no_trouble(self) -> None:
        (self.top / "org").write_bytes(b"")
        self.run_now(self.store.delete(key_of(b"abc")))
        self.assertEqual(self.files(), ["org"])

    def test_an_open_object_outlasts_its_deletion(self) -> None:
        key = self.put(b"abc")
        stored = self.run_now(self.store.open(key))
        assert stored is not None
        self.addCleanup(stored.close)
        self.run_now(self.store.delete(key))
        self.assertEqual(os.pread(stored.fileno(), 3, 0), b"abc")
