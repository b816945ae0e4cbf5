"""What counting costs: the same server, with and without metrics.

Processor time for each request, user and system, of a server in one process.  Both run
at once and are measured in turn, so what the machine does beside falls on both.  What is
added to a request is also measured alone, which a busy machine disturbs less.

    python -m benchmarks.metrics [--rounds N] [--seconds N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zope.interface import implementer

from benchmarks import load
from benchmarks.peers.base import HEADERS, Transfer, batch_body
from benchmarks.support import running
from benchmarks.workloads.batch import contents
from giftless.base.metrics.counts import Counts
from giftless.interfaces import Arrival, Credentials, IObjectStore, ObjectStored, Payload
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.monitoring.activity import Activity
from giftless.monitoring.events import EventCounter
from giftless.monitoring.http import HTTPCounter
from giftless.monitoring.measuring import MeasuredAuthenticator, measured_store
from giftless.monitoring.metrics import Metrics
from giftless.observers.rendering import name_of
from tests.support.ports import free_port

#: How many connections send requests.
CLIENTS = 4

#: How large an upload is, in bytes.
SIZE = 10_000

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Request:
    """What is sent again and again.

    :ivar path: its path, with what stands behind it.
    """

    name: str
    method: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Server:
    """A server that counts, or does not."""

    url: str
    pid: int

    def cost(self, request: Request, seconds: float, root: Path) -> float:
        """Return the processor time of a request in microseconds."""
        before = self.used()
        transfer = Transfer(request.method, self.url + request.path, HEADERS)
        answers = load.send(transfer, request.body, CLIENTS, seconds, root)
        return (self.used() - before) / answers.requests * 1e6

    def used(self) -> float:
        """Return the processor time that it has taken so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    # How this program is run again as a server.
    parser.add_argument("--serve", nargs=3, metavar=("COUNTS", "PORT", "ROOT"))
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve[0] == "on", int(options.serve[1]), Path(options.serve[2]))
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        with ExitStack() as stack:
            servers = {name: stack.enter_context(server(name, root)) for name in ("on", "off")}
            for request in requests(root):
                compare(servers, request, options.rounds, options.seconds, root)
    alone()
    return None


def alone() -> None:
    """Measure what counting adds to an upload of a whole object."""
    counts = Metrics(Counts())
    plain: Any = _Nothing()
    activity = Activity(name_of, time.monotonic, time.time, os.getpid())
    measured: Any = measured_store(plain, "none", counts, time.monotonic, activity.watched)
    authenticator = MeasuredAuthenticator(plain, "none", counts)
    events, http = EventCounter(counts), HTTPCounter(counts)
    key = ObjectKey(Repo(("org", "repo")), Oid("0" * 64))
    upload: tuple[Any, ...] = (key, Payload(SIZE), None, {})
    nobody = Credentials((), "")

    def counted() -> None:
        _run(authenticator.authenticate(nobody, key.repo))
        _run(measured.put(*upload))
        event = ObjectStored(key, SIZE, "anonymous", Arrival.STREAMED)
        for observer in (events, activity):
            observer.observe(event)
        http.finished("objects/storage/{oid}", b"PUT", 200, 0.01)

    def uncounted() -> None:
        _run(plain.authenticate(nobody, key.repo))
        _run(plain.put(*upload))

    number = 10_000
    with_it, without = (
        min(timeit.repeat(each, number=number, repeat=15, timer=time.process_time)) / number
        for each in (counted, uncounted)
    )
    print(f"what counting adds to an upload: {(with_it - without) * 1e6:.1f} µs", flush=True)


@implementer(IObjectStore)
class _Nothing:
    """A store and an authenticator that do nothing."""

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[None]:
        """Know of nothing."""
        return [None for _ in keys]

    async def put(self, *upload: Any) -> None:
        """Do nothing."""

    async def authenticate(self, credentials: Credentials, repo: Repo) -> None:
        """Do nothing."""


def _run(coroutine: Any) -> None:
    """Run a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration:
        return


def requests(root: Path) -> Iterator[Request]:
    """Make what is sent."""
    absent = contents(root, "absent", 100)
    batch = "/org/repo.git/info/lfs/objects/batch"
    yield Request("batch of 100, missing", "POST", batch, batch_body("upload", absent))
    yield Request("batch of 1, missing", "POST", batch, batch_body("upload", absent[:1]))
    (small,) = contents(root, "small", 1, SIZE)
    assert small.path is not None
    path = f"/org/repo/objects/storage/{small.oid}"
    yield Request(f"PUT of {SIZE // 1000} KB", "PUT", path, small.path.read_bytes())


def compare(
    servers: dict[str, Server], request: Request, rounds: int, seconds: float, root: Path
) -> None:
    """Measure both in turn, and print the medians and their ratio."""
    taken: dict[str, list[float]] = {name: [] for name in servers}
    # The first round only warms the processes.
    for number in range(rounds + 1):
        for name in sorted(servers, reverse=bool(number % 2)):
            cost = servers[name].cost(request, seconds, root)
            if number:
                taken[name].append(cost)
    ratios = [on / off for on, off in zip(taken["on"], taken["off"], strict=True)]
    on, off = (statistics.median(taken[name]) for name in ("on", "off"))
    print(
        f"{request.name}: {on:.0f} µs with metrics, {off:.0f} µs without;"
        f" ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
        flush=True,
    )


@contextmanager
def server(counts: str, root: Path) -> Iterator[Server]:
    """Run a server; yields it once it answers."""
    port, place = free_port(), root / counts
    place.mkdir()
    command = [sys.executable, "-m", "benchmarks.metrics"]
    command += ["--serve", counts, str(port), str(place)]
    with running(command, port, place, {"PYTHONPATH": str(Path.cwd())}) as process:
        yield Server(f"http://127.0.0.1:{port}", process.pid)


def serve(counting: bool, port: int, root: Path, **more: Any) -> None:
    """Serve in this process, without a parent.

    :param more: what else the configuration says.
    """
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    from giftless.app import config
    from giftless.runtime.instance import Instance
    from giftless.runtime.sockets.binding import Sockets
    from giftless.runtime.sockets.endpoints import listenings

    here: Any = reactor
    settings = {
        "endpoints": [f"tcp:{port}:interface=127.0.0.1"],
        "storage": {"type": "local", "path": str(root / "store")},
        "state_dir": str(root / "state"),
        **more,
    }
    loaded = config.parse("", json.dumps(settings), {})
    instance = Instance(loaded, here, counts=Counts() if counting else None)
    # Kept until the end, as the parent keeps them.
    sockets = Sockets(here)
    descriptors = sockets.bind(listenings(loaded.config.endpoints))
    started = Deferred.fromCoroutine(instance.start([os.dup(each) for each in descriptors]))
    started.addErrback(lambda failure: failure.printTraceback())
    here.run()


if __name__ == "__main__":
    main()
