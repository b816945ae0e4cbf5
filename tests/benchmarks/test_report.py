"""The tables of benchmarks."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.report import Case, Results, Row, ratios, table, text, write

RATE = Case("uploads", "objects/s")
TIME = Case("pushes", "s", more=False, digits=1)


def results(*rows: Row, missing: dict[str, str] | None = None) -> Results:
    """Make the results of a workload."""
    return Results(
        workload="work",
        about="what it does",
        command="make bench",
        date="today",
        machine={"processors": "2"},
        servers={"giftless": "giftless 1", "other": "other 2"},
        promises={"giftless": ["hash", "flush"], "other": []},
        missing=missing or {},
        tools={"wrk": "wrk 4"},
        notes=["a note"],
        rows=list(rows),
    )


class RatioTests(SynchronousTestCase):
    def test_twice_as_many_is_two(self) -> None:
        row = Row(RATE, {"giftless": [200.0, 300.0], "other": [100.0, 100.0]}, {})
        self.assertEqual(ratios(row, "other"), [2.0, 3.0])

    def test_half_the_time_is_two(self) -> None:
        row = Row(TIME, {"giftless": [1.0], "other": [2.0]}, {})
        self.assertEqual(ratios(row, "other"), [2.0])

    @given(st.lists(st.floats(1, 1e9), min_size=1), st.booleans())
    def test_as_good_as_itself(self, values: list[float], more: bool) -> None:
        row = Row(Case("x", "y", more), {"giftless": values, "other": values}, {})
        self.assertEqual(ratios(row, "other"), [1.0] * len(values))


class TableTests(SynchronousTestCase):
    def test_a_row_has_its_values_and_ratios(self) -> None:
        """The median first, then from where to where the rounds go."""
        row = Row(RATE, {"giftless": [900.0, 2000.0, 1000.0], "other": [100.0] * 3}, {})
        self.assertEqual(
            table(results(row)),
            [
                ["", "giftless", "x other"],
                ["*promises*", "hash, flush", "—"],
                [
                    "uploads",
                    "1\N{NO-BREAK SPACE}000 (900 to 2\N{NO-BREAK SPACE}000) objects/s",
                    "10.00 (9.00 to 20.00)",
                ],
            ],
        )

    def test_what_is_no_ratio(self) -> None:
        """Of something close to nothing each server's own value says more."""
        growth = Case("growth", "MB", more=False, digits=1, ratio=False)
        row = Row(growth, {"giftless": [0.0], "other": [400.0]}, {})
        self.assertEqual(table(results(row))[2], ["growth", "0.0 MB", "400.0 MB"])

    def test_a_missing_server_has_a_column_and_a_reason(self) -> None:
        row = Row(TIME, {"giftless": [1.0]}, {})
        found = results(row, missing={"absent": "it is not installed"})
        self.assertEqual(table(found)[1], ["*promises*", "hash, flush", "—", "—"])
        self.assertEqual(table(found)[2], ["pushes", "1.0 s", "—", "—"])
        self.assertIn("Without absent: it is not installed.", text(found))

    def test_a_failure_is_told(self) -> None:
        row = Row(TIME, {"giftless": [1.0], "other": [1.0]}, {"other": "no answer"})
        found = results(row)
        self.assertEqual(table(found)[2][2], "fails")
        self.assertIn("other fails (pushes): no answer.", text(found))

    def test_what_is_written_can_be_read_again(self) -> None:
        directory = Path(self.mktemp())
        found = results(Row(TIME, {"giftless": [1.5]}, {}))
        write(found, directory)
        again = msgspec.json.decode((directory / "work.json").read_bytes(), type=Results)
        self.assertEqual(again, found)
        page = (directory / "work.rst").read_text()
        self.assertIn("   * - pushes\n     - 1.5 s\n", page)
        self.assertIn(":Command: ``make bench``\n", page)
