"""Processes that tests start, and waiting for what they do in their own time."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import giftless

#: How long to wait for what happens soon, in seconds: on a busy machine that is later.
#: Only a test that fails waits so long.
PATIENCE: Final = 300.0


#: The exit status of a daemon that SIGTERM ended: twistd stops in good order
#: and then lets the signal have its default effect.
ENDED = -signal.SIGTERM


#: ``twistd`` that saves what coverage has measured: SIGTERM's default effect,
#: which it ends with, would not.
TWISTD_UNDER_COVERAGE = """
import atexit
from twisted.application import app
from twisted.scripts.twistd import run

end = app._exitWithSignal

def save_and_end(signal):
    atexit._run_exitfuncs()
    end(signal)

app._exitWithSignal = save_and_end
run()
"""


def wait_until(condition: Callable[[], Any], what: str, rest: float = 0.05) -> None:
    """Wait for something that a process does in its own time.

    :param what: what is waited for, for the error message.
    :param rest: how long to rest between two looks at most, in seconds, if a look is quick.
    """
    deadline = time.monotonic() + PATIENCE
    pause = 0.01
    began = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"waited in vain for {what}")
        # Who looks must not keep the processors from what is waited for.
        time.sleep(max(pause, now - began))
        pause = min(1.2 * pause, rest)
        began = time.monotonic()


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def base_environ() -> dict[str, str]:
    """Return this process's environment without what would sway a daemon or git."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIFTLESS_", "GIT_", "LISTEN_")) and not name.endswith("_proxy")
    }


@dataclass(frozen=True)
class Installation:
    """A Python that ``twistd giftless`` runs on.

    :ivar python: the interpreter.
    :ivar environ: the environment that lets it find giftless.
    """

    python: str
    environ: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of ``twistd`` with ``arguments``."""
        if "COVERAGE_PROCESS_CONFIG" in self.environ:
            return [self.python, "-c", TWISTD_UNDER_COVERAGE, *arguments]
        # Its script serves any Python that can import Twisted.
        twistd = Path(sys.executable).with_name("twistd")
        return [self.python, str(twistd), *arguments]


@functools.cache
def installed() -> Installation:
    """Return the Python that runs the tests, with PYTHONPATH set if need be."""
    environ = base_environ()
    probe = subprocess.run(
        [sys.executable, "-c", "import giftless"], cwd="/", env=environ, capture_output=True
    )
    if probe.returncode != 0:
        environ["PYTHONPATH"] = str(Path(giftless.__file__).parent.parent)
    return Installation(sys.executable, environ)
