"""What a catalogue costs, and what it answers: uploads and batches with and without one,
and lists, sums and memory with a million objects.

Processor time for each request, user and system, of a daemon with one worker.  Both daemons
run at once and are measured in turn, so what the machine does beside falls on both; the
time in which what was stored is recorded counts, too.

    python -m benchmarks.catalogue [--rounds N] [--requests N] [--objects N] [--repos N]
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from benchmarks.peers.base import HEADERS, batch_body
from benchmarks.support import Content, family, giftless_command, running, timed
from giftless.base.database.sqlite import SQLiteOptions
from giftless.catalogue.recorder import TOGETHER
from giftless.catalogue.sqlite import SQLiteFactory
from giftless.interfaces import (
    MAX_ENTRIES,
    By,
    Entry,
    EntryQuery,
    Environment,
    ICatalogue,
    IPartBuilder,
)
from giftless.lfs.objects import ObjectKey, Oid, Repo
from tests.support.ports import free_port

T = TypeVar("T")

#: How many connections send requests.
CLIENTS = 4

#: How large an upload is, in bytes.
SIZE = 1000

#: How many pages of each list are read.
PAGES = 40


@dataclass
class Server:
    """A daemon.

    :ivar number: of the next object that is uploaded to it.
    """

    url: str
    pid: int
    number: int = 0
    costs: dict[str, list[float]] = field(default_factory=dict)

    def used(self) -> float:
        """Return the processor time that its threads have taken so far, in seconds."""
        nanoseconds = 0
        for member in family(self.pid):
            for thread in Path(f"/proc/{member}/task").iterdir():
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def measure(self, name: str, requests: Sequence[Request], keep: bool) -> None:
        """Send requests, wait until all is recorded, and note the cost of each."""
        before = self.used()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self._send, (requests[client::CLIENTS] for client in range(CLIENTS))))
        time.sleep(2 * TOGETHER)
        if keep:
            cost = (self.used() - before) / len(requests) * 1e6
            self.costs.setdefault(name, []).append(cost)

    def _send(self, requests: Sequence[Request]) -> None:
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        for request in requests:
            connection.request(request.method, request.path, request.body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{request.method} {request.path}: {answer.status}")
        connection.close()

    def uploads(self, count: int) -> list[Request]:
        """Make uploads of objects that it has not."""
        made = []
        for _ in range(count):
            self.number += 1
            body = self.number.to_bytes(8, "big") * (SIZE // 8)
            oid = hashlib.sha256(body).hexdigest()
            made.append(Request("PUT", f"/org/repo/objects/storage/{oid}", body))
        return made


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    path: str
    body: bytes = b""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--repos", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        if options.rounds:
            compare(root, options.rounds, options.requests)
        if options.objects:
            answer(root, options.objects, options.repos)


# -- with and without


def compare(root: Path, rounds: int, count: int) -> None:
    """Measure both in turn, and print the medians and their ratios."""
    with ExitStack() as stack:
        servers = {}
        for kind in ("sqlite", "none"):
            place, port = root / kind, free_port()
            place.mkdir()
            command = giftless_command(place, port, catalogue={"type": kind}, transfers=["basic"])
            process = stack.enter_context(running(command, port, place))
            servers[kind] = Server(f"http://127.0.0.1:{port}", process.pid)
        # The first round only warms the processes.
        for number in range(rounds + 1):
            for kind in sorted(servers, reverse=bool(number % 2)):
                run(servers[kind], count, bool(number))
        for name in servers["none"].costs:
            taken = {kind: server.costs[name] for kind, server in servers.items()}
            ratios = [a / b for a, b in zip(taken["sqlite"], taken["none"], strict=True)]
            medians = {kind: statistics.median(costs) for kind, costs in taken.items()}
            print(
                f"{name}: {medians['sqlite']:.0f} µs with a catalogue, {medians['none']:.0f} µs"
                f" without; ratio {statistics.median(ratios):.3f}"
                f" ({min(ratios):.3f} to {max(ratios):.3f})",
                flush=True,
            )


def run(server: Server, count: int, keep: bool) -> None:
    """Measure everything once."""
    uploads = server.uploads(count)
    server.measure(f"upload of {SIZE} bytes", uploads, keep)
    batch = "/org/repo.git/info/lfs/objects/batch"
    absent = [Content(hashlib.sha256(b"%d" % each).hexdigest(), 1) for each in range(100)]
    present = [Content(each.path.rpartition("/")[2], len(each.body)) for each in uploads[:100]]
    for name, operation, contents in (
        ("batch of 100 to upload", "upload", absent),
        ("batch of 100 to download", "download", present),
        ("batch of 1 to upload", "upload", absent[:1]),
        ("batch of 1 to download", "download", present[:1]),
    ):
        body = batch_body(operation, contents)
        server.measure(name, [Request("POST", batch, body)] * (count // 2), keep)
    server.measure("download", [Request("GET", each.path) for each in uploads], keep)


# -- a million objects


class _Here:
    """Does blocking work at once."""

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Call a function."""
        return execute(function, *args)


