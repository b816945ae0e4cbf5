"""pkt-lines, however they are cut on their way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest
from giftless.lfs.ssh.pkt_lines import (
    DELIM,
    FLUSH,
    MAX_LENGTH,
    MAX_PAYLOAD,
    MAX_TEXT,
    BrokenStream,
    Mark,
    PacketDecoder,
    header,
    text_of,
    text_packet,
    text_packets,
)

#: Packets as they are sent: payloads and marks.
packets: st.SearchStrategy[list[bytes | Mark]] = st.lists(
    st.binary(max_size=40) | st.sampled_from([Mark.FLUSH, Mark.DELIM]), max_size=8
)


def sent(packet: bytes | Mark) -> bytes:
    """Return a packet as it is on the wire."""
    if isinstance(packet, Mark):
        return FLUSH if packet is Mark.FLUSH else DELIM
    return header(len(packet)) + packet


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut bytes in pieces."""
    starts = sorted({0, *(place % (len(data) + 1) for place in places)})
    ends = [*starts[1:], len(data)]
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]


def decode(pieces: Sequence[bytes], as_payload: bool = False) -> list[bytes | Mark]:
    """Take all packets out of pieces as they come.

    :param as_payload: whether to take what has come of them, instead of each when it is whole.
    """
    decoder = PacketDecoder()
    found: list[bytes | Mark] = []
    for piece in pieces:
        decoder.feed(piece)
        if as_payload:
            mark: Mark | None = Mark.FLUSH
            while mark is not None:
                payload, mark = decoder.payload()
                found.extend(it for it in (payload, mark) if it)
        else:
            found.extend(iter(decoder.packet, None))
    return found


class DecoderTests(SynchronousTestCase):
    @given(packets, st.lists(st.integers(0, 10_000), max_size=20))
    def test_packets_come_whole_however_they_are_cut(
        self, wanted: list[bytes | Mark], places: list[int]
    ) -> None:
        data = b"".join(map(sent, wanted))
        self.assertEqual(decode(cut(data, places)), wanted)

    @given(packets, st.lists(st.integers(0, 10_000), max_size=20))
    def test_payloads_join_to_the_same_bytes(
        self, wanted: list[bytes | Mark], places: list[int]
    ) -> None:
        """Where a packet ends does not show."""
        data = b"".join(map(sent, wanted))

        def joined(found: list[bytes | Mark]) -> list[bytes | Mark]:
            result: list[bytes | Mark] = []
            for item in found:
                if isinstance(item, bytes) and result and isinstance(result[-1], bytes):
                    result[-1] += item
                elif item != b"":
                    result.append(item)
            return result

        self.assertEqual(joined(decode(cut(data, places), True)), joined(wanted))

    @given(packets, packets)
    def test_bytes_follow_packets_that_were_taken_whole(
        self, lines: list[bytes | Mark], body: list[bytes | Mark]
    ) -> None:
        decoder = PacketDecoder()
        decoder.feed(b"".join(map(sent, [*lines, *body])))
        self.assertEqual([decoder.packet() for _ in lines], lines)
        wanted = b"".join(item for item in body if isinstance(item, bytes))
        found, mark = decoder.payload()
        while mark is not None:
            more, mark = decoder.payload()
            found += more
        self.assertEqual((found, decoder.waiting), (wanted, 0))

    def test_byte_by_byte_nothing_is_lost(self) -> None:
        data = text_packet("version 1") + FLUSH + header(MAX_TEXT - 4) + b"x" * (MAX_TEXT - 4)
        found = decode([data[place : place + 1] for place in range(len(data))])
        self.assertEqual(found, [b"version 1\n", Mark.FLUSH, b"x" * (MAX_TEXT - 4)])

    def test_the_length_may_have_letters_of_either_case(self) -> None:
        self.assertEqual(decode([b"000Aabcdef"]), [b"abcdef"])
        self.assertEqual(decode([b"000aabcdef"]), [b"abcdef"])

    def test_what_is_no_length_breaks_the_stream(self) -> None:
        for data in (b"GET / HTTP/1.1", b"00-1", b"+00a", b" 00a", b"0x0a", b"\xff\xff\xff\xff"):
            for as_payload in (False, True):
                with self.assertRaises(BrokenStream):
                    decode([data], as_payload)

    def test_lengths_that_no_packet_has_break_the_stream(self) -> None:
        for data in (b"0002", b"0003", b"fff1", b"ffff"):
            for as_payload in (False, True):
                with self.assertRaises(BrokenStream):
                    decode([data], as_payload)

    def test_the_largest_packet_of_git_is_taken_as_bytes(self) -> None:
        payload = b"x" * (MAX_LENGTH - 4)
        self.assertEqual(decode([b"fff0", payload], True), [payload])

    def test_a_line_that_is_too_long_breaks_the_stream_at_its_length(self) -> None:
        """So nobody waits for it."""
        with self.assertRaises(BrokenStream):
            decode([header(MAX_TEXT - 3)])

    @given(st.binary(max_size=60))
    def test_any_bytes_are_packets_or_break_the_stream(self, data: bytes) -> None:
        for as_payload in (False, True):
            try:
                found = decode([data], as_payload)
            except BrokenStream:
                continue
            size = sum(len(item) for item in found if isinstance(item, bytes))
            self.assertLessEqual(size, len(data))


class TextTests(SynchronousTestCase):
    def test_a_line_ends_with_a_line_feed(self) -> None:
        self.assertEqual(text_packet("version=1"), b"000eversion=1\n")
        self.assertEqual(text_packets(["a", ""]), b"0006a\n0005\n")

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")))
    def test_what_is_written_is_read(self, line: str) -> None:
        (payload,) = decode([text_packet(line)])
        assert isinstance(payload, bytes)
        self.assertEqual(text_of(payload), line)

    def test_one_line_feed_at_the_end_is_none_of_the_text(self) -> None:
        self.assertEqual(text_of(b"quit"), "quit")
        self.assertEqual(text_of(b"quit\n"), "quit")
        self.assertEqual(text_of(b"quit\n\n"), "quit\n")

    def test_a_line_feed_inside_cannot_make_two_lines(self) -> None:
        self.assertEqual(text_packet("a\nb"), b"0008a b\n")

    def test_halves_of_surrogates_cannot_stop_a_reply(self) -> None:
        self.assertEqual(text_packet("\ud800"), b"0006?\n")

    def test_what_does_not_fit_is_left_out_at_a_whole_character(self) -> None:
        packet = text_packet("é" * MAX_PAYLOAD)
        self.assertLessEqual(len(packet), MAX_PAYLOAD + 4)
        self.assertEqual(len(packet), int(packet[:4], 16))
        self.assertEqual(packet[4:-1].decode().strip("é"), "")

    def test_what_is_not_utf_8_is_refused(self) -> None:
        with self.assertRaises(BadRequest):
            text_of(b"path=\xff")
