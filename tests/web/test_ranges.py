"""Ranges and validators of downloads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import RangeNotSatisfiable
from giftless.web.ranges import etag, matches, parse_range
from tests.support.making import oid_of

OID = oid_of(b"abc")


def bytes_in(first: int | None, last: int | None, size: int) -> set[int] | None:
    """Return the offsets in a range, by asking each of them (RFC 9110 section 14.1.2).

    :returns: ``None`` if it is not a range.
    """
    if first is None:
        return None if last is None else {n for n in range(size) if size - n <= last}
    if last is not None and last < first:
        return None
    return {n for n in range(size) if first <= n and (last is None or n <= last)}


class RangeTests(SynchronousTestCase):
    def test_without_a_range_everything_is_sent(self) -> None:
        self.assertIsNone(parse_range(None, 10))

    def test_the_forms_of_a_range(self) -> None:
        for value, expected in (
            ("bytes=0-9", (0, 10)),
            ("bytes=0-0", (0, 1)),
            ("bytes=9-9", (9, 10)),
            ("bytes=3-", (3, 10)),
            ("bytes=3-99", (3, 10)),
            ("bytes=-3", (7, 10)),
            ("bytes=-10", (0, 10)),
            ("bytes=-99", (0, 10)),
            ("BYTES=3-4", (3, 5)),
            ("bytes= 3-4 \t", (3, 5)),
            ("bytes=0-9999999999999999999", (0, 10)),
        ):
            self.assertEqual(parse_range(value, 10), expected, value)

    def test_what_the_client_resumes_with(self) -> None:
        """It has N bytes, and asks for the rest by the size that it knows."""
        self.assertEqual(parse_range("bytes=4-9", 10), (4, 10))

    def test_what_is_outside_is_416_with_the_size(self) -> None:
        for value in ("bytes=10-", "bytes=10-20", "bytes=99-", "bytes=-0"):
            error = self.assertRaises(RangeNotSatisfiable, parse_range, value, 10)
            self.assertEqual(error.headers, {"Content-Range": "bytes */10"})

    def test_no_byte_of_an_empty_object_can_be_sent(self) -> None:
        for value in ("bytes=0-", "bytes=0-0", "bytes=-1"):
            self.assertRaises(RangeNotSatisfiable, parse_range, value, 0)

    def test_what_is_not_understood_is_ignored(self) -> None:
        for value in (
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-2,4-5",
            "bytes=1-2,",
            "bytes=5-4",
            "bytes=99-98",
            "bytes=-1-2",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=0x1-0x2",
            "bytes=\u0661-\u0662",
            "bytes=1-2\n",
            "bytes=" + "9" * 5000 + "-",
            "lines=1-2",
            "bytes 1-2",
        ):
            self.assertIsNone(parse_range(value, 10), value)

    @given(st.none() | st.integers(0, 12), st.none() | st.integers(0, 12), st.integers(0, 10))
    def test_exactly_the_bytes_of_the_range_are_sent(
        self, first: int | None, last: int | None, size: int
    ) -> None:
        def text(number: int | None) -> str:
            return "" if number is None else str(number)

        expected = bytes_in(first, last, size)
        try:
            found = parse_range(f"bytes={text(first)}-{text(last)}", size)
        except RangeNotSatisfiable:
            self.assertEqual(expected, set())
        else:
            self.assertEqual(None if found is None else set(range(*found)), expected)

    @given(st.text() | st.text(alphabet="bytes=-0123456789, "), st.integers(0, 1000))
    def test_any_header_is_a_range_within_the_object_or_none(self, value: str, size: int) -> None:
        try:
            found = parse_range(value, size)
        except RangeNotSatisfiable as error:
            self.assertEqual(error.size, size)
        else:
            if found is not None:
                start, end = found
                self.assertTrue(0 <= start < end <= size)


class ValidatorTests(SynchronousTestCase):
    def test_the_tag_is_the_oid_in_quotes(self) -> None:
        self.assertEqual(etag(OID), f'"{OID}"')

    def test_a_tag_that_the_client_has_matches(self) -> None:
        for value in (
            f'"{OID}"',
            f'W/"{OID}"',
            f'"other", "{OID}"',
            f'W/"other",W/"{OID}" ',
            "*",
            '"x", *',
        ):
            self.assertTrue(matches(value, OID), value)

    def test_other_tags_do_not(self) -> None:
        for value in (None, "", f'"{OID[:-1]}"', OID, f'"{OID.upper()}"', '"*"', f"'{OID}'"):
            self.assertFalse(matches(value, OID), value)
