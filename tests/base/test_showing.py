"""What errors show of a configuration."""

from __future__ import annotations

import datetime
import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.showing import (
    describe,
    describe_failure,
    describe_number,
    file_name,
    without_quotes,
)


class DescribeTests(SynchronousTestCase):
    def test_values_are_described(self) -> None:
        for value, words in (
            (None, "nothing"),
            ({"a": 1}, "a section"),
            ([1], "a list"),
            ("hunter2", "text"),
            ("", "an empty text"),
            (True, "true"),
            (5, "5"),
            (-1.5, "-1.5"),
            (12345678, "a number"),
            (datetime.date(2024, 1, 1), "a date"),
            (b"hunter2", "binary data"),
        ):
            self.assertEqual(describe(value), words)

    def test_where_a_number_belongs_every_number_is_shown(self) -> None:
        self.assertEqual(describe_number(12345678), "12345678")
        self.assertEqual(describe_number("12345678"), "text")
        self.assertEqual(describe_number(False), "false")

    @given(st.text(min_size=12))
    def test_no_text_is_shown(self, text: str) -> None:
        self.assertEqual(describe(text), "text")


class FileNameTests(SynchronousTestCase):
    def test_what_may_be_a_path_is_shown(self) -> None:
        os.mkdir("there")
        for path in ("/proc/no-such", "/proc/self", "there", "there/x", "../x", "/"):
            self.assertEqual(file_name(path), f"{path!r} ")

    def test_of_a_path_that_leads_nowhere_the_first_part_is_shown(self) -> None:
        self.assertEqual(file_name("/proc/self/hunter2/x/y"), "'/proc/self/…' ")
        os.mkdir("here")
        self.assertEqual(file_name("here/hunter2/x"), "'here/…' ")

    def test_what_may_be_a_secret_is_not_shown(self) -> None:
        for path in (
            "hunter2",
            "",
            "hunter2/x",
            "/hunter2/x",
            "/hunter2",
            "//x",
            "hunter2\0",
            "/\0/x",
        ):
            self.assertEqual(file_name(path), "", path)


class WithoutQuotesTests(SynchronousTestCase):
    def test_what_libraries_quote_is_left_out(self) -> None:
        for text, shown in (
            ("no host 'ss@host': [Errno -2] x", "no host '…': [Errno -2] x"),
            ('invalid value "a\nb" for option "port"', 'invalid value "…" for option "…"'),
            ("it isn't there; it can't be", "it isn't there; it can't be"),
            ("password authentication failed", "password authentication failed"),
            ("a\n  b", "a b"),
        ):  # fmt: skip
            self.assertEqual(without_quotes(text), shown)


class DescribeFailureTests(SynchronousTestCase):
    def test_a_failure_has_its_kind_and_its_place(self) -> None:
        try:
            raise ValueError("hunter2")
        except ValueError as error:
            text = describe_failure(error)
        self.assertRegex(text, r"^ValueError in .*test_showing.py, line \d+$")

    def test_a_failure_that_was_never_raised_has_no_place(self) -> None:
        self.assertEqual(describe_failure(KeyError("hunter2")), "KeyError")
