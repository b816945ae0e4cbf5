"""Commands and workers that are forked (``tests/support/forking.py``)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.integration.support import IntegrationTestCase
from tests.support.commands import Forking, run_command
from tests.support.processes import installed, wait_until
from tests.support.scripts import start_script

#: Has many files open, and looks at its end whether they still are.
SCRIPT = """
import atexit, os, sys

opened = [os.dup(0) for _ in range(100)]

def look():
    for descriptor in opened:
        os.fstat(descriptor)
    print("all are open")

atexit.register(look)
sys.exit(3)
"""


class CommandTests(SynchronousTestCase):
    def test_a_fork_closes_nothing_of_the_command(self) -> None:
        """The descriptors that it had before are those of other files now."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "script.py").write_text(SCRIPT)
        path = (directory / "script.py").resolve()
        result = run_command(str(path), directory=directory)
        self.assertEqual((result.stdout, result.stderr), ("all are open\n", ""))
        self.assertEqual(result.returncode, 3)

    def test_output_to_a_pipe_is_no_file_although_that_of_the_tests_is(self) -> None:
        """Python asks only once, when it starts, whether it can go back in what it writes."""
        before = os.dup(1)
        with open(self.mktemp(), "wb") as file:
            os.dup2(file.fileno(), 1)
        try:
            forks = Forking(sys.executable, installed().environ)
        finally:
            os.dup2(before, 1)
            os.close(before)
        script = "import sys; sys.stdout.reconfigure(errors='replace'); print('written')"
        reading, writing = os.pipe()
        with open(os.devnull) as nothing, open(writing, "wb") as output, open(reading) as result:
            files = [nothing.fileno(), output.fileno(), 2]
            process = forks.start(["-c", script], Path.cwd(), installed().environ, files)
            self.assertEqual(process.wait(), 0)
            output.close()
            self.assertEqual(result.read(), "written\n")
        forks.close()

    def test_a_program_is_talked_to_by_pipes(self) -> None:
        script = start_script("import sys; print(sys.argv, sys.stdin.read())", "one")
        assert script.stdin is not None
        script.stdin.write("two")
        self.assertEqual(script.communicate()[0], "['-c', 'one'] two\n")
        self.assertEqual(script.poll(), 0)

    def test_a_program_that_is_killed_leaves_what_it_has_written(self) -> None:
        script = start_script("import time; print('begun', flush=True); time.sleep(600)")
        assert script.stdout is not None
        self.assertEqual(script.stdout.readline(), "begun\n")
        script.kill()
        self.assertEqual(script.communicate()[0], "")
        self.assertEqual(script.wait(), -signal.SIGKILL)


class WorkerTests(IntegrationTestCase):
    def test_the_first_workers_are_forked_and_those_that_replace_them_are_not(self) -> None:
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            raise SkipTest("coverage measures a Python from its start")
        daemon = self.start_daemon(config={"workers": 2})
        first = daemon.workers
        self.assertEqual([self.is_forked(pid) for pid in first], [True, True])
        os.kill(first[0], signal.SIGKILL)
        wait_until(lambda: set(daemon.workers) - set(first), "another worker")
        (replaced,) = set(daemon.workers) - set(first)
        wait_until(lambda: not self.is_forked(replaced), "Python to start")
        self.assertEqual(daemon.put(b"data"), 200)

    def test_as_many_as_are_spare_are_forked_too(self) -> None:
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            raise SkipTest("coverage measures a Python from its start")
        daemon = self.start_daemon(config={"workers": 1}, spare=1)
        for forked in (True, True, False):
            (worker,) = daemon.workers
            wait_until(lambda: self.is_forked(worker) is forked, "Python to start")  # noqa: B023
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: set(daemon.workers) - {worker}, "another worker")  # noqa: B023
        self.assertEqual(daemon.put(b"data"), 200)

    def is_forked(self, pid: int) -> bool:
        """Whether a process is not one that Python itself has become."""
        return b"giftless.runtime.worker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
