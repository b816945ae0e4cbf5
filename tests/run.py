"""Run the tests with trial, on the installed package, and count what came out.

    python tests/run.py [--coverage] [NAME ...]

A name is a module, a class or a test, as trial takes them.  Without one, all
of ``tests`` runs, in six processes: tests that start daemons and wait for them
in four, those of stores in the fifth, everything else in the sixth.  The last
line is ``N passed, N failed`` (``, N skipped``); the exit status is 0 only if
tests ran and none failed.

``tests`` is found in the checkout and ``giftless`` where it is installed:
what is tested is what a user gets.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import coverage
from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TestSuite, TrialRunner

ROOT = Path(__file__).resolve().parent.parent

#: A run that takes longer hangs, in seconds: every thread's stack is shown.  Beside
#: a load of 8 on two processors all tests take half an hour.
LIMIT = 4500

#: How many processes run what mostly waits.  More than there are processors, so
#: that one goes on while the daemons of another start.
WAITERS = 4

#: What mostly waits for other processes.
WAITING = ("docs", "integration")

#: What came out of a run.
Counts = dict[str, int]


def main() -> int:
    """Run what the command line names.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(description="Run the tests and count the results.")
    parser.add_argument("--coverage", action="store_true", help="report which lines ran")
    parser.add_argument("--part", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()

    # The script's own folder goes, the checkout comes last: whatever is
    # installed is found before it.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "tests"]
    sys.path.append(str(ROOT))
    os.chdir(ROOT)
    if arguments.part:
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        counts = _covered(arguments.names) if arguments.coverage else _run(arguments.names)
        Path(arguments.part).write_text(json.dumps(counts), encoding="utf-8")
        return 0
    measure = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    if arguments.coverage:
        measure.erase()
    flags = ["--coverage"] if arguments.coverage else []
    counts = _run_parts([arguments.names] if arguments.names else parts(), flags)
    if arguments.coverage:
        measure.combine()
        measure.save()
        measure.report()
    return _summary(counts)


def load(names: list[str]) -> TestSuite:
    """Load modules, classes, tests, and packages with all below them."""
    suite: TestSuite = TestLoader().loadByNames(names, recurse=True)
    return suite


def parts() -> list[list[str]]:
    """Divide all tests among processes."""
    folders = [path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")]
    modules = [path.stem for path in (ROOT / "tests").glob("test_*.py")]
    others = sorted(f"tests.{name}" for name in {*folders, *modules} - set(WAITING))
    waiting = sorted(
        f"tests.{folder}.{path.stem}"
        for folder in WAITING
        for path in (ROOT / "tests" / folder).glob("test_*.py")
    )
    stores = ["tests.storage"]
    others.remove(*stores)
    return [others, stores, *(waiting[first::WAITERS] for first in range(WAITERS))]


def _run_parts(parts: list[list[str]], flags: list[str]) -> Counts:
    """Run each part in a process of its own, and show one after the other.

    :returns: their counts added up; a part that breaks down counts as failed.
    """
    total: Counts = {}
    with tempfile.TemporaryDirectory() as directory:
        running = []
        for number, names in enumerate(parts):
            result = Path(directory) / f"{number}.json"
            # The first one is shown as it runs.
            output = (Path(directory) / f"{number}.log").open("w+b") if number else None
            command = [sys.executable, __file__, *flags, "--part", str(result), *names]
            process = subprocess.Popen(command, stdout=output, stderr=output)
            running.append((process, output, result))
        for process, output, result in running:
            status = process.wait()
            if output is not None:
                output.seek(0)
                sys.stdout.buffer.write(output.read())
                sys.stdout.flush()
                output.close()
            counts = {"failed": 1} if status else json.loads(result.read_text(encoding="utf-8"))
            for outcome, count in counts.items():
                total[outcome] = total.get(outcome, 0) + count
    return total


def _run(names: list[str]) -> Counts:
    result: Any = TrialRunner(TreeReporter).run(load(names))
    return {
        "passed": result.successes,
        "failed": len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses),
        "skipped": len(result.skips) + len(result.expectedFailures),
    }


def _covered(names: list[str]) -> Counts:
    """Run, and record the lines that ran here."""
    measure = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"), data_suffix=True)
    measure.start()
    counts = _run(names)
    measure.stop()
    os.chdir(ROOT)
    measure.save()
    return counts


def _summary(counts: Counts) -> int:
    """Print the closing line.

    :returns: the exit status.
    """
    passed, failed = counts.get("passed", 0), counts.get("failed", 0)
    skipped = counts.get("skipped", 0)
    line = f"{passed} passed, {failed} failed"
    print(f"{line}, {skipped} skipped" if skipped else line, flush=True)
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
