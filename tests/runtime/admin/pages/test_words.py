"""Numbers, times and names, written for people."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.admin.pages import words


class WordsTests(SynchronousTestCase):
    def test_numbers_are_short(self) -> None:
        for value, text in (
            (0, "0"),
            (0.01, "<0.1"),
            (0.05, "0.1"),
            (1.44, "1.4"),
            (3.0, "3"),
            (38.2, "38"),
            (1_204_311, "1,204,311"),
        ):
            self.assertEqual(words.number(value), text)

    def test_sizes_have_three_digits_at_most(self) -> None:
        for value, text in (
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1234, "1.2 kB"),
            (9_960, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (5_100_000_000, "5.1 GB"),
            (2**63, "9.2 EB"),
            (10**24, "1,000,000 EB"),
        ):
            self.assertEqual(words.size(value), text)

    def test_spans_have_two_units_at_most(self) -> None:
        for seconds, text in (
            (-5, "0 s"),
            (0.9, "0 s"),
            (42, "42 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (7200, "2 h"),
            (7_500, "2 h 5 min"),
            (86_400 + 59, "1 d"),
            (90_061, "1 d 1 h"),
        ):
            self.assertEqual(words.span(seconds), text)

    def test_dates_are_utc(self) -> None:
        self.assertEqual(words.moment(1_795_867_200.9), "2026-11-28 12:00:00 UTC")
        self.assertEqual(words.clock(1_795_867_200.9), "12:00")

    def test_a_date_that_is_none_does_no_harm(self) -> None:
        for seconds in (1e300, -1e300, float("inf"), float("nan"), 2**63):
            self.assertEqual(words.moment(seconds), "at an unknown time")

    def test_what_cannot_be_seen_is_written_out(self) -> None:
        self.assertEqual(words.seen("exe.\u202egpj"), "exe.\\u202egpj")
        self.assertEqual(
            words.seen("a\u200b\n\x00\ud800\U000e0041"), "a\\u200b\\u000a\\u0000\\ud800\\U000e0041"
        )
        for text in ("a b", "größe", "\u0645\u0634", "\u2764", "<script>"):
            self.assertEqual(words.seen(text), text)

    def test_a_long_name_keeps_its_beginning_and_its_end(self) -> None:
        name = "art/" + "x" * 4000 + "/logo.psd"
        shown = words.seen(name, 40)
        self.assertEqual(len(shown), 41)
        self.assertTrue(shown.startswith("art/xxx"))
        self.assertTrue(shown.endswith("/logo.psd"))
        self.assertEqual(words.seen(name, 0), name)

    @given(st.text(st.characters()), st.integers(0, 50))
    def test_anything_can_be_shown(self, text: str, limit: int) -> None:
        shown = words.seen(text, limit)
        shown.encode()
        unseen = {"Cc", "Cf", "Cs", "Co", "Cn"}
        self.assertEqual([c for c in shown if unicodedata.category(c) in unseen], [])

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_any_number_can_be_written(self, value: float) -> None:
        self.assertTrue(words.number(value))
        self.assertTrue(words.span(value))
        self.assertTrue(words.size(abs(value)).endswith("B"))
