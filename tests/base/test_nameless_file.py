"""Bytes that wait on disk in a file without a name."""

from __future__ import annotations

import errno
import os
import threading

from giftless.base.nameless_file import READ_SIZE, NamelessFile
from giftless.errors import InsufficientStorage, StorageUnavailable
from tests.support.blocking import InlineBlocking
from tests.support.bodies import read_all
from tests.support.run import CoroutineTestCase


class NamelessFileTests(CoroutineTestCase):
    """Such a file."""

    def setUp(self) -> None:
        self.directory = os.path.join(self.mktemp(), "deep")
        self.file = NamelessFile(self.directory, InlineBlocking())
        self.addCleanup(lambda: self.run_now(self.file.close()))

    def write(self, *chunks: bytes) -> None:
        self.run_now(self.file.write(chunks))

    def test_nothing_is_there_before_the_first_byte(self) -> None:
        self.assertEqual(self.run_now(read_all(self.file.body())), b"")
        self.assertFalse(os.path.exists(self.directory))
        self.run_now(self.file.close())

    def test_bytes_are_read_as_often_as_somebody_wants(self) -> None:
        large = os.urandom(READ_SIZE + 5)
        self.write(b"one", b"", b"two")
        early = self.file.body()
        self.assertEqual(self.run_now(early.read()), [b"onetwo"])
        self.write(large)
        self.assertEqual(self.file.length, 6 + len(large))
        self.assertEqual(self.run_now(read_all(early)), large)
        for _ in range(2):
            self.assertEqual(self.run_now(read_all(self.file.body())), b"onetwo" + large)

    def test_it_has_no_name(self) -> None:
        self.write(b"x")
        self.assertEqual(os.listdir(self.directory), [])
        self.run_now(self.file.close())
        self.run_now(self.file.close())

    def test_a_full_disk_leaves_what_was_there(self) -> None:
        """Even if some of what came last was written."""
        self.write(b"there")
        real = os.pwrite
        room = [3]

        def pwrite(fd: int, data: bytes, position: int) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = real(fd, data[: room[0]], position)
            room[0] -= written
            return written

        self.patch(os, "pwrite", pwrite)
        error = self.assert_fails(InsufficientStorage, self.file.write([b"12", b"34"]))
        self.assertEqual(error.code, 507)
        self.assertEqual(self.run_now(read_all(self.file.body())), b"there")
        room[0] = 100
        self.write(b"abc")
        self.assertEqual(self.run_now(read_all(self.file.body())), b"thereabc")

    def test_a_disk_that_fails_is_unavailable(self) -> None:
        def pwrite(*_: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(os, "pwrite", pwrite)
        self.assert_fails(StorageUnavailable, self.file.write([b"x"]))
        self.assertEqual(self.file.length, 0)

    def test_closing_waits_for_what_is_being_written(self) -> None:
        """Its descriptor may be another file's afterwards."""
        real, order = os.pwrite, []
        closing = threading.Thread(target=self.file._close)

        def pwrite(fd: int, data: bytes, position: int) -> int:
            closing.start()
            closing.join(0.05)
            order.append(closing.is_alive())
            return real(fd, data, position)

        self.patch(os, "pwrite", pwrite)
        self.write(b"x")
        closing.join()
        self.assertEqual(order, [True])
