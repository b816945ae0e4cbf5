"""A cache stays below its limit, and what was asked for least lately goes first."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from giftless.storage.cache.ceiling import Ceiling
from giftless.storage.cache.entries import Entries
from tests.storage.cache.support import CacheTestCase, Far
from tests.support.bodies import read_all
from tests.support.making import key_of

#: Objects of a thousand bytes.
OBJECTS = [bytes([number]) * 1000 for number in range(10)]


class CeilingTests(CacheTestCase):
    limit = 3000

    def use(self, data: bytes) -> None:
        """Read an object."""
        self.assertEqual(self.get(Far(data), key_of(data)), data)

    def held(self) -> list[int]:
        """Tell which objects are kept."""
        return [n for n, data in enumerate(OBJECTS) if self.entry(key_of(data)).exists()]

    def test_what_was_asked_for_least_lately_goes(self) -> None:
        for data in OBJECTS[:3]:
            self.use(data)
        self.use(OBJECTS[0])
        self.use(OBJECTS[3])
        self.assertEqual(self.held(), [0, 2, 3])
        self.use(OBJECTS[2])
        self.use(OBJECTS[4])
        self.use(OBJECTS[5])
        self.assertEqual(self.held(), [2, 4, 5])
        self.assertEqual(self.tallies.removed, {"evicted": 3})

    def test_not_everything_is_looked_at_each_time(self) -> None:
        for data in OBJECTS[:3]:
            self.use(data)
        with patch.object(Ceiling, "_walk_all", autospec=True, side_effect=Ceiling._walk_all) as w:
            for data in OBJECTS[3:]:
                self.use(data)
        self.assertLessEqual(w.call_count, 3)
        self.assertEqual(self.held(), [7, 8, 9])

    def test_an_object_above_the_limit_is_served_and_not_kept(self) -> None:
        self.use(OBJECTS[0])
        self.use(b"x" * 3001)
        self.assertEqual(self.held(), [0])
        self.assertEqual(self.tallies.fills, ["kept", "full"])

    def test_what_is_being_filled_counts(self) -> None:
        far = Far(b"x" * 2000, held=True)
        stored = self.open(far, key_of(b"x" * 2000))
        self.start(read_all(stored.read(0, 2000)))
        self.use(OBJECTS[0])
        self.use(OBJECTS[1])
        self.assertEqual(self.held(), [1])
        self.use(b"y" * 1500)
        self.assertEqual((self.held(), self.tallies.fills[-1]), ([], "full"))

    def test_a_lowered_limit_shrinks_it_at_the_start(self) -> None:
        for data in OBJECTS[:3]:
            self.use(data)
        other = self.make(limit=1500)
        other.startService()
        self.assertEqual(self.held(), [2])
        self.successResultOf(self.start(other.stopService()))

    def test_what_others_have_removed_is_noticed(self) -> None:
        for data in OBJECTS[:3]:
            self.use(data)
        for data in OBJECTS[:3]:
            self.entry(key_of(data)).unlink()
        for data in OBJECTS[3:6]:
            self.use(data)
        self.assertEqual(self.held(), [3, 4, 5])

    def test_a_broken_count_is_made_anew(self) -> None:
        ledger = Path(self.path, "ledger")
        for text in (b"", b"x", b"-5 3", b"1", b"\xff" * 100, b"9" * 70):
            self.use(OBJECTS[0])
            ledger.write_bytes(text)
            self.assertEqual(self.run_now(self.reads.holdings()).bytes, 1000)

    def test_a_count_that_is_no_file_ends_nothing(self) -> None:
        Path(self.path, "ledger").mkdir()
        self.use(OBJECTS[0])
        self.assertEqual((self.held(), self.tallies.fills), ([], ["disk"]))

    def test_what_the_cache_has_not_made_stays(self) -> None:
        root = Path(self.path)
        self.use(OBJECTS[0])
        foreign = [
            root / "notes.txt",
            root / "entries" / "notes.txt",
            root / "entries" / "directory" / ("0" * 64),
            self.entry(key_of(OBJECTS[0])).with_name("notes"),
            self.entry(key_of(OBJECTS[0])).with_name("notes.sha256"),
        ]
        for path in foreign:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * 5000)
        for data in OBJECTS:
            self.use(data)
        self.run_now(self.reads.drop(None))
        self.run_now(self.reads.recount())
        for path in foreign:
            self.assertEqual(path.stat().st_size, 5000)

    def test_empty_directories_go(self) -> None:
        self.use(OBJECTS[0])
        self.run_now(self.reads.drop(None))
        self.assertEqual(os.listdir(Path(self.path, "entries")), [])
        self.use(OBJECTS[0])

    def test_the_digest_of_an_entry_that_is_gone_goes(self) -> None:
        self.use(OBJECTS[0])
        alone = self.entry(key_of(OBJECTS[1])).with_name("1" * 64 + ".sha256")
        alone.write_text("x")
        self.run_now(self.reads.recount())
        self.assertFalse(alone.exists())

    def test_a_directory_that_disappears_is_made_again(self) -> None:
        self.use(OBJECTS[0])
        os.rename(self.path, self.mktemp())
        self.use(OBJECTS[1])
        self.assertEqual(self.held(), [1])


class FullDiskTests(CacheTestCase):
    """Others have filled the disk, more or less."""

    def setUp(self) -> None:
        super().setUp()
        self.free = 10**6
        self.patch(Ceiling, "_free", lambda _: self.free)

    def test_room_is_made_on_a_disk_that_is_smaller_than_the_limit(self) -> None:
        keys = self.fill(*OBJECTS[:3])
        self.free = 500
        self.fill(OBJECTS[3])
        self.assertEqual(self.kept(*keys), [False, True, True])

    def test_nothing_is_removed_in_vain(self) -> None:
        keys = self.fill(*OBJECTS[:3])
        self.free = 0
        self.fill(b"x" * 5000)
        self.assertEqual(self.kept(*keys), [True] * 3)
        self.assertEqual(self.tallies.fills[-1], "full")

    def test_a_disk_that_takes_no_writes_serves_what_it_has(self) -> None:
        self.fill(OBJECTS[0])
        with patch.object(os, "utime", side_effect=OSError(errno.EROFS, "read-only")):
            far = Far(OBJECTS[0])
            self.assertEqual(self.get(far, key_of(OBJECTS[0])), OBJECTS[0])
        self.assertEqual(far.reads, [])


class RandomTests(CacheTestCase):
    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 12), st.integers(1, 900)), max_size=40),
        st.integers(1, 2500),
    )
    def test_it_never_holds_more_than_its_limit(
        self, uses: list[tuple[int, int]], limit: int
    ) -> None:
        self.path = self.mktemp()
        reads = [self.make(limit), self.make(limit)]
        for number, (which, size) in enumerate(uses):
            data = bytes([which]) * size
            self.assertEqual(self.get(Far(data), key_of(data), reads[number % 2]), data)
            entries = list(Path(self.path, "entries").glob("*/*"))
            held = sum(entry.stat().st_size for entry in entries)
            self.assertLessEqual(held, limit)
        counted = Ceiling(Entries(self.path), limit).recount()
        self.assertEqual(self.run_now(reads[0].holdings()).bytes, counted.bytes)
