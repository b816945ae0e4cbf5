"""The head in front of a coded object."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import ObjectDamaged
from giftless.lfs.objects import MAX_SIZE, Oid
from giftless.storage.coded.head import (
    CHECKSUM_SIZE,
    HEAD_SIZE,
    MAGIC,
    MAX_KEY_ID,
    MAX_WRAPPED_KEY,
    Head,
    parse_head,
    resembles_head,
)

OID = Oid("ab" * 32)
OTHER = Oid("cd" * 32)

sizes = st.integers(0, MAX_SIZE)
ascii_text = st.text(st.characters(codec="ascii"), max_size=MAX_KEY_ID)
plain_heads = st.builds(Head, st.booleans(), st.just(False), sizes) | st.just(
    Head(False, False, None)
)
sealed_heads = st.builds(
    Head,
    st.booleans(),
    st.just(True),
    sizes,
    ascii_text,
    st.binary(min_size=1, max_size=MAX_WRAPPED_KEY),
    st.binary(min_size=CHECKSUM_SIZE, max_size=CHECKSUM_SIZE),
)


class HeadTests(SynchronousTestCase):
    @given(plain_heads | sealed_heads)
    def test_what_is_written_is_read(self, head: Head) -> None:
        data = head.encode(OID)
        self.assertEqual(len(data), HEAD_SIZE)
        self.assertEqual(parse_head(data, OID), head)

    @given(st.binary(max_size=2 * HEAD_SIZE) | st.binary(max_size=HEAD_SIZE).map(MAGIC.__add__))
    def test_any_bytes_are_plaintext_or_damaged(self, data: bytes) -> None:
        try:
            self.assertIsNone(parse_head(data[:HEAD_SIZE], OID))
        except ObjectDamaged:
            self.assertTrue(resembles_head(data))

    def test_every_flipped_bit_is_seen(self) -> None:
        """But in what only the data key tells: the key's id, the wrapped key and the MAC."""
        plain = Head(True, False, 10_000).encode(OID)
        for bit in range(8 * HEAD_SIZE):
            data = bytearray(plain)
            data[bit // 8] ^= 1 << bit % 8
            self.assertRaises(ObjectDamaged, parse_head, bytes(data), OID)
        head = Head(False, True, 10_000, "one", b"k" * 40, b"m" * CHECKSUM_SIZE)
        sealed = head.encode(OID)
        for bit in range(8 * HEAD_SIZE):
            data = bytearray(sealed)
            data[bit // 8] ^= 1 << bit % 8
            try:
                changed = parse_head(bytes(data), OID)
            except ObjectDamaged:
                continue
            assert changed is not None
            self.assertNotEqual((changed.covered(OID), changed.mac), (head.covered(OID), head.mac))

    def test_a_head_of_another_object_is_wrong(self) -> None:
        self.assertRaises(ObjectDamaged, parse_head, Head(True, False, 9).encode(OTHER), OID)

    def test_a_head_that_is_cut_off_is_damaged(self) -> None:
        data = Head(True, False, 9).encode(OID)
        for length in range(len(MAGIC), HEAD_SIZE):
            self.assertRaises(ObjectDamaged, parse_head, data[:length], OID)

    def test_other_bytes_are_plaintext(self) -> None:
        for data in (b"", MAGIC[:-1], b"version https://git-lfs", bytes(HEAD_SIZE), b"\xff" * 600):
            self.assertIsNone(parse_head(data[:HEAD_SIZE], OID))

    def test_what_does_not_fit_is_not_written(self) -> None:
        for head in (
            Head(False, True, 1, "k" * (MAX_KEY_ID + 1), b"", b"m" * CHECKSUM_SIZE),
            Head(False, True, 1, "k", b"w" * (MAX_WRAPPED_KEY + 1), b"m" * CHECKSUM_SIZE),
            Head(False, True, 1, "k", b"w"),
            Head(False, True, 1, "k", b"", b"m" * CHECKSUM_SIZE),
        ):
            self.assertRaises(ValueError, head.encode, OID)

    def test_zstandard_skips_it(self) -> None:
        import zstandard

        packed = zstandard.ZstdCompressor().compress(b"hello" * 100)
        stored = io.BytesIO(Head(True, False, 500).encode(OID) + packed)
        reader = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True)
        self.assertEqual(reader.read(), b"hello" * 100)
