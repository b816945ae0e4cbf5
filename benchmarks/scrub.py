"""What the scrub costs clients: the same server without it, with it, and with one that is late.

Servers run at once, each in one process, and are measured in turn; those that are not
measured are stopped meanwhile, so that no scrub falls on a server without one.  Each
measurement gives requests a second, and processor time for each request, user and system,
with that of the scrub.  Before, the processor time is measured that a server takes which
nobody asks anything.

    python -m benchmarks.scrub [--rounds N] [--seconds N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import load
from benchmarks.metrics import CLIENTS, Request, Server, requests, serve
from benchmarks.peers.base import HEADERS, Transfer, batch_body
from benchmarks.support import Content, make_content, running
from tests.support.ports import free_port

#: How large objects are, in bytes, and how many there are.
SIZE: Final = 4_000_000
OBJECTS: Final = 100

#: Each server: in how many repositories the objects are, and its ``scrub``.  "on" has 4 MB to
#: read in a second, as of 10 TB in 30 days; "late" has more than the 50 MB that it may.
SERVERS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "off": (1, {}),
    "on": (1, {"period": "105s"}),
    "late": (20, {"period": "1min"}),
}

#: After how many seconds each has begun to scrub.
_BEGUN: Final = 70


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    # How this program is run again as a server.
    parser.add_argument("--serve", nargs=3, metavar=("NAME", "PORT", "ROOT"))
    options = parser.parse_args()
    if options.serve:
        name, port, root = options.serve
        return serve(True, int(port), Path(root), scrub=SERVERS[name][1])
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        objects = [
            make_content(root / f"object-{number}", SIZE, number) for number in range(OBJECTS)
        ]
        with ExitStack() as stack:
            servers = {name: stack.enter_context(server(name, root, objects)) for name in SERVERS}
            time.sleep(_BEGUN)
            for name, one in servers.items():
                used, seconds = one.used(), 30
                time.sleep(seconds)
                share = (one.used() - used) / seconds
                print(f"{name}: {share:.2%} of a processor while nobody asks", flush=True)
            for request in all_requests(root, objects):
                compare(servers, request, options.rounds, options.seconds, root)
    return None


def all_requests(root: Path, objects: list[Content]) -> Iterator[Request]:
    """Make what is sent: batches, uploads and downloads."""
    yield from requests(root)
    batch = "/org/repo-0.git/info/lfs/objects/batch"
    yield Request("batch of 100, present", "POST", batch, batch_body("download", objects))
    path = f"/org/repo-0/objects/storage/{objects[0].oid}"
    yield Request(f"GET of {SIZE // 1_000_000} MB", "GET", path, b"")


def compare(
    servers: dict[str, Server], request: Request, rounds: int, seconds: float, root: Path
) -> None:
    """Measure all in turn, and print how many times as much as without a scrub it is."""
    rates: dict[str, list[float]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    # The first round only warms the processes.
    for number in range(rounds + 1):
        for name in sorted(servers, reverse=bool(number % 2)):
            with alone(servers, name):
                rate, cost = measure(servers[name], request, seconds, root)
            if number:
                rates[name].append(rate)
                costs[name].append(cost)
    print(f"{request.name}: {statistics.median(costs['off']):.0f} µs without a scrub")
    for name in servers:
        if name != "off":
            rate = _median_ratio(rates[name], rates["off"])
            cost = _median_ratio(costs[name], costs["off"])
            print(f"  {name}: {rate:.2f} of the rate, {cost:.3f} of the processor time", flush=True)


@contextmanager
def alone(servers: dict[str, Server], name: str) -> Iterator[None]:
    """Stop all servers but one for a while."""
    others = [server.pid for each, server in servers.items() if each != name]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def measure(server: Server, request: Request, seconds: float, root: Path) -> tuple[float, float]:
    """Return requests a second, and the processor time of one in microseconds."""
    before, began = server.used(), time.monotonic()
    transfer = Transfer(request.method, server.url + request.path, HEADERS)
    answers = load.send(transfer, request.body, CLIENTS, seconds, root)
    rate = answers.requests / (time.monotonic() - began)
    return rate, (server.used() - before) / answers.requests * 1e6


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@contextmanager
def server(name: str, root: Path, objects: list[Content]) -> Iterator[Server]:
    """Run a server over a store with objects; yields it once it answers."""
    port, place = free_port(), root / name
    for number in range(SERVERS[name][0]):
        repo = place / "store" / "org" / f"repo-{number}"
        repo.mkdir(parents=True)
        for content in objects:
            assert content.path is not None
            os.link(content.path, repo / content.oid)
    command = [sys.executable, "-m", "benchmarks.scrub"]
    command += ["--serve", name, str(port), str(place)]
    try:
        with running(command, port, place, {"PYTHONPATH": str(Path.cwd())}) as process:
            yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
