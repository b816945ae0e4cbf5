"""The database of lfs-test-server.

``lfs-test-server.db.xz`` is one that it has written: git-lfs has pushed 60 objects, the lines
``object 1`` to ``object 60``, and locked two files; one user was added.
"""

from __future__ import annotations

import contextlib
import fcntl
import lzma
import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.importing.bolt import Bolt, read_bolt
from giftless.importing.lfs_test_server import decode_size, read_contents
from giftless.importing.offers import NoSource
from tests.support.making import oid_of

DATABASE = lzma.decompress(Path(__file__).with_name("lfs-test-server.db.xz").read_bytes())

OBJECTS = [b"object %d\n" % number for number in range(1, 61)]

#: Where the pages are that tell what was written last, and how long they are.
META, PAGE = 16, 4096


def broken_meta(number: int) -> bytes:
    """Return the database with one of its two first pages overwritten."""
    data = bytearray(DATABASE)
    start = number * PAGE + META
    data[start + 16 : start + 24] = b"\xff" * 8
    return bytes(data)


class DatabaseTests(SynchronousTestCase):
    def test_everything_that_it_holds_is_read(self) -> None:
        contents = read_contents(Bolt(DATABASE))
        self.assertEqual(contents.objects, {oid_of(data): len(data) for data in OBJECTS})
        self.assertEqual((contents.locks, contents.users), (2, 1))

    def test_the_transaction_that_was_completed_last_counts(self) -> None:
        """Where a crash has broken the newer of the two first pages, the other one is read."""
        transactions = [
            struct.unpack_from("<Q", DATABASE, number * PAGE + META + 48)[0] for number in (0, 1)
        ]
        newer = transactions.index(max(transactions))
        self.assertEqual(len(read_contents(Bolt(broken_meta(1 - newer))).objects), len(OBJECTS))
        before = read_contents(Bolt(broken_meta(newer)))
        self.assertEqual((len(before.objects), before.locks), (len(OBJECTS), 1))

    def test_a_file_of_another_kind_is_refused(self) -> None:
        for data in (b"", b"SQLite format 3\0" + bytes(5000), bytes(100)):
            with self.assertRaises(NoSource):
                Bolt(data)

    def test_a_truncated_database_is_refused(self) -> None:
        with self.assertRaises(NoSource):
            read_contents(Bolt(DATABASE[: 2 * PAGE]))

    def test_locks_that_are_no_text_are_refused(self) -> None:
        data = DATABASE.replace(b'"name":"alice"', b'"name":"\xff\xff\xff\xff\xff"')
        with self.assertRaises(NoSource):
            read_contents(Bolt(data))

    @given(st.data())
    def test_damage_ends_in_an_error_or_an_answer(self, data: st.DataObject) -> None:
        """Never in anything else, nor in a loop."""
        changed = bytearray(DATABASE)
        for _ in range(data.draw(st.integers(1, 30))):
            at = data.draw(st.integers(2 * PAGE, len(changed) - 1))
            changed[at] = data.draw(st.integers(0, 255))
        with contextlib.suppress(NoSource):
            read_contents(Bolt(bytes(changed)))

    def test_pages_that_name_each_other_end_in_an_error(self) -> None:
        """A page that names itself twice would be followed for ever."""
        self.assert_refused(2, 9)

    def test_a_page_further_away_than_an_offset_can_be_ends_in_an_error(self) -> None:
        self.assert_refused(1, 2**64 - 1)

    def assert_refused(self, count: int, page: int) -> None:
        """Check that a root that names a page, so many times, is taken for damage."""
        branch = struct.pack("<QHHI", 0, 1, count, 0) + struct.pack("<IIQ", 0, 0, page) * count
        data = bytearray(DATABASE.ljust(20 * PAGE, b"\0"))
        data[9 * PAGE : 9 * PAGE + len(branch)] = branch
        for number in (0, 1):
            meta = number * PAGE + META
            # A checksum of 0 is that of old versions: none.
            struct.pack_into("<Q", data, meta + 16, 9)
            struct.pack_into("<Q", data, meta + 56, 0)
        with self.assertRaises(NoSource):
            list(Bolt(bytes(data)).bucket(b"objects"))

    @given(st.binary(max_size=100))
    def test_any_bytes_are_a_size_or_an_error(self, value: bytes) -> None:
        with contextlib.suppress(NoSource):
            self.assertGreaterEqual(decode_size(value), 0)


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(DATABASE)

    def test_a_file_is_read(self) -> None:
        self.assertEqual(len(read_contents(read_bolt(str(self.path))).objects), len(OBJECTS))

    def test_a_server_that_runs_is_to_be_stopped(self) -> None:
        """Bolt locks its file: what is read meanwhile could be of two transactions."""
        with self.path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with self.assertRaises(NoSource) as caught:
                read_bolt(str(self.path))
        self.assertIn("stop its server", str(caught.exception))

    def test_a_missing_file_is_named(self) -> None:
        with self.assertRaises(NoSource) as caught:
            read_bolt("/nowhere/lfs.db")
        self.assertIn("/nowhere/lfs.db", str(caught.exception))
