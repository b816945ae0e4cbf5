"""What ``tests/run.py`` prints about a run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import run
from tests.support.processes import PATIENCE, base_environ

#: Tests of which some fail, each in a way of its own.
SAMPLE = """
import os
import unittest

class Sample(unittest.TestCase):
    def test_passes(self):
        pass

    def test_is_skipped(self):
        self.skipTest("why")

    def test_fails(self):
        self.fail()

    def test_errs(self):
        raise ValueError

    @unittest.expectedFailure
    def test_passes_unexpectedly(self):
        pass

class Holding(unittest.TestCase):
    def test_keeps_a_file_open(self):
        self.circle, self.file = self, open(__file__)

class Freed(unittest.TestCase):
    def test_nobody_keeps_the_file_open(self):
        open_files = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        self.assertNotIn(__file__, open_files)

class Breaking(unittest.TestCase):
    def test_ends_the_process(self):
        os._exit(3)
"""


class RunTests(SynchronousTestCase):
    """``python tests/run.py NAME ...``"""

    def run_sample(self, *names: str) -> tuple[int, list[str]]:
        """Run tests of the sample; returns the exit status and the lines of stdout."""
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "sample.py").write_text(SAMPLE)
            result = subprocess.run(
                [sys.executable, run.__file__, *names],
                env={**base_environ(), "PYTHONPATH": directory},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        return result.returncode, result.stdout.splitlines()

    def test_what_failed_is_named_above_the_closing_line(self) -> None:
        status, lines = self.run_sample("sample.Sample", "no_such_module")
        self.assertEqual(status, 1)
        *_, before, first, second, third, fourth, closing = lines
        self.assertNotIn("FAILED sample", before)
        self.assertEqual(
            {first, second, third, fourth},
            {
                "FAILED sample.Sample.test_fails",
                "FAILED sample.Sample.test_errs",
                "FAILED sample.Sample.test_passes_unexpectedly",
                "FAILED no_such_module",
            },
        )
        self.assertEqual(closing, "1 passed, 4 failed, 1 skipped")

    def test_why_a_test_failed_is_shown_before_the_next_one_runs(self) -> None:
        _, lines = self.run_sample("sample.Sample.test_errs", "sample.Sample.test_passes")
        shown = "\n".join(lines)
        self.assertIn("ValueError", shown[shown.index("test_errs") : shown.index("test_passes")])

    def test_a_name_whose_process_breaks_down_is_named(self) -> None:
        status, lines = self.run_sample("sample.Sample.test_passes", "sample.Breaking")
        self.assertEqual(status, 1)
        self.assertEqual(
            lines[-2:],
            [
                "FAILED sample.Breaking: the process that ran it ended with 3",
                "0 passed, 1 failed",
            ],
        )

    def test_what_tests_have_used_is_freed_before_the_next_name(self) -> None:
        _, lines = self.run_sample("sample.Holding", "sample.Freed")
        self.assertEqual(lines[-1], "2 passed, 0 failed")

    def test_nothing_is_named_when_all_passes(self) -> None:
        status, lines = self.run_sample("sample.Sample.test_passes")
        self.assertEqual((status, lines[-1]), (0, "1 passed, 0 failed"))
        self.assertNotIn("FAILED", "".join(lines))


class MisplacedTests(SynchronousTestCase):
    """What a run of all modules looks at when it has ended."""

    def test_each_module_has_tests_and_each_test_runs_once(self) -> None:
        queued = ["tests.a.test_x", "tests.test_y"]
        ran = ["tests.a.test_x.A.test_1", "tests.a.test_x.A.test_2", "tests.test_y.A.test_1"]
        self.assertEqual(run.misplaced(queued, ran), [])
        self.assertEqual(
            run.misplaced(["tests.test_z", *queued], [*ran, ran[0]]),
            ["tests.test_z: it has no tests", "tests.a.test_x.A.test_1: it ran 2 times"],
        )
