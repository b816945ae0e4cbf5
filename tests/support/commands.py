"""Run the commands ``twistd`` and ``giftless``, and scripts, to their end, many of them.

Most of what such a command costs is that Python imports what it needs.  Here one
Python does that once and forks for each command (``tests/support/forking.py``).
What the fork runs is the installed script, in a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from giftless.app import config
from giftless.app.cpus import number_of_workers
from giftless.errors import ConfigError
from giftless.runtime.tls import uses_tls
from tests.support.forking import WITHOUT_TLS
from tests.support.processes import PATIENCE, Installation, installed

#: What a daemon imports at its start, in the parent or in a worker, if it keeps all on its
#: own disk and has no use for TLS.
SERVING = (
    "twisted.internet.epollreactor",
    "twisted.internet.endpoints",
    # All of them are asked which makes the service.
    "twisted.plugins",
    # Twisted's cache of plugins names them.
    "twisted.cred.strcred",
    "twisted.trial.itrial",
    "twisted.words.iwords",
    # The files beside a module are read by way of it.
    "importlib.readers",
    "giftless.runtime.twistd",
    "giftless.runtime.daemon",
    "giftless.runtime.checks",
    "giftless.runtime.sockets.holders",
    "giftless.runtime.lean",
    "giftless.runtime.web_worker",
    "giftless.runtime.control",
    "giftless.runtime.instance",
    "giftless.storage.local.factory",
    "giftless.auth.anonymous",
    "giftless.locks.sqlite",
    "giftless.catalogue.sqlite",
    "giftless.transfer.agent",
    "giftless.transfer.tus",
)


class Forked:
    """A process that was forked; it has what is used here of ``subprocess.Popen``.

    :ivar pid: its process id.
    :ivar returncode: its exit status, or minus the number of the signal that ended it;
        ``None`` as long as nobody has seen that it ended.
    """

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        answers.settimeout(PATIENCE)
        self.pid = int(answers.recv(100))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        :param timeout: for how long, in seconds.
        :returns: the exit status.
        :raises subprocess.TimeoutExpired: it has not ended.
        """
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(100))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from None
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, if it has not ended."""
        self.send_signal(signal.SIGKILL)


class Forking:
    """A Python that forks for each command.

    :param python: the interpreter.
    :param environ: its environment, which forks do not have.
    :param names: the modules, and packages with all in them, that it imports once.
    """

    def __init__(self, python: str, environ: Mapping[str, str], *names: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection = ours
        script = Path(__file__).with_name("forking.py")
        with theirs:
            self._process = subprocess.Popen(
                [python, str(script), str(theirs.fileno()), *names],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it, as soon as the forks of this process have closed it, too."""
        self._connection.close()
        self._process.wait()

    def start(
        self,
        command: Sequence[str],
        directory: Path,
        environ: Mapping[str, str],
        files: Sequence[int],
        workers: int = 0,
    ) -> Forked:
        """Run a command in a fork.

        :param command: a script and its arguments, or ``-m`` and a module with its, or
            ``-c`` and the text of a program with its.
        :param directory: where it runs.
        :param environ: its whole environment.
        :param files: the descriptors of its stdin, stdout and stderr.
        :param workers: how many of a daemon's workers are forked, too.
        """
        order = {
            "command": command,
            "directory": str(directory.absolute()),
            "environ": dict(environ),
            "workers": workers,
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            message = json.dumps(order).encode()
            socket.send_fds(self._connection, [message], [*files, theirs.fileno()])
        return Forked(ours)


@functools.cache
def forking(*names: str) -> Forking:
    """Return the Python that has imported some modules, and forks for all tests."""
    return Forking(sys.executable, installed().environ, *names)


def start_twistd(
    installation: Installation,
    arguments: Sequence[str],
    directory: Path,
    environ: Mapping[str, str],
    stdout: int,
    stderr: int,
    spare: int = 0,
    stdin: int | None = None,
) -> Forked:
    """Run ``twistd`` in a fork, and the workers that it starts first in forks as well.

    :param installation: the Python that is forked.
    :param arguments: the last one is the name of the configuration file, if ``--config``
        is there.
    :param environ: its whole environment.
    :param stdout: a descriptor, as ``stderr``.
    :param spare: how many of the workers that come later run in forks, too.
    :param stdin: a descriptor; ``None`` for nothing to read.
    """
    command = [str(Path(sys.executable).with_name("twistd")), *arguments]
    file = arguments[-1] if "--config" in arguments else None
    try:
        configured = config.load(file, environ).config
    except ConfigError:
        # The daemon will say so.
        workers, plain = 0, False
    else:
        workers = number_of_workers(configured) + spare
        # Workers of another configuration may have a use for TLS.
        plain = not spare and not uses_tls(configured)
    forks = forking_giftless(installation.python, plain and installation == installed())
    with open(os.devnull, "rb") as nothing:
        files = [nothing.fileno() if stdin is None else stdin, stdout, stderr]
        return forks.start(command, directory, environ, files, workers)


@functools.cache
def forking_giftless(python: str, plain: bool, /) -> Forking:
    """Return the Python that has imported giftless, and forks for all tests.

    :param python: the interpreter.
    :param plain: whether it has imported only what a daemon does that leaves TLS out.
    """
    environ = dict(installed().environ)
    if python != sys.executable:
        # It has a giftless of its own.
        environ.pop("PYTHONPATH", None)
    needed = (WITHOUT_TLS, *SERVING) if plain else ("giftless", *SERVING)
    return Forking(python, environ, *needed, "twisted.scripts.twistd")


def run_command(
    name: str,
    *arguments: str,
    directory: Path,
    environ: Mapping[str, str] | None = None,
    stdin: str = "",
    started: Callable[[int], None] = lambda _: None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed giftless, and wait until it has ended.

    :param name: ``twistd``, ``giftless``, or the path of a script of the tests.
    :param directory: where it runs.
    :param environ: what its environment has beside that of daemons in tests.
    :param stdin: what it can read.
    :param started: is told its process id, unless coverage measures it.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode())
        files[0].seek(0)
        descriptors = [file.fileno() for file in files]
        process = start_command(
            name, *arguments, directory=directory, environ=environ, files=descriptors
        )
        if isinstance(process, Forked):
            started(process.pid)
        try:
            status = process.wait(PATIENCE)
        finally:
            process.kill()
        for file in files:
            file.seek(0)
        _, stdout, stderr = (file.read().decode() for file in files)
    return subprocess.CompletedProcess([name, *arguments], status, stdout, stderr)


def start_command(
    name: str,
    *arguments: str,
    directory: Path,
    files: Sequence[int],
    environ: Mapping[str, str] | None = None,
) -> Forked | subprocess.Popen[bytes]:
    """Start a command of the installed giftless.

    :param name: ``twistd``, ``giftless``, or the path of a script of the tests.
    :param directory: where it runs.
    :param files: the descriptors of its stdin, stdout and stderr.
    :param environ: what its environment has beside that of daemons in tests.
    """
    command = [str(Path(sys.executable).parent / name), *arguments]
    variables = {**installed().environ, **(environ or {})}
    if "COVERAGE_PROCESS_CONFIG" not in variables:
        forks = forking_giftless(sys.executable, False)
        # A daemon that is to be refused may have a worker that finds it out.
        workers = 1 if name == "twistd" else 0
        return forks.start(command, directory, variables, files, workers)
    # Coverage measures a Python from its start.
    command = installed().command(*arguments) if name == "twistd" else [sys.executable, *command]
    stdin, stdout, stderr = files
    return subprocess.Popen(
        command, cwd=directory, env=variables, stdin=stdin, stdout=stdout, stderr=stderr
    )


def run_trashing(daemon: Path, *arguments: str, stdin: str = "") -> int:
    """Do something with the objects of a daemon beside it, as commands do.

    :param daemon: its directory, which has its configuration file.
    :param arguments: see :mod:`tests.support.trashing`.
    :returns: with how many objects.
    """
    script = Path(__file__).with_name("trashing.py")
    result = run_command(str(script), "giftless.yaml", *arguments, directory=daemon, stdin=stdin)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return int(result.stdout)
