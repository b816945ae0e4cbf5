"""Bodies in chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest
from giftless.web.chunks import ChunkDecoder
from tests.web.support import chunked


def decode(*pieces: bytes) -> tuple[bytes, bytes, bool]:
    """Feed pieces to a decoder; returns the body, what is left, and whether it is complete."""
    found: list[bytes] = []
    decoder = ChunkDecoder(found.append)
    data = b""
    for piece in pieces:
        data += piece
        data = data[decoder.feed(data, 0) :]
    return b"".join(found), data, decoder.complete


class ChunkDecoderTests(SynchronousTestCase):
    def assert_refused(self, data: bytes) -> None:
        self.assertRaises(BadRequest, decode, data)
        self.assertRaises(BadRequest, decode, *(bytes([byte]) for byte in data))

    @given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.data())
    def test_chunks_become_the_body(self, chunks: list[bytes], data: st.DataObject) -> None:
        encoded = chunked(*chunks) + b"GET /"
        first = data.draw(st.integers(0, len(encoded)))
        second = data.draw(st.integers(first, len(encoded)))
        wanted = (b"".join(chunks), b"GET /", True)
        self.assertEqual(decode(encoded), wanted)
        self.assertEqual(decode(encoded[:first], encoded[first:second], encoded[second:]), wanted)
        self.assertEqual(decode(*(bytes([byte]) for byte in encoded)), wanted)

    def test_extensions_and_trailers_are_ignored(self) -> None:
        encoded = b'A ;x="\xe9"\r\n'.replace(b"A ", b"0A") + b"some bytes\r\n00;y\r\nX: y\r\n\r\n"
        self.assertEqual(decode(encoded), (b"some bytes", b"", True))

    def test_malformed_lengths_are_refused(self) -> None:
        for length in (
            b"",
            b"x",
            b"-1",
            b"+1",
            b"0x1",
            b"1 ",
            b" 1",
            b"1_0",
            b"\xb2",
            b";x",
            b"1\n",
        ):
            self.assert_refused(length + b"\r\na\r\n0\r\n\r\n")

    def test_lengths_that_overflow_are_refused(self) -> None:
        self.assertEqual(decode(b"0" * 100 + b"1\r\na\r\n0\r\n\r\n"), (b"a", b"", True))
        self.assertEqual(decode(b"f" * 16 + b"\r\nabc"), (b"abc", b"", False))
        self.assert_refused(b"1" + b"0" * 16 + b"\r\n")

    def test_malformed_ends_are_refused(self) -> None:
        for end in (b"\n", b"xx", b"\rx", b"\n\r"):
            self.assert_refused(b"1\r\na" + end + b"0\r\n\r\n")

    def test_lines_are_bounded(self) -> None:
        self.assertEqual(decode(b"1;" + b"x" * 1021 + b"\r\na\r\n0\r\n\r\n"), (b"a", b"", True))
        self.assert_refused(b"1;" + b"x" * 1022 + b"\r\n")
        self.assert_refused(b"1;" + b"x" * 1023)

    def test_trailers_are_bounded_together(self) -> None:
        line = b"X: y\r\n"
        many = b"0\r\n" + line * (65536 // len(line))
        self.assertEqual(decode(many + b"\r\n"), (b"", b"", True))
        self.assertRaises(BadRequest, decode, many + line)
        self.assertRaises(BadRequest, decode, b"0\r\nX: " + b"a" * 65533)

    def test_malformed_trailers_are_refused(self) -> None:
        for trailer in (b"no colon", b"a : b", b" a: b", b"a: \0", b": b"):
            self.assert_refused(b"0\r\n" + trailer + b"\r\n\r\n")
