"""How findings are printed, for people and for programs."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.commands.findings import Report, failed, ok, skipped, warning


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.printed: list[str] = []

    def report(self, *, lines: bool = False) -> Report:
        """Make a report that a user of Git reads."""
        return Report(lines, "user", self.printed.append)

    @property
    def text(self) -> str:
        return "".join(self.printed)

    def test_a_finding_says_what_to_do_and_who_can_do_it(self) -> None:
        report = self.report()
        report.add(failed("urls", "they lead elsewhere", user="wait", operator="set public_url"))
        lines = [" ".join(line.split()) for line in self.text.splitlines()]
        self.assertEqual(
            lines,
            [
                "FAILED urls they lead elsewhere",
                "-> You can: wait",
                "-> The server's operator can: set public_url",
            ],
        )

    def test_each_finding_is_printed_when_it_is_known(self) -> None:
        report = self.report()
        report.add(ok("server", "it answers"))
        self.assertIn("it answers", self.text)

    def test_the_end_counts_what_was_found(self) -> None:
        report = self.report()
        for finding in (ok("a", "b"), ok("a", "b"), warning("a", "b"), skipped("a", "b")):
            report.add(finding)
        self.assertFalse(report.failed)
        report.add(failed("a", "b"))
        self.assertTrue(report.failed)
        report.end()
        self.assertTrue(self.text.endswith("\n1 failed, 1 warning, 2 ok, 1 skipped\n"))

    def test_programs_get_one_object_a_line_and_a_summary(self) -> None:
        report = self.report(lines=True)
        report.add(warning("clock", "it is late", user="set it"))
        report.end()
        finding, summary = map(json.loads, self.text.splitlines())
        self.assertEqual(
            finding,
            {"check": "clock", "verdict": "warning", "found": "it is late", "user": "set it"},
        )
        counts = {"ok": 0, "warning": 1, "failed": 0, "skipped": 0}
        self.assertEqual(summary, {"summary": counts})

    @given(st.text(), st.booleans())
    def test_a_terminal_obeys_nothing_that_a_server_says(self, said: str, lines: bool) -> None:
        self.printed.clear()
        report = self.report(lines=lines)
        report.add(failed("server", said, user=said))
        for line in self.text.split("\n"):
            self.assertTrue(line == "" or line.isprintable(), line)
            if lines and line:
                self.assertTrue(line.isascii())
                self.assertEqual(json.loads(line)["found"], said)
