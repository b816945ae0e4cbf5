"""Run git so that it asks nobody, runs nobody's hooks, and ends in time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from giftless.references.errors import NoReferences
from giftless.references.sources import SCHEMES, redacted

#: What would point git to another repository than the one that it is asked about, or let it
#: ask somebody.
_FOREIGN: Final = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
    # A window that asks for a password.
    "SSH_ASKPASS",
)

_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.recurseSubmodules=no",
    "gc.auto=0",
    "maintenance.auto=false",
    # A server that says nothing for so long is given up, in seconds.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=300",
)

#: How git says that it has no credential that would do.
_NO_CREDENTIAL: Final = re.compile(
    r"could not read (Username|Password)|Authentication failed|terminal prompts disabled"
    r"|Permission denied|Host key verification failed|returned error: 40[13]",
    re.IGNORECASE,
)

_HINT: Final = (
    "; git found no credential that opens it, and asks nobody here: give it one by a"
    " credential helper, ~/.netrc or an SSH key of the user who runs this"
)

#: How much of what git complains about is shown, in bytes.
_COMPLAINTS: Final = 2000

#: How long what was killed may take to go, in seconds.
_PATIENCE: Final = 10


class Git:
    """Runs git.

    It has the operator's own configuration and so his credentials, but no terminal.

    :param timeout: how many seconds one run may take.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        #: Held while git starts: a stop that comes meanwhile waits, and finds what it is to kill.
        self._starting = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._environ = {
            **{name: value for name, value in os.environ.items() if name not in _FOREIGN},
            "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
            # What is not there was left out by the server; never ask for it again.
            "GIT_NO_LAZY_FETCH": "1",
            # History as it was written: without replacements and grafts.
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": os.devnull,
            "GIT_DEFAULT_HASH": "sha1",
            "GIT_TERMINAL_PROMPT": "0",
            "GCM_INTERACTIVE": "never",
            "SSH_ASKPASS_REQUIRE": "never",
            "LC_ALL": "C",
        }

    def stop(self) -> None:
        """Kill the git that runs, if one does, and run no other; from any thread."""
        self._stopped.set()
        with self._starting:
            process = self._running
        if process is not None:
            _kill(process)

    def credential(self, url: str) -> str:
        """Return the password that the operator's credential helpers have for a URL.

        :returns: it; empty if they have none.
        """
        try:
            printed, _ = self.run(None, "credential", "fill", stdin=f"url={url}\n\n".encode())
        except NoReferences:
            return ""
        fields = dict(line.split("=", 1) for line in printed.decode().splitlines() if "=" in line)
        return fields.get("password", "")

    def run(self, directory: Path | None, *arguments: str, stdin: bytes = b"") -> tuple[bytes, str]:
        """Run git to its end.

        :param directory: the git directory; ``None`` for none.
        :returns: what it printed, and what it complained about.
        :raises NoReferences: if it fails, or takes too long.
        """
        with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as complaints:
            file.write(stdin)
            file.seek(0)
            with self._open(directory, arguments, file, complaints) as stdout:
                printed = stdout.read()
            return printed, _tail(complaints)

    @contextmanager
    def reading(
        self, directory: Path, *arguments: str, stdin: BinaryIO | None = None
    ) -> Iterator[BinaryIO]:
        """Run git, and read what it prints meanwhile.

        :param directory: the git directory.
        :param stdin: a file that git reads; ``None`` for an empty one.
        :raises NoReferences: at the end, if it has failed, or has taken too long.
        """
        with (
            tempfile.TemporaryFile() as complaints,
            self._open(directory, arguments, stdin, complaints) as stdout,
        ):
            yield stdout

    @contextmanager
    def _open(
        self,
        directory: Path | None,
        arguments: Sequence[str],
        stdin: BinaryIO | None,
        complaints: BinaryIO,
    ) -> Iterator[BinaryIO]:
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        where = [] if directory is None else [f"--git-dir={directory}"]
        process = self._start(["git", *where, *settings, *arguments], stdin, complaints)
        assert process.stdout is not None
        late = threading.Event()
        timer = threading.Timer(self._timeout, _give_up, (process, late))
        timer.daemon = True
        timer.start()
        try:
            with process.stdout as stdout:
                yield stdout  # type: ignore[misc]
            status = process.wait()
        except BaseException:
            _kill(process)
            raise
        finally:
            timer.cancel()
            self._running = None
        if late.is_set():
            raise NoReferences(f"git {arguments[0]} took more than {self._timeout:g} seconds")
        if self._stopped.is_set():
            raise NoReferences("interrupted")
        if status:
            raise NoReferences(_failure(arguments[0], status, _tail(complaints)))

    def _start(
        self, command: Sequence[str], stdin: BinaryIO | None, complaints: BinaryIO
    ) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._stopped.is_set():
                raise NoReferences("interrupted")
            try:
                self._running = subprocess.Popen(  # noqa: S603 - no shell, and checked sources
                    command,
                    stdin=subprocess.DEVNULL if stdin is None else stdin,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    env=self._environ,
                    # Without a terminal, neither git nor ssh can ask for a password.
                    start_new_session=True,
                )
            except OSError as error:
                raise NoReferences(f"git cannot be run: {error.strerror}") from None
            return self._running


def _give_up(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill git with all that it has started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        process.wait(_PATIENCE)


def _failure(name: str, status: int, complaints: str) -> str:
    what = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
    hint = _HINT if _NO_CREDENTIAL.search(complaints) else ""
    return f"git {name} {what}: {complaints or 'it did not say why'}{hint}"


def _tail(complaints: BinaryIO) -> str:
    """Return the end of what git complained about, as one line without credentials."""
    length = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, length - _COMPLAINTS))
    text = redacted(complaints.read().decode(errors="replace"))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
