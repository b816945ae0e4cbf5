"""Programs of Python that tests talk to by pipes, forked as commands are (see ``commands``)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from tests.support.commands import Forked, forking_giftless
from tests.support.processes import installed

#: Runs a module that is found in a directory of the last resort.
_MODULE = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""

#: The checkout.
_ROOT = Path(__file__).parents[2]


class Script:
    """A program that was forked; it has what is used here of ``subprocess.Popen``.

    :ivar pid: its process id.
    :ivar stdin: what it reads.
    :ivar stdout: what it writes.
    """

    def __init__(self, process: Forked, stdin: TextIO, stdout: TextIO) -> None:
        self._process = process
        self.pid = process.pid
        self.stdin = stdin
        self.stdout = stdout

    def poll(self) -> int | None:
        """Return the exit status, if it has ended."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait until it has ended; returns the exit status."""
        return self._process.wait()

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL, if it has not ended."""
        self._process.kill()

    def communicate(self) -> tuple[str, str]:
        """Let it read no more, and wait until it has ended.

        :returns: what it has written, and nothing, as nobody takes its errors.
        """
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        said = "" if self.stdout.closed else self.stdout.read()
        self.stdout.close()
        self.wait()
        return said, ""


#: What a program runs as.
Process = Script | subprocess.Popen[str]


def start_script(program: str, *arguments: str | Path) -> Process:
    """Start a program.

    :param program: its text.
    :param arguments: are given to it as text.
    """
    environ = {**installed().environ}
    command = ["-c", program, *map(str, arguments)]
    if "COVERAGE_PROCESS_CONFIG" in environ:
        # Coverage measures a Python from its start.
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, *command], env=environ, stdin=pipe, stdout=pipe, text=True
        )
    with ExitStack() as theirs:
        stdin, writing = os.pipe()
        theirs.callback(os.close, stdin)
        reading, stdout = os.pipe()
        theirs.callback(os.close, stdout)
        files = [stdin, stdout, 2]
        process = forking_giftless(sys.executable, False).start(command, Path.cwd(), environ, files)
    return Script(process, open(writing, "w"), open(reading))


def start_module(name: str, *arguments: str | Path) -> Process:
    """Start a module of the tests, as ``python -m`` does."""
    return start_script(_MODULE, _ROOT, name, *arguments)