def answer(root: Path, count: int, repos: int) -> None:
    """Fill a catalogue, and print how long it takes to answer."""
    place = root / "catalogue.sqlite"
    parts: Any = IPartBuilder
    lent: Any = (Clock(), _Here(), None, str(root), parts)
    catalogue = SQLiteFactory().build(SQLiteOptions(path=str(place)), Environment(*lent))
    paths = [Repo((f"org{number % 50}", f"repo{number}")) for number in range(repos)]
    seconds = timed(lambda: fill(catalogue, count, paths))
    size = place.stat().st_size
    print(
        f"recorded {count} objects of {repos} repositories: {count / seconds:.0f} a second;"
        f" {size / count:.0f} bytes each",
        flush=True,
    )
    before = resident()
    for by in get_args(By):
        taken = [timed(partial(lambda by: now(catalogue.usage(by)), by)) for _ in range(5)]
        print(f"usage by {by}: {statistics.median(taken) * 1000:.1f} ms", flush=True)
    for order in ("path", "size", "stored", "offered"):
        for name, repo in (("all repositories", None), ("one repository", paths[0])):
            times = list(pages(catalogue, EntryQuery(order=order, repo=repo)))
            print(
                f"pages of 1000 by {order}, {name}: {statistics.median(times) * 1000:.1f} ms,"
                f" at most {max(times) * 1000:.1f}",
                flush=True,
            )
    print(f"memory: {before / 1e6:.0f} MB before, {resident() / 1e6:.0f} MB after", flush=True)


def fill(catalogue: ICatalogue, count: int, repos: Sequence[Repo]) -> None:
    """Record objects, as if they had come one by one to any repository."""
    source = random.Random(1)
    for start in range(0, count, MAX_ENTRIES):
        entries = []
        for number in range(start, min(start + MAX_ENTRIES, count)):
            key = ObjectKey(source.choice(repos), Oid(source.randbytes(32).hex()))
            stored_at = 1.6e9 + source.random() * 1e8
            entries.append(
                Entry(
                    key,
                    int(source.paretovariate(1) * 1000) % 2**40,
                    stored_at,
                    stored_at + source.random() * 1e6,
                    f"person {source.randrange(300)}",
                    "jwt#somebody",
                    f"art/{number}.{source.choice(('psd', 'png', 'bin', 'fbx'))}",
                )
            )
        now(catalogue.record(entries))


def pages(catalogue: ICatalogue, query: EntryQuery) -> Iterator[float]:
    """Read some pages, and tell how long each takes, in seconds."""
    cursor = None
    for _ in range(PAGES):
        start = time.perf_counter()
        page = now(catalogue.page(EntryQuery(repo=query.repo, order=query.order, cursor=cursor)))
        yield time.perf_counter() - start
        cursor = page.next_cursor
        if cursor is None:
            return


def resident() -> int:
    """Return the memory that this process holds, in bytes."""
    pages_held = int(Path("/proc/self/statm").read_text().split()[1])
    return pages_held * os.sysconf("SC_PAGE_SIZE")


def now(awaitable: Awaitable[T]) -> T:
    """Return the result of what does not wait."""
    results: list[Any] = []

    async def wait() -> T:
        return await awaitable

    Deferred.fromCoroutine(wait()).addBoth(results.append)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    result: T = results[0]
    return result


if __name__ == "__main__":
    main()
