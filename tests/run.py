"""Run the tests with trial, on the installed package, and count what came out.

    python tests/run.py [--coverage] [NAME ...]

A name is a module, a class or a test, as trial takes them; without one, all
of ``tests`` runs.  The last line is ``N passed, N failed`` (``, N skipped``);
the exit status is 0 only if tests ran and none failed.

``tests`` is found in the checkout and ``giftless`` where it is installed:
what is tested is what a user gets.  Tests run one after the other: those that
start daemons and measure time or memory would disturb each other on a small
machine.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
from collections.abc import Callable
from pathlib import Path

import coverage
from twisted.trial.reporter import Reporter, TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner

ROOT = Path(__file__).resolve().parent.parent

#: A run that takes longer hangs, in seconds: every thread's stack is shown.
LIMIT = 1500


def main() -> int:
    """Run what the command line names.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(description="Run the tests and count the results.")
    parser.add_argument("--coverage", action="store_true", help="report which lines ran")
    parser.add_argument("names", nargs="*", default=["tests"], metavar="NAME")
    arguments = parser.parse_args()

    # The script's own folder goes, the checkout comes last: whatever is
    # installed is found before it.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "tests"]
    sys.path.append(str(ROOT))
    os.chdir(ROOT)
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    if arguments.coverage:
        result = _covered(lambda: _run(arguments.names))
    else:
        result = _run(arguments.names)
    return _summary(result)


def _run(names: list[str]) -> Reporter:
    runner = TrialRunner(TreeReporter)
    result: Reporter = runner.run(TestLoader().loadByNames(names, recurse=True))
    return result


def _covered(run: Callable[[], Reporter]) -> Reporter:
    """Run, and report the lines that ran here and in the daemons started from here."""
    measure = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measure.erase()
    measure.start()
    result = run()
    measure.stop()
    measure.save()
    os.chdir(ROOT)
    measure.combine()
    measure.save()
    measure.report()
    return result


def _summary(result: Reporter) -> int:
    """Print the closing line.

    :returns: the exit status.
    """
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skips) + len(result.expectedFailures)
    line = f"{result.successes} passed, {failed} failed"
    print(f"{line}, {skipped} skipped" if skipped else line, flush=True)
    return int(failed > 0 or result.successes == 0)


if __name__ == "__main__":
    sys.exit(main())
