"""The charts of the documentation show what was measured."""

from __future__ import annotations

from xml.etree import ElementTree

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.charts import axis_for, choose, draw
from benchmarks.report import Case, Results, Row
from tests.docs.pages import DOCS, ROOT, directives

RESULTS = ROOT / "benchmarks" / "results"
SVG = "{http://www.w3.org/2000/svg}"


def results(*rows: Row) -> Results:
    """Make results with these rows."""
    servers = {"other": "other 1", "giftless": "giftless 2"}
    return Results("load", "what is <done>", "run", "today", {}, servers, {}, {}, [], [*rows])


def row(name: str = "PUT", unit: str = "MB/s", **values: list[float]) -> Row:
    """Make a row."""
    return Row(Case(name, unit), values, {})


class DrawTests(SynchronousTestCase):
    """``draw``."""

    def drawn(self, *rows: Row, log: bool = False) -> ElementTree.Element:
        """Draw all of some rows, and parse the picture."""
        return ElementTree.fromstring(draw(results(*rows), ["*"], log))

    def test_bars_are_as_long_as_their_medians(self) -> None:
        picture = self.drawn(row(giftless=[1.0, 3.0, 4.0], other=[6.0]))
        own, other = (float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect"))
        self.assertAlmostEqual(other / own, 2, places=2)

    def test_the_spread_goes_from_the_least_to_the_most(self) -> None:
        picture = self.drawn(row(giftless=[1.0, 3.0, 4.0]))
        axis = axis_for([row(giftless=[1.0, 3.0, 4.0])], False)
        (line,) = [path for path in picture.iter(f"{SVG}path") if path.get("class") == "spread"]
        self.assertIn(f"M{axis.place(1):.1f} ", line.attrib["d"])
        self.assertTrue(line.attrib["d"].endswith(f"H{axis.place(4):.1f}"))

    def test_a_logarithmic_axis_says_so_and_has_dots(self) -> None:
        picture = self.drawn(row(giftless=[20.0], other=[13000.0]), log=True)
        own, other = (float(dot.attrib["cx"]) for dot in picture.iter(f"{SVG}circle"))
        self.assertLess(own, other)
        text = " ".join("".join(part.itertext()) for part in picture.iter(f"{SVG}text"))
        self.assertIn("logarithmic", text)
        self.assertIn("10 ", text)
        self.assertIn("10\N{NO-BREAK SPACE}000", text)

    def test_zero_has_no_place_on_a_logarithmic_axis(self) -> None:
        self.assertRaises(ValueError, self.drawn, row(giftless=[0.0]), log=True)

    def test_all_is_said_in_words_too(self) -> None:
        picture = self.drawn(row(giftless=[1.0, 3.0, 4.0], other=[6.0]))
        title, description = picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")
        assert title is not None and description is not None
        self.assertEqual(title.text, "what is <done>, MB/s: more is better")
        self.assertEqual(description.text, "PUT: giftless 3 (1 to 4), other 6 (6 to 6)")

    def test_a_failure_is_shown(self) -> None:
        failed = Row(Case("PUT", "s", more=False), {"giftless": [2.0]}, {"other": "it broke"})
        self.assertIn(">fails<", draw(results(failed), ["*"]))


class ChooseTests(SynchronousTestCase):
    """``choose``."""

    def test_units_are_not_mixed(self) -> None:
        mixed = results(row("a", giftless=[1.0]), row("b", "s", giftless=[1.0]))
        self.assertRaises(ValueError, choose, mixed, ["*"])
        self.assertEqual([found.case.name for found in choose(mixed, ["b"])], ["b"])

    def test_a_pattern_without_a_case_is_an_error(self) -> None:
        self.assertRaises(ValueError, choose, results(row(giftless=[1.0])), ["GET *"])


class PageTests(SynchronousTestCase):
    """The page about benchmarks."""

    def test_each_chart_can_be_drawn_and_has_a_table(self) -> None:
        page = DOCS / "benchmarks.rst"
        charts = list(directives(page, "chart"))
        tables = {table.argument for table in directives(page, "include")}
        self.assertGreaterEqual(len(charts), 4)
        for chart in charts:
            measured = msgspec.json.decode(
                (RESULTS / f"{chart.argument}.json").read_bytes(), type=Results
            )
            patterns = [line for line in chart.content.splitlines() if line]
            ElementTree.fromstring(draw(measured, patterns, "log" in chart.options))
            self.assertIn(f"../benchmarks/results/{chart.argument}.rst", tables)
