"""Segments, compared with Tink's own library."""

from __future__ import annotations

import contextlib
import os
from typing import Any
from unittest import SkipTest
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.errors import ObjectDamaged
from giftless.storage.coded.sealing import IOpener, ISealer, Segment
from giftless.storage.encrypted.segments import (
    HEADER_SIZE,
    SEGMENT_SIZE,
    SegmentOpener,
    SegmentSealer,
    opened_size,
    sealed_size,
)
from tests.support.bodies import altered

try:
    from tests.storage.encrypted.tink_oracle import REFUSED, Tink
except ImportError:  # there is none for this Python
    Tink = None  # type: ignore[assignment,misc]

KEY = bytes(range(32))
ASSOCIATED = b"giftless 1 and what else it belongs to"

#: How much the first segment holds, and each other one.
FIRST = SEGMENT_SIZE - HEADER_SIZE - 16
NEXT = SEGMENT_SIZE - 16

#: Sizes around the ends of segments.
SIZES = (0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + NEXT - 1, FIRST + NEXT, FIRST + NEXT + 1)

#: Long enough for every test.
DATA = os.urandom(3 * SEGMENT_SIZE)


def seal(data: bytes, *ends: int) -> bytes:
    """Seal bytes that come in pieces, which end where they are said to."""
    sealer = SegmentSealer(KEY, ASSOCIATED)
    pieces = [data[a:b] for a, b in zip((0, *ends), (*ends, len(data)), strict=True)]
    return b"".join([part for piece in pieces for part in sealer.update([piece])] + sealer.finish())


def opener(sealed: bytes, key: bytes = KEY, associated: bytes = ASSOCIATED) -> SegmentOpener:
    """Return what opens sealed bytes."""
    return SegmentOpener(key, associated, sealed[:HEADER_SIZE], len(sealed))


def unseal(sealed: bytes, start: int = 0, end: int | None = None, **which: bytes) -> bytes:
    """Open a range of sealed bytes."""
    opening = opener(sealed, **which)
    stop = opened_size(len(sealed)) if end is None else end
    found = []
    for segment in opening.segments(start, stop):
        data = opening.open(segment, sealed[segment.start : segment.end])
        found.append(data[max(0, start - segment.offset) : stop - segment.offset])
    return b"".join(found)


def cut(sealed: bytes) -> list[bytes]:
    """Cut sealed bytes into segments, the first one with the header."""
    return [sealed[at : at + SEGMENT_SIZE] for at in range(0, len(sealed), SEGMENT_SIZE)]


