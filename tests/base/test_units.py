"""Durations, sizes and shares as people write them."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.units import Duration, Share, Size, duration_in_words, size_in_words
from giftless.lfs.objects import MAX_SIZE

_PLAIN: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([])
)


class DurationTests(SynchronousTestCase):
    """Spans of time are numbers of seconds."""

    def test_units_are_multiplied(self) -> None:
        for text, seconds in {
            "30d": 2_592_000,
            "12h": 43_200,
            "45min": 2700,
            "90s": 90,
            "2w": 1_209_600,
            "1.5 h": 5400,
            "0": 0,
            " 90 ": 90,
            "0.25": 0.25,
        }.items():
            self.assertEqual(Duration.of(text), seconds, text)

    def test_numbers_are_seconds(self) -> None:
        self.assertEqual(Duration.of(90), 90.0)
        self.assertEqual(Duration.of(0.1), 0.1)
        self.assertIsInstance(Duration.of(90), Duration)

    def test_what_is_no_duration_is_refused(self) -> None:
        """An ``m`` could be minutes or months, so it is neither."""
        wrong: tuple[object, ...] = (
            "",
            "d",
            "-1d",
            "1m",
            "1 d 2 h",
            "1e3",
            "1d ago",
            "٣d",
            "inf",
            "nan",
            "1D",
            "200000d",
        )
        for value in (*wrong, -1, True, None, [], float("inf"), float("nan"), 1e300):
            error = self.assertRaises(ValueError, Duration.of, value)
            self.assertIn("allowed is a duration such as 30d", str(error))

    @given(st.integers(0, 36_525))
    def test_days_are_what_they_say(self, days: int) -> None:
        self.assertEqual(Duration.of(f"{days}d"), days * 86_400)

    @given(_PLAIN)
    def test_anything_is_a_duration_or_refused(self, value: object) -> None:
        with contextlib.suppress(ValueError):
            self.assertGreaterEqual(Duration.of(value), 0)


class SizeTests(SynchronousTestCase):
    """Sizes are whole numbers of bytes."""

    def test_units_are_multiplied(self) -> None:
        for text, count in {
            "10G": 10**10,
            "10GB": 10**10,
            "500M": 5 * 10**8,
            "1.5T": 15 * 10**11,
            "7 kB": 7000,
            "7K": 7000,
            "2P": 2 * 10**15,
            "512": 512,
            "3B": 3,
            "10GiB": 10 * 2**30,
            "1.5KiB": 1536,
            "1MiB": 2**20,
            "2TiB": 2**41,
            "1PiB": 2**50,
            "0": 0,
        }.items():
            self.assertEqual(Size.of(text), count, text)

    def test_numbers_are_bytes(self) -> None:
        self.assertEqual(Size.of(512), 512)
        self.assertEqual(Size.of(MAX_SIZE), MAX_SIZE)
        self.assertIsInstance(Size.of(512), Size)

    def test_fractions_are_exact(self) -> None:
        """A float would make 4.35 GB one byte less."""
        self.assertEqual(Size.of("4.35G"), 4_350_000_000)
        self.assertEqual(Size.of("1.0009k"), 1000)

    def test_what_is_no_size_is_refused(self) -> None:
        wrong: tuple[object, ...] = (
            "",
            "G",
            "-1G",
            "1 G 5 M",
            "1e9",
            "10g",
            "10Gb",
            "10Gib",
            "1E",
            "\uff19",
            "1_000",
            "1,5G",
        )
        for value in (*wrong, -1, True, None, {}, MAX_SIZE + 1, "9.3E", "10000P", float("inf")):
            error = self.assertRaises(ValueError, Size.of, value)
            self.assertIn("allowed is a size such as 500M", str(error))

    @given(st.integers(0, MAX_SIZE))
    def test_every_number_of_bytes_can_be_written(self, count: int) -> None:
        self.assertEqual(Size.of(str(count)), count)
        self.assertEqual(Size.of(count), count)

    @given(_PLAIN)
    def test_anything_is_a_size_or_refused(self, value: object) -> None:
        with contextlib.suppress(ValueError):
            self.assertLessEqual(0, Size.of(value))


class ShareTests(SynchronousTestCase):
    """Parts of a whole are written in percent."""

    def test_percent_become_a_part_of_one(self) -> None:
        for text, share in {"80%": 0.8, "0%": 0.0, "100 %": 1.0, "12.5%": 0.125}.items():
            self.assertEqual(Share.of(text), share, text)

    def test_numbers_and_what_is_beyond_the_whole_are_refused(self) -> None:
        for value in ("80", 80, 0.8, "101%", "-1%", "%", "", None, "80%%"):
            error = self.assertRaises(ValueError, Share.of, value)
            self.assertIn("allowed is a percentage from 0% to 100%", str(error))

    @given(_PLAIN)
    def test_anything_is_a_share_or_refused(self, value: object) -> None:
        with contextlib.suppress(ValueError):
            self.assertLessEqual(Share.of(value), 1)


class WordsTests(SynchronousTestCase):
    """Sizes and spans are printed for people."""

    def test_sizes_are_decimal(self) -> None:
        for count, words in {
            0: "0 bytes",
            1: "1 byte",
            999: "999 bytes",
            1000: "1 kB",
            1500: "1.5 kB",
            10**10: "10 GB",
            10 * 2**30: "10.737 GB",
            5 * 10**18: "5,000 PB",
        }.items():
            self.assertEqual(size_in_words(count), words)

    def test_what_is_below_a_limit_does_not_look_like_it(self) -> None:
        self.assertEqual(size_in_words(10**10 - 1), "9.999 GB")

    @given(st.integers(0, 10**15))
    def test_a_size_in_words_is_at_most_the_size(self, count: int) -> None:
        words = size_in_words(count).replace("bytes", "B").replace("byte", "B").replace(",", "")
        self.assertLessEqual(Size.of(words), count)
        self.assertGreater(Size.of(words), count * 0.998 - 1)

    def test_spans_have_two_units_at_most(self) -> None:
        for seconds, words in {
            0.0: "0 s",
            59.9: "59 s",
            60.0: "1 min",
            86_400.0: "1 d",
            90_000.0: "1 d 1 h",
            86_700.0: "1 d",
            3661.0: "1 h 1 min",
        }.items():
            self.assertEqual(duration_in_words(seconds), words)
