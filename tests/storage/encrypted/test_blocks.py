"""Blocks of an upload, sealed by themselves."""

from __future__ import annotations

import os
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from giftless.errors import ObjectDamaged
from giftless.storage.encrypted.blocks import (
    BLOCK_SIZE,
    OVERHEAD,
    SEALED_BLOCK,
    BlockCipher,
    count_blocks,
    sealed_size,
    whole_blocks,
)

KEY = os.urandom(32)
DATA = os.urandom(2 * BLOCK_SIZE + 1000)

#: Sizes around the borders of blocks.
SIZES = st.integers(0, 5 * BLOCK_SIZE) | st.sampled_from(
    [count * BLOCK_SIZE + more for count in range(5) for more in (-1, 0, 1) if count + more >= 0]
)


class BlockCipherTests(TestCase):
    def setUp(self) -> None:
        self.cipher = BlockCipher(KEY)
        self.sealed = self.cipher.seal(0, DATA)

    def opened(self, number: int, sealed: bytes) -> bytes | None:
        """Open a block; ``None`` if it is not authentic."""
        try:
            return self.cipher.open(number, sealed)
        except ObjectDamaged as error:
            self.assertIn("not authentic", error.message)
            return None

    def test_what_is_sealed_can_be_opened(self) -> None:
        self.assertEqual(len(self.sealed), count_blocks(len(DATA)))
        self.assertEqual(sum(map(len, self.sealed)), sealed_size(len(DATA)))
        opened = [BlockCipher(KEY).open(number, one) for number, one in enumerate(self.sealed)]
        self.assertEqual(b"".join(opened), DATA)
        for one in self.sealed:
            self.assertNotIn(DATA[:16], one)

    def test_equal_bytes_are_sealed_equally_whoever_does_it(self) -> None:
        """Also if they come in other pieces."""
        other = BlockCipher(KEY)
        pieces = other.seal(0, DATA[:BLOCK_SIZE]) + other.seal(1, DATA[BLOCK_SIZE:])
        self.assertEqual(pieces, self.sealed)

    def test_no_nonce_is_used_for_other_bytes(self) -> None:
        """Of the same place, of another one, and of the beginning alone."""
        first, same = DATA[:BLOCK_SIZE], bytes(BLOCK_SIZE)
        sealed = [
            *self.cipher.seal(0, first),
            *self.cipher.seal(0, bytes([first[0] ^ 1]) + first[1:]),
            *self.cipher.seal(0, first[:-1]),
            *self.cipher.seal(1, first),
            self.cipher.seal_tail(0, first),
            *self.cipher.seal(0, same + same),
            *BlockCipher(os.urandom(32)).seal(0, first),
        ]
        self.assertEqual(len({one[:12] for one in sealed}), len(sealed))

    @given(st.integers(0, 2), st.integers(0, SEALED_BLOCK - 1), st.integers(0, 7))
    def test_every_flipped_bit_is_seen(self, number: int, at: int, bit: int) -> None:
        sealed = bytearray(self.sealed[number])
        sealed[at % len(sealed)] ^= 1 << bit
        self.assertIsNone(self.opened(number, bytes(sealed)))

    @given(st.integers(0, 2), st.integers(1, SEALED_BLOCK))
    def test_a_block_that_is_cut_is_seen(self, number: int, count: int) -> None:
        self.assertIsNone(self.opened(number, self.sealed[number][:-count]))

    def test_blocks_cannot_change_places_or_uploads(self) -> None:
        for number, sealed in enumerate(self.sealed):
            self.assertIsNone(self.opened((number + 1) % 3, sealed))
            with self.assertRaises(ObjectDamaged):
                BlockCipher(os.urandom(32)).open(number, sealed)
            with self.assertRaises(ObjectDamaged):
                self.cipher.open_tail(number, sealed)

    def test_a_tail_comes_back_in_its_place_alone(self) -> None:
        sealed = self.cipher.seal_tail(7, b"tail")
        self.assertEqual(len(sealed), 4 + OVERHEAD)
        self.assertEqual(self.cipher.open_tail(7, sealed), b"tail")
        with self.assertRaises(ObjectDamaged):
            self.cipher.open_tail(8, sealed)
        names = {BlockCipher(key).name_of_tail(n) for key in (KEY, bytes(32)) for n in range(9)}
        self.assertEqual(len(names), 18)

    @given(SIZES, st.data())
    def test_whole_blocks_are_counted(self, size: int, data: st.DataObject) -> None:
        sealed = data.draw(st.integers(0, sealed_size(size)))
        number = whole_blocks(sealed, size)
        lengths = [
            min(SEALED_BLOCK, sealed_size(size) - at)
            for at in range(0, sealed_size(size), SEALED_BLOCK)
        ]
        self.assertEqual(len(lengths), count_blocks(size))
        self.assertLessEqual(sum(lengths[:number]), sealed)
        if number < count_blocks(size):
            self.assertGreater(sum(lengths[: number + 1]), sealed)
