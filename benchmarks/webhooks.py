"""What webhooks cost: the same server without them, with those of changes, and with all.

Servers run at once, each in one process, and are measured in turn.  Each measurement gives
requests a second while there is load, and processor time for each request, user and
system, until everything has been delivered.  The receiver answers at once.

    python -m benchmarks.webhooks [--rounds N] [--seconds N]
"""

from __future__ import annotations

import argparse
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
from benchmarks.peers.base import HEADERS, Transfer
from benchmarks.support import running
from tests.support.ports import free_port

#: The events of each server's target; ``None`` for no target.
EVENTS: Final[dict[str, list[str] | None]] = {
    "none": None,
    "changes": ["object.*", "lock.*"],
    "all": ["*"],
}

#: After how many seconds of rest everything has been delivered, and what counts as rest.
_REST: Final = 0.5
_IDLE: Final = 0.02

#: How long the deliveries of one measurement may take, in seconds.
_LONGEST: Final = 60

#: A secret, as it is written.
_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of no server


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    # How this program is run again, as a server or as the receiver.
    parser.add_argument("--serve", nargs=4, metavar=("EVENTS", "PORT", "ROOT", "RECEIVER"))
    parser.add_argument("--receive", type=int, metavar="PORT")
    options = parser.parse_args()
    if options.receive:
        return receive(options.receive)
    if options.serve:
        name, port, root, receiver = options.serve
        return serve(False, int(port), Path(root), observers=observers(name, int(receiver)))
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        with ExitStack() as stack:
            receiver = free_port()
            stack.enter_context(
                running(
                    _again("--receive", receiver), receiver, root, {"PYTHONPATH": str(Path.cwd())}
                )
            )
            servers = {name: stack.enter_context(server(name, root, receiver)) for name in EVENTS}
            for request in requests(root):
                compare(servers, request, options.rounds, options.seconds, root)
    return None


def observers(name: str, receiver: int) -> list[dict[str, Any]]:
    """Return the section of a server's configuration.

    :param receiver: the port of the receiver.
    """
    events = EVENTS[name]
    if events is None:
        return []
    target = {
        "name": "receiver",
        "url": f"http://127.0.0.1:{receiver}/",
        "secrets": [_SECRET],
        "networks": ["127.0.0.1"],
        "events": events,
    }
    return [{"type": "webhooks", "targets": [target], "max_backlog": 1_000_000}]


def compare(
    servers: dict[str, Server], request: Request, rounds: int, seconds: float, root: Path
) -> None:
    """Measure all in turn, and print how many times as much as without webhooks it is."""
    rates: dict[str, list[float]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    # The first round only warms the processes.
    for number in range(rounds + 1):
        for name in sorted(servers, reverse=bool(number % 2)):
            rate, cost = measure(servers[name], request, seconds, root)
            if number:
                rates[name].append(rate)
                costs[name].append(cost)
    print(f"{request.name}: {statistics.median(costs['none']):.0f} µs without webhooks")
    for name in servers:
        if name != "none":
            rate = _median_ratio(rates[name], rates["none"])
            cost = _median_ratio(costs[name], costs["none"])
            print(f"  {name}: {rate:.2f} of the rate, {cost:.2f} of the processor time", flush=True)


def measure(server: Server, request: Request, seconds: float, root: Path) -> tuple[float, float]:
    """Return requests a second, and the processor time of one in microseconds."""
    before, began = server.used(), time.monotonic()
    transfer = Transfer(request.method, server.url + request.path, HEADERS)
    answers = load.send(transfer, request.body, CLIENTS, seconds, root)
    rate = answers.requests / (time.monotonic() - began)
    used = server.used()
    for _ in range(int(_LONGEST / _REST)):
        time.sleep(_REST)
        last, used = used, server.used()
        if used - last <= _IDLE:
            break
    return rate, (used - before) / answers.requests * 1e6


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _again(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.webhooks", *map(str, arguments)]


@contextmanager
def server(name: str, root: Path, receiver: int) -> Iterator[Server]:
    """Run a server; yields it once it answers."""
    port, place = free_port(), root / name
    place.mkdir()
    command = _again("--serve", name, port, place, receiver)
    with running(command, port, place, {"PYTHONPATH": str(Path.cwd())}) as process:
        yield Server(f"http://127.0.0.1:{port}", process.pid)


def receive(port: int) -> None:
    """Answer every request at once, in this process."""
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory, Protocol

    class Receiver(Protocol):
        data = b""

        def dataReceived(self, data: bytes) -> None:
            self.data += data
            while True:
                head, end, rest = self.data.partition(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                if not end or len(rest) < int(length or 0):
                    return
                self.data = rest[int(length or 0) :]
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    here: Any = reactor
    here.listenTCP(port, Factory.forProtocol(Receiver), interface="127.0.0.1")
    here.run()


if __name__ == "__main__":
    main()
