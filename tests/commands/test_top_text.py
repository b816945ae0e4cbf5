"""Text, numbers and pictures of ``giftless top``."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.commands.harmless import fit, harmless, width
from giftless.commands.top.picture import Line, picture
from giftless.commands.units import bars, clock, number, size, span
from giftless.monitoring.activity import Recent, Running
from giftless.monitoring.health import Report
from giftless.monitoring.overview import Overview, Rates, Series, Totals
from tests.runtime.admin.pages.sample import HOSTILE, NOW, idle, overview

#: Clears the screen, sets a title, turns the direction of writing, and so on.
TRICKS = "\x1b[2J\x1b]0;owned\x07\u202e\u2066\x9b2J\r\n\b\x7f\u2028\ufeff\ud800\U000e0041"


class HarmlessTests(SynchronousTestCase):
    def test_what_a_terminal_could_obey_is_shown_as_its_code(self) -> None:
        self.assertEqual(harmless("a\x1b[2J"), "a\\x1b[2J")
        self.assertEqual(harmless("exe.\u202egpj"), "exe.\\u202egpj")
        self.assertEqual(harmless("\ud800"), "\\ud800")
        self.assertEqual(harmless("אב"), "\\u05d0\\u05d1")

    def test_names_of_people_stay_readable(self) -> None:
        for name in ("plain", "Müller & Söhne", "日本語", "Ελλάδα", "😀"):
            self.assertEqual(harmless(name), name)
        # An accent that stands alone belongs to its letter.
        self.assertEqual(harmless("e\u0301"), "é")

    @given(st.text() | st.text(alphabet=TRICKS), st.integers(1, 200))
    def test_any_text_takes_exactly_its_columns(self, text: str, columns: int) -> None:
        fitted = fit(text, columns)
        self.assertEqual(width(fitted), columns)
        for char in fitted:
            self.assertNotIn(unicodedata.category(char), {"Cc", "Cf", "Cs", "Mn", "Me"})
        fitted.encode()


class UnitTests(SynchronousTestCase):
    def test_numbers_are_short(self) -> None:
        for value, text in (
            (0, "0"),
            (0.25, "0.2"),
            (99.96, "100.0"),
            (1234, "1,234"),
            (9_999_999, "9,999,999"),
            (12_345_678, "12.3 M"),
        ):
            self.assertEqual(number(value), text)

    def test_sizes_have_units(self) -> None:
        for value, text in (
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_400, "99.4 kB"),
            (999_500, "1.0 MB"),
            (812e9, "812 GB"),
            (5e21, "5000 EB"),
        ):
            self.assertEqual(size(value), text)

    def test_spans_have_two_units(self) -> None:
        for seconds, text in (
            (-5, "0 s"),
            (59.9, "59 s"),
            (61, "1 min 1 s"),
            (3600, "1 h 0 min"),
            (90_061, "1 d 1 h"),
        ):
            self.assertEqual(span(seconds), text)

    def test_times_of_other_days_are_dates(self) -> None:
        self.assertRegex(clock(NOW, NOW), r"^\d\d:\d\d:\d\d$")
        self.assertRegex(clock(NOW - 200_000, NOW), r"^\d\d-\d\d-\d\d$")
        self.assertEqual(clock(1e300, NOW), "--------")

    def test_bars_are_as_high_as_their_values(self) -> None:
        self.assertEqual(bars([0, 1, 50, 100]), " ▁▄█")
        self.assertEqual(bars([0, 0]), "  ")
        self.assertEqual(bars([]), "")


class PictureTests(SynchronousTestCase):
    def lines(self, *arguments: object, **named: object) -> list[str]:
        drawn: list[Line] = picture(*arguments, **named)  # type: ignore[arg-type]
        return [line.text.rstrip() for line in drawn]

    def assert_fits(self, shown: Overview, columns: int, height: int) -> None:
        drawn = picture(shown, columns, height, 0.123, "https://x: gone; trying again")
        self.assertLessEqual(len(drawn), height)
        for line in drawn:
            self.assertEqual(width(line.text), columns)
            self.assertNotRegex(line.text, "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")

    def test_it_fits_whatever_names_there_are(self) -> None:
        events = [Recent(NOW, "lock.created", TRICKS, TRICKS, TRICKS)] * 100
        hostile = overview(
            (*HOSTILE, TRICKS),
            events=events,
            url=f"http://{TRICKS}",
            reload_problem=TRICKS,
            health=Report({TRICKS: TRICKS}),
        )
        for shown in (overview(), idle(), hostile):
            for columns, height in ((80, 24), (1, 1), (40, 10), (300, 100), (80, 3)):
                self.assert_fits(shown, columns, height)

    def test_there_is_something_of_everything_at_80_by_24(self) -> None:
        text = "\n".join(self.lines(overview(), 80, 24))
        for words in (
            "https://lfs.example.com",
            "ready   locks 42   free 812 GB   stored 1.3 TB in 34,200 objects   trash 31.0 GB",
            "workers: 2 serving, 1 leaving   1 died",
            "SSH processes: 1 serving   1 died   memory 48.0 MB",
            "cache: 312 GB of 500 GB   48,211 objects   /var/cache/giftless",
            "each second",
            "REFUSED AND FAILED",
            "unauthenticated",
            "REPOSITORIES",
            "acme/site",
            "UPLOADS, 2 OF 3",
            "6e5d2a6e5d2a",
            "EVENTS",
            "acme/site was released",
        ):
            self.assertIn(words, text)
        self.assertEqual(len(self.lines(overview(), 80, 24)), 24)

    def test_odd_figures_are_drawn(self) -> None:
        odd = 9e23
        shown = overview(
            rates=Rates(odd, -odd, odd, odd, odd, odd),
            totals=Totals(10**23, -(10**23), 0, 10**23, -5, 10**23),
            started_at=odd,
            hour=Series(60, odd, [odd] * 60, [], [odd], [odd, odd], [-odd], [odd]),
            transfers=[Running("a", "", size, 10**23, odd, 1) for size in (0, -5, 1)],
        )
        self.assert_fits(shown, 80, 24)

    def test_nothing_is_left_out_without_a_height(self) -> None:
        names = tuple(f"repo-{number}" for number in range(60))
        lines = self.lines(overview(names), 200)
        for name in names:
            self.assertTrue(any(name in line for line in lines), name)

    def test_what_is_wrong_stands_out(self) -> None:
        wrong = overview(
            workers=[],
            health=Report({"store": "the disk is full", "locks": ""}),
            reload_problem="line 3: what is that",
        )
        alarms = [line.text.strip() for line in picture(wrong, 80, 24, None, "gone")]
        styles = {line.text.strip(): line.style for line in picture(wrong, 80, 24, None, "gone")}
        for words in (
            "gone",
            "NOT READY",
            "store: the disk is full",
            "cannot reload: line 3: what is that",
        ):
            self.assertIn(words, alarms)
            self.assertEqual(styles[words], "alarm")
        self.assertTrue(any("workers: none" in line for line in alarms))

    def test_refusals_that_are_alike_say_how_many(self) -> None:
        event = Recent(NOW, "request.refused", "org/repo", "no", cause="forbidden", count=12)
        text = "\n".join(self.lines(overview(events=[event]), 80))
        self.assertRegex(text, r"\d\d:\d\d:\d\d x12  org/repo: no")
