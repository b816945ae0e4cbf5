"""What locks cost: to make one, and to ask for all 10,000 of a repository.

Each is timed beside the floor of the same run: the same statements by the
database's driver alone, in one thread, on a database of the same kind with the
same durability.

- Creation: eight clients lock paths, each over one kept connection, against
  eight connections to PostgreSQL, or one to SQLite, that insert rows.
- Verification: one client asks for everything page by page, as a push does,
  against the driver fetching the same rows in pages of the same size.

    python -m benchmarks.locks [--rounds N] [--locks N] [--store sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import SkipTest

from benchmarks.support import giftless
from giftless.locks.store import LOCKS
from tests.support.postgresql import PostgreSQLServer, postgresql

#: How many clients create locks at once.
CLIENTS = 8

#: How many locks each of them makes in one round.
EACH = 250

#: How many locks a client gets at once, if it does not say.
PAGE = 100

INSERT = (
    "INSERT INTO giftless_locks (id, repo, path, owner, locked_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
SELECT = (
    "SELECT number, id, path, owner, locked_at FROM giftless_locks"
    " WHERE repo = ? AND number < ? ORDER BY number DESC LIMIT ?"
)

_numbers = itertools.count()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--locks", type=int, default=10_000, help="how many a verification tells")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), help="only this one")
    # How this program is run again as one of several clients.
    parser.add_argument("--client", nargs=2, metavar=("KIND", "PLACE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        return serve(*options.client)
    for store in (options.store,) if options.store else ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
            try:
                with section(store, Path(directory)) as (settings, floor):
                    run(store, Path(directory), settings, floor, options)
            except SkipTest as reason:
                print(f"{store}: {reason}")


@contextmanager
def section(store: str, root: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Prepare a store; yields its section and the place of the floor's database."""
    if store == "sqlite":
        yield {"type": "sqlite", "path": str(root / "locks.sqlite")}, str(root / "floor.sqlite")
        return
    with ExitStack() as stack:
        directory = root / "postgresql"
        directory.mkdir()
        server: PostgreSQLServer = stack.enter_context(postgresql(directory))
        conninfo, floor = (server.conninfo(server.make_database()) for _ in range(2))
        yield {"type": "postgresql", "conninfo": conninfo}, floor


def run(
    store: str, root: Path, settings: dict[str, Any], place: str, options: argparse.Namespace
) -> None:
    """Compare the daemon over one store with its floor."""
    floor = connect(store, place)
    for script in LOCKS.schema(store).scripts:
        (floor.executescript if store == "sqlite" else floor.execute)(script)
    with giftless(root, locks={"anonymous": True, **settings}) as url:
        # SQLite has one writer; more would only wait for each other.
        floors = [client(store, place) for _ in range(CLIENTS if store == "postgresql" else 1)]
        clients = [client("http", url) for _ in range(CLIENTS)]
        try:
            creations = compare(
                lambda: create(floors, CLIENTS * EACH),
                lambda: create(clients, CLIENTS * EACH),
                options.rounds,
            )
        finally:
            for process in (*floors, *clients):
                assert process.stdin is not None
                process.stdin.close()
                process.wait()
        report(store, "creation", "locks/s", creations)
        repo = "bench/verify"
        sender, raw = sending(url, repo), inserting(store, place, repo)
        for number in range(options.locks):
            sender(f"folder/{number}.bin")
            raw(f"folder/{number}.bin")
        ask = Verification(url, repo, options.locks)
        fetch = lambda: page_through(store, floor, repo, options.locks)  # noqa: E731
        verifications = compare(fetch, ask.everything, options.rounds)
        report(store, f"verification of {options.locks}", "a second", verifications)
    floor.close()


def compare(
    floor: Callable[[], float], daemon: Callable[[], float], rounds: int
) -> list[tuple[float, float]]:
    """Measure both in turn; each returns how many it did a second."""
    floor(), daemon()
    return [(floor(), daemon()) for _ in range(rounds)]


def report(store: str, what: str, unit: str, results: list[tuple[float, float]]) -> None:
    """Print the medians, and the ratio with its spread."""
    ratios = sorted(daemon / floor for floor, daemon in results)
    floor, daemon = (statistics.median(column) for column in zip(*results, strict=True))
    print(
        f"{store}, {what}: giftless {daemon:.1f} {unit}, driver alone {floor:.1f};"
        f" ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


# --- creation: each client is a process, told how many and a prefix ----------------


def client(kind: str, place: str) -> subprocess.Popen[str]:
    """Start a client."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.locks", "--client", kind, place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def create(clients: list[subprocess.Popen[str]], total: int) -> float:
    """Let clients make locks at once; returns how many a second."""
    begun = time.perf_counter()
    for process in clients:
        assert process.stdin is not None
        process.stdin.write(f"{total // len(clients)} round{next(_numbers)}\n")
        process.stdin.flush()
    for process in clients:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    return total / (time.perf_counter() - begun)


def serve(kind: str, place: str) -> None:
    """Be a client: for each line of standard input make so many locks."""
    lock = sending(place, "bench/create") if kind == "http" else inserting(kind, place, "bench")
    for line in sys.stdin:
        count, prefix = line.split()
        for number in range(int(count)):
            lock(f"{prefix}/{number}.bin")
        print("done", flush=True)


def sending(url: str, repo: str) -> Callable[[str], None]:
    """Return what locks a path over HTTP."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def lock(path: str) -> None:
        connection.request("POST", f"/{repo}/locks", json.dumps({"path": path}))
        reply = connection.getresponse()
        body = reply.read()
        assert reply.status == 201, body

    return unique(lock)


def inserting(store: str, place: str, repo: str) -> Callable[[str], None]:
    """Return what inserts a row by the driver alone."""
    connection = connect(store, place)
    statement = INSERT if store == "sqlite" else INSERT.replace("?", "%s")

    def lock(path: str) -> None:
        row = (f"{repo}{path}", repo, path, "anonymous", 1_700_000_000)
        assert connection.execute(statement, row).rowcount == 1

    return unique(lock)


def unique(lock: Callable[[str], None]) -> Callable[[str], None]:
    """Give every process paths of its own."""
    prefix = f"{time.time_ns()}"
    return lambda path: lock(f"{prefix}/{path}")


def connect(store: str, place: str) -> Any:
    """Connect as the daemon does, with its durability."""
    if store == "sqlite":
        connection = sqlite3.connect(place, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection
    import psycopg

    return psycopg.connect(place, autocommit=True)


# --- verification --------------------------------------------------------------------


class Verification:
    """One connection that asks for all locks, again and again."""

    def __init__(self, url: str, repo: str, count: int) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._url = f"/{repo}/locks/verify"
        self._count = count

    def everything(self) -> float:
        """Ask page by page; returns how often that could be done a second."""
        begun = time.perf_counter()
        found, cursor = 0, ""
        while True:
            self._connection.request("POST", self._url, json.dumps({"cursor": cursor}))
            reply = json.loads(self._connection.getresponse().read())
            found += len(reply["ours"]) + len(reply["theirs"])
            cursor = reply.get("next_cursor", "")
            if not cursor:
                break
        assert found == self._count, found
        return 1 / (time.perf_counter() - begun)


def page_through(store: str, connection: Any, repo: str, count: int) -> float:
    """Fetch all rows page by page; returns how often that could be done a second."""
    statement = SELECT if store == "sqlite" else SELECT.replace("?", "%s")
    begun = time.perf_counter()
    found, number = 0, 2**62
    while rows := connection.execute(statement, (repo, number, PAGE)).fetchall():
        found += len(rows)
        number = rows[-1][0]
    assert found == count, found
    return 1 / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
