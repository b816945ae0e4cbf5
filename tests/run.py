"""Run the tests with trial, on the installed package, and count what came out.

    python tests/run.py [--coverage] [--soak] [--times] [NAME ...]

A name is a module, a class or a test, as trial takes them.  Without one, all
of ``tests`` runs, in some processes that take module after module from one list.
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
import faulthandler
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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

#: What is taken first, in this order, so that no process is left with something long when
#: the others have ended.  One process takes all modules of a line: they use the same
#: browser, emulator, database or package, which takes long to start or build.
FIRST = (
    ("tests.integration.test_agent",),
    ("tests.integration.test_space_pages", "tests.integration.test_pages"),
    ("tests.integration.test_memory",),
    ("tests.integration.test_prometheus", "tests.integration.test_monitoring"),
    (
        "tests.integration.test_browser",
        "tests.integration.test_browser_stores",
        "tests.integration.test_landing",
    ),
    ("tests.integration.test_webhooks", "tests.integration.test_outages"),
    (
        "tests.integration.test_locks_shared",
        "tests.catalogue.test_postgresql",
        "tests.locks.test_postgresql",
    ),
    ("tests.integration.test_multipart", "tests.integration.test_s3"),
    (
        "tests.integration.test_multipart_azure",
        "tests.integration.test_azure",
        "tests.storage.azure.test_listing",
        "tests.storage.azure.test_store",
        "tests.storage.azure.test_blocks",
    ),
    (
        "tests.integration.test_gcs",
        "tests.storage.gcs.test_listing",
        "tests.storage.gcs.test_store",
    ),
    ("tests.integration.test_debian", "tests.docs.test_debian"),
    ("tests.integration.test_gc",),
    ("tests.integration.test_plugins",),
    ("tests.integration.test_systemd",),
    ("tests.integration.test_overview",),
    ("tests.integration.test_reloads",),
    ("tests.integration.test_locks",),
    ("tests.integration.test_workers",),
    ("tests.integration.test_migrate",),
    ("tests.integration.test_clock",),
    ("tests.integration.test_configuration",),
    ("tests.integration.test_trash",),
    ("tests.docs.test_nginx",),
    ("tests.commands.test_objects",),
    ("tests.storage.gcs.test_parts",),
    ("tests.web.test_sending",),
    ("tests.web.test_tls",),
    ("tests.web.test_request",),
    ("tests.sshd.test_listener",),
    ("tests.test_operations",),
    ("tests.web.test_auth_matrix",),
    ("tests.runtime.admin.pages.test_pages",),
    ("tests.benchmarks.test_peers",),
    ("tests.usecases.test_moving",),
    ("tests.locks.test_sqlite",),
    ("tests.test_packaging",),
    ("tests.test_architecture",),
    ("tests.test_conventions",),
)

#: The folders whose other modules come next, because they await other processes too.
LONG = ("integration", "docs", "storage")

#: What modules import that have long rounds.
REPEATING = ("from tests.support.rounds import", "from hypothesis import")

#: How many names ``--times`` shows.
SHOWN = 60

#: How many bytes of the list are the names that are taken at once, filled up with spaces.
WIDTH = 256


@dataclass
class Outcome:
    """What came out of a run.

    :ivar passed: how many tests passed.
    :ivar skipped: how many were skipped.
    :ivar failed: the names of the others.
    :ivar times: the CPU time and the time that each name took, in seconds.
    """

    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    times: dict[str, tuple[float, float]] = field(default_factory=dict)


def main() -> int:
    """Run what the command line names.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(description="Run the tests and count the results.")
    parser.add_argument("--coverage", action="store_true", help="report which lines ran")
    parser.add_argument("--soak", action="store_true", help="run the long rounds")
    parser.add_argument("--times", action="store_true", help="say what took long")
    parser.add_argument("--queue", metavar="FD", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--result", metavar="FILE", type=Path, help=argparse.SUPPRESS)
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
    if arguments.result:
        util.DEFAULT_TIMEOUT_DURATION = PATIENCE
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        names = _taken(arguments.queue) if arguments.queue else iter(arguments.names)
        tests = _Queue(_noted(names, arguments.result), arguments.times)
        outcome = (_covered if arguments.coverage else _run)(tests)
        arguments.result.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        return 0
    measure = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    if arguments.coverage:
        measure.erase()
    flags = [f"--{name}" for name in ("coverage", "times") if getattr(arguments, name)]
    outcome = _run_processes(arguments.names, modules(arguments.soak), flags)
    if arguments.coverage:
        measure.combine()
        measure.save()
        measure.report()
    if arguments.times:
        _show_times(outcome.times)
    return _summary(outcome)


def load(names: list[str]) -> TestSuite:
    """Load modules, classes, tests, and packages with all below them."""
    suite: TestSuite = TestLoader().loadByNames(names, recurse=True)
    return suite


def modules(soak: bool = False) -> list[str]:
    """Name every module with tests, in the order in which they are taken.

    :param soak: name only those that have long rounds.
    """
    paths = [
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if not soak or any(each in path.read_text(encoding="utf-8") for each in REPEATING)
    ]
    paths.sort(key=lambda path: (*(path.parts[1] != folder for folder in LONG), path))
    names = [".".join(path.with_suffix("").parts) for path in paths]
    first = [name for batch in FIRST for name in batch if name in names]
    return [*first, *(name for name in names if name not in first)]


def batches(names: list[str]) -> list[str]:
    """Divide modules into what one process takes at once.

    :param names: as :func:`modules` returns them.
    :returns: the names of such modules, divided by spaces.
    """
    first = [[name for name in batch if name in names] for batch in FIRST]
    together = [" ".join(batch) for batch in first if batch]
    return together + names[sum(map(len, first)) :]


def _run_processes(names: list[str], queued: list[str], flags: list[str]) -> Outcome:
    """Run tests in processes of their own, and show what one wrote after the other.

    :param names: what one process runs; nothing for modules in several.
    :param queued: these modules.
    :returns: their outcomes added up; what a process breaks down in has failed.
    """
    total = Outcome()
    with (
        tempfile.TemporaryDirectory() as directory,
        (Path(directory) / "queue").open("w+b") as queue,
    ):
        if not names:
            flags = [*flags, "--queue", str(queue.fileno())]
            queue.writelines(batch.encode().ljust(WIDTH) for batch in batches(queued))
            queue.seek(0)
        running = []
        for number in range(1 if names else PROCESSES):
            result = Path(directory) / f"{number}.json"
            # The first one is shown as it runs.
            output = (Path(directory) / f"{number}.log").open("w+b") if number else None
            result.write_text("tests/run.py", encoding="utf-8")
            command = [sys.executable, __file__, *flags, "--result", str(result), *names]
            process = subprocess.Popen(
                command, stdout=output, stderr=output, pass_fds=[queue.fileno()]
            )
            running.append((process, output, result))
        for process, output, result in running:
            status = process.wait()
            if output is not None:
                output.seek(0)
                sys.stdout.buffer.write(output.read())
                sys.stdout.flush()
                output.close()
            noted = result.read_text(encoding="utf-8")
            if status:
                total.failed.append(f"{noted}: the process that ran it ended with {status}")
                continue
            outcome = Outcome(**json.loads(noted))
            total.passed += outcome.passed
            total.skipped += outcome.skipped
            total.failed += outcome.failed
            total.times |= outcome.times
    return total


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
        suite = load([name])
        # The modules that one process has imported are never garbage: later collections
        # need not look at them again.
        gc.freeze()
        suite.run(result)
        # Whoever shares nothing need not import what daemons need.
        if sharing := sys.modules.get("tests.integration.sharing"):
            sharing.stop_shared()

    def _measure(self, name: str, result: Any) -> None:
        # Found in the checkout, which main has added.
        from tests.support.usage import cpu_seconds

        used, began = cpu_seconds(), time.monotonic()
        self._run(name, result)
        self.times[name] = cpu_seconds() - used, time.monotonic() - began


class _Reporter(TreeReporter):
    """Shows at once why a test has failed, too: a run that is cut off has no summary."""

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
