"""Run the tests with trial, on the installed package, and count what came out.

    python tests/run.py [--coverage] [--soak] [--times] [NAME ...]

A name is a module, a class or a test, as trial takes them.  Without one, all
of ``tests`` runs, in some processes that take module after module from one list.  They are
forked from one that has imported what most modules need.
With ``--soak`` tests repeat what they do for longer and with larger objects;
without a name it runs the modules that can (``tests/support/rounds.py``).
With ``--times`` it says which names took the most CPU time, together with everything
that they had started, and how long they took.
The last line is ``N passed, N failed`` (``, N skipped``), below one line ``FAILED NAME``
for each test that failed; the exit status is 0 only if tests ran and none failed.

``tests`` is found in the checkout and ``giftless`` where it is installed:
what is tested is what a user gets.
"""

from __future__ import annotations

import argparse
import atexit
import faulthandler
import gc
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import unittest
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import coverage
from twisted.trial import util
from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TestSuite, TrialRunner

ROOT = Path(__file__).resolve().parent.parent

#: A run that takes longer hangs, in seconds: every thread's stack is shown.  Beside
#: a load of 8 on two processors all tests take half an hour.
LIMIT = 4500

#: A test that awaits something for so long fails, in seconds, where nothing else is said.
PATIENCE = 300.0

#: How many processes take modules.  More than there are processors, so that one
#: goes on while the daemons of another start.
PROCESSES = 7

#: What is imported before processes are forked, but for what imports the reactor: its
#: descriptors cannot be shared.
SHARED = ("giftless", "tests.support", "tests.contracts")

#: How many names ``--times`` shows.
SHOWN = 60

#: How many bytes of the list are the names that are taken at once, filled up with spaces.
WIDTH = 512


@dataclass
class Outcome:
    """What came out of a run.

    :ivar passed: how many tests passed.
    :ivar skipped: how many were skipped.
    :ivar failed: the names of the others.
    :ivar ran: the names of all.
    :ivar times: the CPU time and the time that each name took, in seconds.
    """

    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    times: dict[str, tuple[float, float]] = field(default_factory=dict)


def main() -> int:
    """Run what the command line names.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(description="Run the tests and count the results.")
    parser.add_argument("--coverage", action="store_true", help="report which lines ran")
    parser.add_argument("--soak", action="store_true", help="run the long rounds")
    parser.add_argument("--times", action="store_true", help="say what took long")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()

    # The script's own folder goes, the checkout comes last: whatever is
    # installed is found before it.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT / "tests"]
    sys.path.append(str(ROOT))
    os.chdir(ROOT)
    # A shell lets what it starts in the background ignore interrupts, and so would every
    # daemon that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # No test asks anybody whom the machine's certificates vouch for, and each process that
    # could would read them all.
    os.environ["SSL_CERT_FILE"] = os.devnull
    if arguments.soak:
        # For this process's children too.
        os.environ["TESTS_SOAK"] = "1"
    measure = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    if arguments.coverage:
        measure.erase()
    outcome = _run_processes(arguments, []) if arguments.names else _run_all(arguments)
    if arguments.coverage:
        measure.combine()
        measure.save()
        measure.report()
    if arguments.times:
        _show_times(outcome.times)
    return _summary(outcome)


def _run_all(arguments: argparse.Namespace) -> Outcome:
    """Run all modules, and make sure that each of their tests has run once."""
    # Found in the checkout, which main has added.
    from tests.support import order

    if not arguments.coverage:
        # Coverage measures what a process imports, too.
        _prepare(shares=not arguments.times)
    queued = order.modules(arguments.soak)
    outcome = _run_processes(arguments, order.batches(queued))
    if not outcome.failed:
        outcome.failed += misplaced(queued, outcome.ran)
    return outcome


def load(names: list[str]) -> TestSuite:
    """Load modules, classes, tests, and packages with all below them."""
    suite: TestSuite = TestLoader().loadByNames(names, recurse=True)
    return suite


def misplaced(queued: Sequence[str], ran: Sequence[str]) -> list[str]:
    """Say which modules ran no test of their own, and which tests ran more than once.

    A module that imports a class of tests from another one has them, too.

    :param queued: the modules.
    :param ran: the names of all tests that ran.
    """
    found = {name.rsplit(".", 2)[0] for name in ran}
    return [
        *(f"{name}: it has no tests" for name in queued if name not in found),
        *(f"{name}: it ran {times} times" for name, times in Counter(ran).items() if times > 1),
    ]


def _prepare(shares: bool) -> None:
    """Import once what most modules of tests need.

    :param shares: whether all processes share those that fork commands and daemons.  What
        these use is then counted for no module.
    """
    from tests.support import commands, forking

    if shares:
        for plain in (True, False):
            commands.forking_giftless(sys.executable, plain)
    forking.preload(SHARED)


def _run_processes(arguments: argparse.Namespace, batches: list[str]) -> Outcome:
    """Run tests in processes of their own, and show what one wrote after the other.

    :param arguments: those of the command line.  Names are run by one process.
    :param batches: what several take, if there are none.
    :returns: their outcomes added up; what a process breaks down in has failed.
    """
    total = Outcome()
    forks = multiprocessing.get_context("fork")
    # Unlike tempfile.TemporaryDirectory, this is nothing that a fork removes when it ends.
    directory = Path(tempfile.mkdtemp(prefix="giftless-run-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        queue = stack.enter_context((directory / "queue").open("w+b"))
        queue.writelines(batch.encode().ljust(WIDTH) for batch in batches)
        queue.seek(0)
        running = []
        for number in range(1 if arguments.names else PROCESSES):
            result = directory / f"{number}.json"
            result.write_text("tests/run.py", encoding="utf-8")
            # The first one is shown as it runs.
            output = (directory / f"{number}.log").open("w+b") if number else None
            names = iter(arguments.names) if arguments.names else _taken(queue.fileno())
            process = forks.Process(target=_work, args=(arguments, names, result, output))
            process.start()
            running.append((process, output, result))
        for process, output, result in running:
            process.join()
            if output is not None:
                output.seek(0)
                sys.stdout.buffer.write(output.read())
                sys.stdout.flush()
                output.close()
            noted = result.read_text(encoding="utf-8")
            if status := process.exitcode:
                total.failed.append(f"{noted}: the process that ran it ended with {status}")
                continue
            outcome = Outcome(**json.loads(noted))
            total.passed += outcome.passed
            total.skipped += outcome.skipped
            total.failed += outcome.failed
            total.ran += outcome.ran
            total.times |= outcome.times
    return total


def _work(
    arguments: argparse.Namespace, names: Iterator[str], result: Path, output: BinaryIO | None
) -> None:
    """Run tests in this process, which was forked for them.

    :param result: the file that takes their outcome.
    :param output: the file that takes what they write, if this process's stdout does not.
    """
    if output is not None:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    util.DEFAULT_TIMEOUT_DURATION = PATIENCE
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    tests = _Queue(_noted(names, result), arguments.times)
    try:
        outcome = (_covered if arguments.coverage else _run)(tests)
        result.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    finally:
        # What tests share ends here: not every Python lets a fork do this by itself.
        atexit._run_exitfuncs()


def _noted(names: Iterator[str], result: Path) -> Iterator[str]:
    """Write down which name is run, lest nobody knows it if the process breaks down.

    :param result: holds it until the outcome takes its place.
    """
    for name in names:
        result.write_text(name, encoding="utf-8")
        yield name


def _taken(queue: int) -> Iterator[str]:
    """Take modules from the list, one after the other.

    :param queue: the list's file descriptor.  All processes share its offset, and
        one read moves it at once: each batch is taken by one.
    """
    while record := os.read(queue, WIDTH):
        yield from record.decode().split()


class _Queue(unittest.TestCase):
    """Tests that are loaded when their turn comes, in one run of trial's."""

    def __init__(self, names: Iterator[str], measured: bool) -> None:
        super().__init__("run")
        self._names = names
        self._measured = measured
        self.times: dict[str, tuple[float, float]] = {}

    def run(self, result: Any = None) -> None:
        """Run all tests, one name after the other."""
        for name in self._names:
            if self._measured:
                self._measure(name, result)
            else:
                self._run(name, result)

    def _run(self, name: str, result: Any) -> None:
        # Import the modules.  They are never garbage: freeze them, so that later collections
        # need not look at them again.
        load([name])
        gc.collect()
        gc.freeze()
        # Only then make the tests: frozen ones would never be freed, nor the files that they
        # have opened.
        load([name]).run(result)
        # Whoever shares nothing need not import what daemons need.
        if sharing := sys.modules.get("tests.integration.sharing"):
            sharing.stop_shared()

    def _measure(self, name: str, result: Any) -> None:
        from tests.support.usage import cpu_seconds

        used, began = cpu_seconds(), time.monotonic()
        self._run(name, result)
        self.times[name] = cpu_seconds() - used, time.monotonic() - began


