"""The set of what is kept: exact, and small."""

from __future__ import annotations

import hashlib
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.references.keepset import KeepSet
from tests.support.rounds import rounds

#: Digests that share their beginnings, and of which one's end is another's beginning.
ALIKE = st.sampled_from(
    [digest for byte in (b"\0", b"\1") for digest in (byte * 32, byte * 31 + b"\2")]
    + [b"\0\0" + b"\1" * 30, b"\0\0" + b"\0\1" * 15, b"\0\0" + b"\1\0" * 15]
)


class KeepSetTests(SynchronousTestCase):
    @given(st.lists(ALIKE | st.binary(min_size=32, max_size=32)), st.lists(ALIKE))
    def test_it_holds_what_a_set_holds(self, added: list[bytes], asked: list[bytes]) -> None:
        keep, known = KeepSet(), set[bytes]()
        for digest in added:
            self.assertIs(keep.add(digest), digest not in known)
            known.add(digest)
        self.assertEqual(len(keep), len(known))
        self.assertEqual(sorted(keep), sorted(known))
        for digest in (*added, *asked):
            self.assertIs(digest in keep, digest in known)

    def test_the_end_of_one_and_the_beginning_of_the_next_are_no_member(self) -> None:
        keep = KeepSet()
        keep.add(b"ab" + b"x" * 15 + b"y" * 15)
        keep.add(b"ab" + b"x" * 15 + b"z" * 15)
        self.assertNotIn(b"ab" + b"y" * 15 + b"x" * 15, keep)
        self.assertIn(b"ab" + b"x" * 15 + b"z" * 15, keep)

    def test_a_million_take_little_memory(self) -> None:
        count = rounds(100_000, 1_000_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        keep = KeepSet()
        for number in range(count):
            keep.add(hashlib.sha256(b"%d" % number).digest())
        used, _ = tracemalloc.get_traced_memory()
        self.assertEqual(len(keep), count)
        # The buckets themselves weigh as much as a few of their members.
        self.assertLess(used, 16_000_000 + 60 * count)
