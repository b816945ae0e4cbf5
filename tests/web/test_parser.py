"""The heads of requests, and what llhttp is relied on for."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import LFSError
from giftless.web.parser import Head, HeadParser

LIMIT = 1024

HEAD = (
    b"PUT /a?b HTTP/1.1\r\nHost: lfs.example\r\nX-Two: 1\r\nx-two:\t2 \r\nContent-Length: 3\r\n\r\n"
)


def parse(*pieces: bytes, limit: int = LIMIT) -> tuple[Head | None, bytes]:
    """Feed pieces to a parser; returns a complete head, and what it has not looked at."""
    parser = HeadParser(limit)
    data = b""
    for piece in pieces:
        data += piece
        if not parser.complete:
            data = data[parser.feed(data, 0) :]
    return (parser.head if parser.complete else None), data


class LlhttpTests(SynchronousTestCase):
    """What the parser relies on, and no documentation promises."""

    def feed(self, data: bytes) -> tuple[list[tuple[bytes, bytes]], object]:
        class Fields(list[tuple[bytes, bytes]]):
            def on_header(self, name: bytes, value: bytes) -> None:
                self.append((name, value))

        fields = Fields()
        parser = HttpRequestParser(fields)
        parser.feed_data(b"CONNECT x:1 HTTP/1.1\r\n")
        try:
            parser.feed_data(data)
        except HttpParserUpgrade as stop:
            return fields, stop.args[0]
        except HttpParserError as error:
            return fields, str(error)
        return fields, None

    def test_it_stops_behind_the_head_of_a_connect_and_says_where(self) -> None:
        for framing in (b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close"):
            head = framing + b"\r\n\r\n"
            fields, end = self.feed(head + b"abc GET / HTTP/1.1\r\n")
            self.assertEqual((fields, end), ([tuple(framing.split(b": "))], len(head)))

    def test_it_says_why_it_refuses_a_line(self) -> None:
        for data, reason in (
            (b"A: b\r\n c\r\n\r\n", "Unexpected whitespace after header value"),
            (b"A: b\r\n\tc\r\n\r\n", "Unexpected whitespace after header value"),
            (b" A: b\r\n\r\n", "Unexpected space after start line"),
            (b"Content-Length: 99999999999999999999\r\n\r\n", "Content-Length overflow"),
            (
                b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\n",
                "Content-Length can't be present with Transfer-Encoding",
            ),
        ):
            self.assertEqual(self.feed(data)[1], reason)


class HeadTests(SynchronousTestCase):
    def test_a_head_is_parsed_and_what_follows_is_left(self) -> None:
        head, rest = parse(HEAD + b"abcGET")
        assert head is not None
        self.assertEqual((head.method, head.target, head.version), (b"PUT", b"/a?b", b"HTTP/1.1"))
        self.assertEqual(head.headers.getRawHeaders("X-Two"), [b"1", b"2"])
        self.assertEqual((head.length, rest), (3, b"abcGET"))

    def test_a_head_may_be_cut_anywhere(self) -> None:
        for place in range(len(HEAD)):
            self.assertEqual(parse(HEAD[:place])[0], None)
            head, rest = parse(HEAD[:place], HEAD[place:], b"abc")
            assert head is not None
            self.assertEqual(
                (head.headers.getRawHeaders(b"host"), rest), ([b"lfs.example"], b"abc")
            )

    def test_a_head_may_come_byte_by_byte(self) -> None:
        head, rest = parse(*(bytes([byte]) for byte in HEAD))
        assert head is not None
        self.assertEqual((head.length, rest), (3, b""))

    def test_one_line_break_in_front_is_skipped(self) -> None:
        self.assertIsNotNone(parse(b"\r\n" + HEAD)[0])
        self.assertIsNotNone(parse(b"\r", b"\n", HEAD)[0])
        self.assertRaises(LFSError, parse, b"\r\n\r\n" + HEAD)

    def test_the_length_of_the_body(self) -> None:
        for framing, length in (
            (b"", 0),
            (b"Content-Length: 0\r\n", 0),
            (b"Content-Length: 9999999999999999999\r\n", 9999999999999999999),
            (b"Transfer-Encoding: ChunKed\r\n", None),
            (b"Transfer-Encoding: identity\r\n", 0),
        ):
            head, _ = parse(b"PUT / HTTP/1.1\r\n%b\r\n" % framing)
            assert head is not None
            self.assertEqual(head.length, length)

    def test_lines_are_counted_without_their_breaks(self) -> None:
        line = b"GET / HTTP/1.1"
        for size in (LIMIT - len(line) - 3, LIMIT - len(line) - 3 - 400):
            fields = [b"X: " + b"a" * size]
            if size < LIMIT - 100:
                fields.append(b"Y: " + b"b" * 397)
            head = b"\r\n".join((line, *fields, b"", b""))
            self.assertIsNotNone(parse(head)[0])
            self.assertRaises(LFSError, parse, head.replace(b"X", b"XX"))

    def test_what_does_not_end_is_refused(self) -> None:
        for data in (b"G" * (LIMIT + 1), HEAD[:-2] + b"X: " + b"a" * LIMIT):
            with self.assertRaises(LFSError) as caught:
                parse(data)
            self.assertEqual(caught.exception.code, 431)

    def test_any_method_and_upgrade_are_left_to_others(self) -> None:
        for method in (b"FOO", b"CONNECT", b"get", b"PRI", b"M-SEARCH"):
            head, rest = parse(
                method + b" / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nabc"
            )
            assert head is not None
            self.assertEqual((head.method, rest), (method, b"abc"))

    @given(
        st.lists(st.sampled_from((HEAD, b"\r\n", b" ", b"A: b", b":", b"\0", b"\xff", b"9"))),
        st.integers(0, 200),
        st.integers(0, 200),
    )
    def test_pieces_say_the_same_as_the_whole(
        self, parts: list[bytes], first: int, second: int
    ) -> None:
        data = b"".join(parts)

        def outcome(*pieces: bytes) -> object:
            try:
                head, rest = parse(*pieces)
            except LFSError as error:
                return error.code
            return head and (head.method, head.headers.fields, head.length, rest)

        whole = outcome(data)
        first, second = sorted((first, second))
        self.assertEqual(outcome(data[:first], data[first:second], data[second:]), whole)
