"""Heads that are replaced in place."""

from __future__ import annotations

import fcntl
import functools
import os
from pathlib import Path

from giftless.errors import InsufficientStorage, ObjectUnreadable, StorageUnavailable
from giftless.interfaces import IHeading
from giftless.lfs.objects import ObjectKey
from giftless.storage.local.store import LocalStore
from tests.support.blocking import InlineBlocking
from tests.support.bodies import ListBody
from tests.support.making import key_of, put_object, repo_of
from tests.support.run import CoroutineTestCase

BEFORE, AFTER = b"a" * 512, b"b" * 512
DATA = BEFORE + b"and the rest"


class HeadingTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.store = LocalStore(str(self.top), "", InlineBlocking())
        self.key = key_of(DATA)
        self.run_now(put_object(self.store, self.key, len(DATA), ListBody([DATA]), {}))
        self.file = self.top / self.key.path

    def replace(self, before: bytes = BEFORE, after: bytes = AFTER) -> bool:
        """Replace the head of the object."""
        return self.run_now(self.store.replace_head(self.key, before, after))

    def test_it_provides_the_interface(self) -> None:
        self.assertTrue(IHeading.providedBy(self.store))

    def test_the_head_is_replaced_and_nothing_else(self) -> None:
        os.utime(self.file, (1, 2))
        inode = self.file.stat().st_ino
        self.assertTrue(self.replace())
        self.assertEqual(self.file.read_bytes(), AFTER + b"and the rest")
        status = self.file.stat()
        self.assertEqual((status.st_mtime, status.st_ino), (2, inode))
        self.assertFalse(self.replace())

    def test_another_head_stays(self) -> None:
        self.assertFalse(self.replace(b"c" * 512))
        self.assertEqual(self.file.read_bytes(), DATA)

    def test_all_names_of_the_file_have_it(self) -> None:
        copy = ObjectKey(repo_of("other/repo"), self.key.oid)
        self.assertTrue(self.run_now(self.store.copy(self.key, copy)))
        self.assertTrue(self.replace())
        self.assertEqual((self.top / copy.path).read_bytes(), AFTER + b"and the rest")

    def test_what_is_no_object_has_no_head(self) -> None:
        self.file.unlink()
        self.assertFalse(self.replace())
        self.file.symlink_to(self.top / "elsewhere")
        self.assertFalse(self.replace())
        self.file.unlink()
        os.mkfifo(self.file)
        self.assertFalse(self.replace(b"", b""))

    def test_a_disk_that_fails_is_told(self) -> None:
        def fail(number: int, *_: object) -> None:
            raise OSError(number, os.strerror(number))

        for number, kind in ((28, InsufficientStorage), (116, StorageUnavailable)):
            self.patch(fcntl, "flock", functools.partial(fail, number))
            self.assert_fails(kind, self.store.replace_head(self.key, BEFORE, AFTER))
        self.assertEqual(self.file.read_bytes(), DATA)

    def test_a_file_that_may_not_be_written_is_told_by_itself(self) -> None:
        """The next object may be another matter."""

        def fail(*_: object) -> None:
            raise OSError(13, os.strerror(13))

        self.patch(fcntl, "flock", fail)
        error = self.assert_fails(
            ObjectUnreadable, self.store.replace_head(self.key, BEFORE, AFTER)
        )
        self.assertIn("Permission denied", error.message)