class _Reporter(TreeReporter):
    """Shows at once why a test has failed, too: a run that is cut off has no summary.

    :ivar ran: the names of all tests that were begun.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ran: list[str] = []

    def startTest(self, test: Any) -> None:
        """Note which test begins."""
        super().startTest(test)
        self.ran.append(test.id())

    def addError(self, test: Any, error: Any) -> None:
        """Show an error."""
        super().addError(test, error)
        self._show(self.errors)

    def addFailure(self, test: Any, fail: Any) -> None:
        """Show a failure."""
        super().addFailure(test, fail)
        self._show(self.failures)

    def _show(self, found: Sequence[Any]) -> None:
        _, reason = found[-1]
        print(reason.getTraceback(), flush=True)


def _run(tests: _Queue) -> Outcome:
    result: Any = TrialRunner(_Reporter).run(tests)
    failed = (*result.failures, *result.errors, *result.unexpectedSuccesses)
    return Outcome(
        result.successes,
        len(result.skips) + len(result.expectedFailures),
        [test.id() for test, *_ in failed],
        result.ran,
        tests.times,
    )


def _covered(tests: _Queue) -> Outcome:
    """Run, and record the lines that ran here."""
    measure = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"), data_suffix=True)
    measure.start()
    outcome = _run(tests)
    measure.stop()
    os.chdir(ROOT)
    measure.save()
    return outcome


def _show_times(times: dict[str, tuple[float, float]]) -> None:
    """Print which names took the most CPU time, and all together."""
    print("\n    CPU   wall  seconds")
    for name, (cpu, wall) in sorted(times.items(), key=lambda item: -item[1][0])[:SHOWN]:
        print(f"{cpu:7.1f}{wall:7.1f}  {name}")
    print(f"{sum(cpu for cpu, _ in times.values()):7.1f}         all")


def _summary(outcome: Outcome) -> int:
    """Print the names of what failed, and the closing line.

    :returns: the exit status.
    """
    # A process that broke down has left its last line unfinished.
    print("".join(f"\nFAILED {name}" for name in outcome.failed))
    line = f"{outcome.passed} passed, {len(outcome.failed)} failed"
    print(f"{line}, {outcome.skipped} skipped" if outcome.skipped else line, flush=True)
    return int(bool(outcome.failed) or not outcome.passed)


if __name__ == "__main__":
    sys.exit(main())
