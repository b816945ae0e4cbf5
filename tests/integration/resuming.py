"""A push by tus, of git-lfs or our agent, that is broken off again and again, in many ways."""

from __future__ import annotations

import os
import queue
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.integration.support import Daemon, GitRepo, file_digest
from tests.support.faulty import Fault, FaultyProxy
from tests.support.processes import PATIENCE, wait_until
from tests.support.rounds import rounds

MIB = 1024 * 1024

#: How many times as much as the object may be sent in all.
TOLERANCE = 1.05

#: How often git may give up.
GIVEN_UP = 5

#: How long a push may take in all, in seconds.
LONGEST = rounds(PATIENCE, 6 * PATIENCE)

#: What happens to a push when so many bytes of it have come.
Mishap = Callable[["Push"], None]


def random_file(path: Path, size: int) -> str:
    """Write a file of random bytes.

    :returns: its SHA-256.
    """
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))
    return file_digest(path)


def cut(push: Push) -> None:
    """Cut the connection; the daemon gets what was on its way."""


def kill_client(push: Push) -> None:
    """Kill git and git-lfs, and push anew."""
    push.kill()
    push.start()


def kill_workers(push: Push) -> None:
    """Kill all workers of the daemon (``kill -9``)."""
    workers = push.daemon.workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: set(push.daemon.workers) - set(workers), "another worker")


def restart(push: Push) -> None:
    """Stop the daemon as an operator does, and start it."""
    push.daemon.stop()
    push.daemon.start()


def hand_over(push: Push) -> None:
    """Lead to the next daemon on the same store."""
    push.turn()


class Push:
    """A push of one object, by way of a proxy.

    :param repo: has the object committed, and the proxy's URL.
    :param proxy: passes on to the first daemon.
    :param daemons: all of the same store.
    :param size: of the object, in bytes.
    :param mishaps: what happens, each at a random place; the places are in this order.
    :ivar daemon: which it goes to now.
    :ivar offsets: where each of its requests went on.
    :ivar given_up: how often git has ended without having pushed.
    """

    def __init__(
        self,
        repo: GitRepo,
        proxy: FaultyProxy,
        daemons: Sequence[Daemon],
        size: int,
        mishaps: Sequence[Mishap],
    ) -> None:
        self._repo = repo
        self._proxy = proxy
        self._daemons = list(daemons)
        self._size = size
        places = sorted(random.sample(range(1, size), len(mishaps)))
        self._left = list(zip(places, mishaps, strict=True))
        self._due: queue.SimpleQueue[tuple[int, Mishap]] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = repo.directory.with_suffix(".log")
        self.offsets: list[int] = []
        self.given_up = 0

    @property
    def daemon(self) -> Daemon:
        """Which daemon it goes to now."""
        return self._daemons[0]

    def run(self) -> int:
        """Push, and again if git gives up, as it does if it cannot ask for a batch.

        :returns: how many bytes have been sent in all.
        """
        before, deadline = self._proxy.sent, time.monotonic() + LONGEST
        self._proxy.fault = self._choose
        self.start()
        while (ended := self._running.poll()) != 0 or not self._due.empty():
            if ended:
                self.given_up += 1
                if self.given_up > GIVEN_UP:
                    raise AssertionError(f"git gives up again and again: {self._log.read_text()}")
                self.start()
            if time.monotonic() > deadline:
                raise AssertionError(f"git has not ended in time: {self._log.read_text()}")
            try:
                sent, mishap = self._due.get(timeout=0.1)
            except queue.Empty:
                continue
            self._wait_for(sent)
            mishap(self)
        if self._left:
            raise AssertionError(f"{len(self._left)} mishaps are left: {self._log.read_text()}")
        return self._proxy.sent - before

    def _wait_for(self, sent: int) -> None:
        """Wait until so many bytes have been sent in all, or git has ended before."""
        wait_until(
            lambda: self._proxy.sent >= sent or self._running.poll() is not None, "bytes to come"
        )

    def start(self) -> None:
        """Start git."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ["git", "push", "origin", "main"],
                cwd=self._repo.directory,
                env=self._repo.commands.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill git and its children, if they still run."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def turn(self) -> None:
        """Lead to the next daemon from now on."""
        self._daemons.append(self._daemons.pop(0))
        self._proxy.target = self.daemon.port
        self._proxy.reset_all()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "git was not started"
        return self._process

    def _choose(self, begun: bytes) -> Fault | None:
        """Return what happens to a request; called in the proxy's thread."""
        offset = re.search(rb"\r\nUpload-Offset: *(\d+)", begun, re.IGNORECASE)
        if not begun.startswith(b"PATCH ") or offset is None:
            return None
        start = int(offset[1])
        self.offsets.append(start)
        if not self._left:
            return None
        place, mishap = self._left.pop(0)
        # Where it went on may be behind the place already.
        after = max(place - start, 1)
        if mishap is cut:
            return Fault("cut-upload", after=after)
        self._due.put((self._proxy.sent - len(begun) + after, mishap))
        return Fault("stall-upload", after=after)