class TinkTests(SynchronousTestCase):
    """Both ways, and byte by byte."""

    def setUp(self) -> None:
        if Tink is None:
            raise SkipTest("tink is not installed")
        self.tink = Tink(KEY)

    def test_tink_opens_what_is_sealed_here(self) -> None:
        for size in SIZES:
            data = DATA[:size]
            self.assertEqual(self.tink.open(seal(data, size // 2), ASSOCIATED), data, size)

    def test_what_tink_seals_is_opened_here(self) -> None:
        for size in SIZES:
            data = DATA[:size]
            self.assertEqual(unseal(self.tink.seal(data, ASSOCIATED)), data, size)

    def test_both_write_the_same_bytes(self) -> None:
        for size in SIZES:
            theirs = self.tink.seal(DATA[:size], ASSOCIATED)
            random = {32: theirs[1:33], 7: theirs[33:40]}
            with patch("os.urandom", random.__getitem__):
                self.assertEqual(seal(DATA[:size]), theirs, size)

    def test_tink_refuses_what_belongs_to_something_else(self) -> None:
        self.assertRaises(REFUSED, self.tink.open, seal(b"data"), b"something else")


class SegmentTests(SynchronousTestCase):
    def test_they_provide_their_interfaces(self) -> None:
        verifyObject(ISealer, SegmentSealer(KEY, ASSOCIATED))
        verifyObject(IOpener, opener(seal(b"")))

    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(SIZES) | st.integers(0, len(DATA)), st.data())
    def test_every_range_is_that_of_the_plaintext(self, size: int, draw: Any) -> None:
        data = DATA[:size]
        ends = sorted(draw.draw(st.lists(st.integers(0, size), max_size=4)))
        sealed = seal(data, *ends)
        self.assertEqual(len(sealed), sealed_size(size))
        start = draw.draw(st.integers(0, size))
        end = draw.draw(st.integers(start, size))
        if start < end or not size:
            self.assertEqual(unseal(sealed, start, end), data[start:end])

    @given(st.integers(0, 2**50))
    def test_sizes_are_told_both_ways(self, size: int) -> None:
        self.assertEqual(opened_size(sealed_size(size)), size)

    @given(st.integers(-5, 5 * SEGMENT_SIZE))
    def test_a_size_that_nothing_sealed_has_is_refused(self, sealed: int) -> None:
        with contextlib.suppress(ObjectDamaged):
            self.assertEqual(sealed_size(opened_size(sealed)), sealed)

    def test_a_part_reads_its_segments_alone(self) -> None:
        sealed = seal(DATA)
        (one,) = opener(sealed).segments(FIRST, FIRST + 1)
        self.assertEqual(one, Segment(1, SEGMENT_SIZE, 2 * SEGMENT_SIZE, FIRST, False))
        first, last = opener(sealed).segments(FIRST - 1, FIRST + 1)
        self.assertEqual((first.number, first.start, first.offset), (0, HEADER_SIZE, 0))
        self.assertEqual(last, one)

    def test_nothing_is_written_twice_in_the_same_way(self) -> None:
        self.assertNotEqual(seal(b"data"), seal(b"data"))

    def test_nothing_at_all_is_sealed_too(self) -> None:
        sealed = seal(b"")
        self.assertEqual(len(sealed), HEADER_SIZE + 16)
        self.assertEqual(unseal(sealed), b"")
        self.assertRaises(ObjectDamaged, unseal, altered(sealed))


class AttackTests(SynchronousTestCase):
    """Nothing that was changed is opened."""

    def refuse(self, sealed: bytes, **which: bytes) -> None:
        """Check that sealed bytes are refused."""
        self.assertRaises(ObjectDamaged, unseal, sealed, **which)

    def test_every_flipped_bit_is_seen(self) -> None:
        sealed = seal(b"a small object")
        for bit in range(8 * len(sealed)):
            changed = bytearray(sealed)
            changed[bit // 8] ^= 1 << bit % 8
            self.refuse(bytes(changed))

    def test_other_keys_and_other_objects_are_refused(self) -> None:
        sealed = seal(b"data")
        self.refuse(sealed, key=bytes(32))
        self.refuse(sealed, associated=ASSOCIATED + b"x")
        self.refuse(sealed, associated=b"")

    def test_segments_cannot_change_their_places(self) -> None:
        first, second, third, rest = cut(seal(DATA))
        for wrong in (
            [first, third, second, rest],
            [first, second, second, rest],
            [first, second, third, second, rest],
            [first, second, rest],
            [first, third, rest],
            [first, second, third, third],
            [second, second, third, rest],
        ):
            self.refuse(b"".join(wrong))

    def test_the_end_cannot_be_cut_off(self) -> None:
        sealed = seal(DATA)
        parts = cut(sealed)
        for wrong in (
            b"".join(parts[:-1]),
            parts[0],
            sealed[:-1],
            sealed[:-16],
            sealed[: HEADER_SIZE + 16],
            sealed[:HEADER_SIZE],
            sealed[:10],
            b"",
        ):
            self.refuse(wrong)

    def test_nothing_can_be_appended(self) -> None:
        whole = seal(DATA[: FIRST + NEXT])
        for more in (b"x", whole[-16:], cut(whole)[-1], bytes(SEGMENT_SIZE)):
            self.refuse(whole + more)

    def test_segments_of_another_object_are_refused(self) -> None:
        """Of one that is sealed with the same key, even."""
        mine, other = cut(seal(DATA)), cut(seal(DATA))
        for place in range(len(mine)):
            self.refuse(b"".join([*mine[:place], other[place], *mine[place + 1 :]]))

    def test_what_comes_before_a_wrong_segment_is_good(self) -> None:
        """A part whose segments are authentic is not refused for others."""
        sealed = bytearray(seal(DATA))
        sealed[-1] ^= 1
        self.assertEqual(unseal(bytes(sealed), 0, 100), DATA[:100])
        self.assertRaises(ObjectDamaged, unseal, bytes(sealed), len(DATA) - 1, len(DATA))
