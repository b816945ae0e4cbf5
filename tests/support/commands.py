"""Run the commands ``twistd`` and ``giftless`` to their end, many of them.

Most of what such a command costs is that Python imports what it needs.  Here one
Python does that once and forks for each command (``tests/support/forking.py``).
What the fork runs is the installed script, in a process of its own.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.support.processes import PATIENCE, installed


class Forking:
    """A Python that forks for each command."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection = ours
        self._connection.settimeout(PATIENCE)
        script = Path(__file__).with_name("forking.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(script), str(theirs.fileno())],
                env=dict(installed().environ),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._process.wait()

    def run(
        self,
        order: Mapping[str, object],
        descriptors: list[int],
        started: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Run a script in a fork.

        :param started: is told its process id.
        :returns: its exit status, or minus the number of the signal that ended it.
        """
        socket.send_fds(self._connection, [json.dumps(order).encode()], descriptors)
        pid = int(self._connection.recv(100))
        started(pid)
        try:
            return int(self._connection.recv(100))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._connection.recv(100)
            raise


@functools.cache
def _forking() -> Forking:
    return Forking()


def run_command(
    name: str,
    *arguments: str,
    directory: Path,
    environ: Mapping[str, str] | None = None,
    stdin: str = "",
    forking: Forking | None = None,
    started: Callable[[int], None] = lambda _: None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed giftless, and wait until it has ended.

    :param name: ``twistd`` or ``giftless``.
    :param directory: where it runs.
    :param environ: what its environment has beside that of daemons in tests.
    :param stdin: what it can read.
    :param forking: runs it; ``None`` for the one that all tests share, which runs one
        command at a time.
    :param started: is told its process id, unless coverage measures it.
    """
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    variables = {**installed().environ, **(environ or {})}
    if "COVERAGE_PROCESS_CONFIG" in variables:
        # Coverage measures a Python from its start.
        if name == "twistd":
            command = installed().command(*arguments)
        return subprocess.run(
            command,
            cwd=directory,
            env=variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode())
        files[0].seek(0)
        order = {"command": command, "directory": str(directory), "environ": variables}
        status = (forking or _forking()).run(order, [file.fileno() for file in files], started)
        for file in files:
            file.seek(0)
        _, stdout, stderr = (file.read().decode() for file in files)
    return subprocess.CompletedProcess(command, status, stdout, stderr)
