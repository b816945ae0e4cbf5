"""Objects that move from one storage to the next, while clients push and pull."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.integration.support import Daemon, oid_of
from tests.support.commands import start_command
from tests.support.processes import PATIENCE, wait_until
from tests.support.rounds import rounds

#: Where the objects are that were there before.
REPOS = tuple(f"acme/rocket-{number}" for number in range(4))

#: About how large what clients push is, in bytes.
SIZES = rounds((0, 100, 5000, 300_000), (0, 100, 5000, 300_000, 2_000_000))

#: How often a client tries again whose connection breaks, as git-lfs does.
_TRIES = 8


def bytes_of(number: int, size: int) -> bytes:
    """Make an object; it costs less than random bytes."""
    block = hashlib.sha256(b"%d" % number).digest()
    return (block * (size // len(block) + 1))[:size]


class Known:
    """What has been stored, for good.

    :param seed: decides on what comes next.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._numbers = itertools.count(1_000_000)
        self._lock = threading.Lock()
        self.objects: list[tuple[str, str, int]] = []

    def fill(self, root: Path, count: int, total: int) -> None:
        """Put objects into the directory of a local storage.

        :param total: how many bytes they have together.
        """
        shares = [self.random.paretovariate(1.2) for _ in range(count)]
        scale = total / sum(shares)
        for number, share in enumerate(shares):
            data = bytes_of(number, max(1, int(share * scale)))
            repo = REPOS[number % len(REPOS)]
            path = root / repo / oid_of(data)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.add(repo, data)

    def new(self) -> tuple[str, bytes]:
        """Return an object that nobody has stored yet, and a repository for it."""
        with self._lock:
            size = self.random.choice(SIZES)
            repo = self.random.choice(REPOS)
            number = next(self._numbers)
        return repo, bytes_of(number, size + number % 97)

    def add(self, repo: str, data: bytes) -> None:
        """Note what has been stored."""
        with self._lock:
            self.objects.append((repo, oid_of(data), len(data)))

    def any(self) -> tuple[str, str, int]:
        """Return something that has been stored."""
        with self._lock:
            return self.random.choice(self.objects)

    def has(self, wanted: tuple[str, str, int]) -> bool:
        """Tell whether something is still to be there."""
        with self._lock:
            return wanted in self.objects

    def forget(self) -> tuple[str, str, int]:
        """Return something that has been stored, and is not asked for any more."""
        with self._lock:
            return self.objects.pop(self.random.randrange(len(self.objects)))


class Clients:
    """Push and pull all the time, in threads.

    :ivar pushed: how many objects they have pushed.
    :ivar pulled: how many they have pulled.
    :ivar failures: what went wrong.
    """

    def __init__(self, daemon: Daemon, known: Known, pause: float) -> None:
        self._daemon = daemon
        self._known = known
        self._over = threading.Event()
        self._pause = pause
        self.pushed = self.pulled = 0
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,)) for work in (self._push, self._pull)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                work()
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                return
            self._over.wait(self._pause)

    def _push(self) -> None:
        repo, data = self._known.new()
        (answer,) = self._batch("upload", repo, oid_of(data), len(data))
        for name in ("upload", "verify"):
            action = answer.get("actions", {}).get(name)
            if action is not None:
                body = data
                if name == "verify":
                    body = b'{"oid": "%s", "size": %d}' % (oid_of(data).encode(), len(data))
                self._ask("PUT" if name == "upload" else "POST", action, body)
        self._known.add(repo, data)
        self.pushed += 1

    def _pull(self) -> None:
        wanted = self._known.any()
        try:
            pull(self._daemon, *wanted)
        except AssertionError:
            # It may have been removed just then.
            if self._known.has(wanted):
                raise
        self.pulled += 1

    def _batch(self, operation: str, repo: str, oid: str, size: int) -> list[dict[str, Any]]:
        return batch(self._daemon, operation, repo, oid, size)

    def _ask(self, method: str, action: dict[str, Any], body: bytes) -> None:
        patiently(self._daemon.request, method, action["href"], body, action.get("header", {}))


def batch(daemon: Daemon, operation: str, repo: str, oid: str, size: int) -> list[dict[str, Any]]:
    """Ask for a batch of one object."""
    reply = patiently(lambda: daemon.batch(operation, (oid, size), repo=repo))
    objects: list[dict[str, Any]] = reply.json["objects"]
    return objects


def pull(daemon: Daemon, repo: str, oid: str, size: int) -> None:
    """Download an object, and compare its bytes with its oid."""
    (answer,) = batch(daemon, "download", repo, oid, size)
    if "actions" not in answer:
        raise AssertionError(f"{repo}/{oid} cannot be downloaded: {answer}")
    action = answer["actions"]["download"]
    reply = patiently(daemon.request, "GET", action["href"], None, action.get("header", {}))
    if oid_of(reply.body) != oid:
        raise AssertionError(f"{repo}/{oid} has other bytes: {len(reply.body)} of {size}")


def patiently(ask: Callable[..., Any], *arguments: Any) -> Any:
    """Ask again if a connection breaks, as one of a worker that is killed does.

    :raises AssertionError: if the answer is no success.
    """
    for attempt in range(_TRIES):
        try:
            reply = ask(*arguments)
        except (OSError, http.client.HTTPException):
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.2 * 2**attempt)
            continue
        if reply.status != 200:
            raise AssertionError(f"{arguments[:2]}: {reply.status} {reply.body[:300]!r}")
        return reply
    raise AssertionError("unreachable")


def _copies(pid: int) -> bool:
    """Tell whether a command has opened its journal."""
    with contextlib.suppress(OSError):
        return any(
            os.readlink(descriptor).endswith(".sqlite") and "/migration/" in os.readlink(descriptor)
            for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        )
    return False


@contextlib.contextmanager
def killing_workers(daemon: Daemon, seed: int, pause: float) -> Iterator[list[int]]:
    """Kill a worker now and then; yields those that were killed."""
    over, killed, choice = threading.Event(), [], random.Random(seed)

    def kill() -> None:
        while not over.wait(pause * (0.5 + choice.random())):
            with contextlib.suppress(OSError, IndexError):
                worker = choice.choice(daemon.workers)
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def migrate(
    daemon: Daemon, *arguments: str, kill_after: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``giftless migrate``.

    :param kill_after: how many seconds after it has opened its journal it is killed, if it
        still runs.
    """
    command = ["giftless", "migrate", "--config", "giftless.yaml", "--json", *arguments]
    with (
        open(os.devnull) as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        files = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
        process = start_command(*command, directory=daemon.directory, files=files)
        try:
            if kill_after is not None:
                wait_until(
                    lambda: process.poll() is not None or _copies(process.pid), "the journal"
                )
            status = process.wait(PATIENCE if kill_after is None else kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait(PATIENCE)
        for file in (stdout, stderr):
            file.seek(0)
        texts = (file.read().decode() for file in (stdout, stderr))
        return subprocess.CompletedProcess(command, status, *texts)
