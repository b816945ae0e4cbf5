"""Batches: what every push and every pull begins with."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from benchmarks import load
from benchmarks.peers.base import LFS, Server, batch_body
from benchmarks.report import Case
from benchmarks.support import Content
from benchmarks.workloads.base import Bench

#: How many objects git-lfs puts into one batch.
OBJECTS = 100


class Batch:
    """Objects per second that a server tells clients what to do with."""

    name = "batch"
    about = "batches of objects that are there, missing, or half of each"
    needs = LFS
    tools = ("wrk",)

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`."""
        here = contents(bench.root, "here", OBJECTS)
        absent = contents(bench.root, "absent", OBJECTS)
        mixed = [*here[: OBJECTS // 2], *absent[OBJECTS // 2 :]]
        sets = {"present": here, "missing": absent, "mixed": mixed}
        connections = (16,) if bench.quick else (1, 16, 64)
        with bench.all() as servers:
            for server in servers:
                for content in here:
                    server.store(content)
            for count, operation, (kind, objects), clients in itertools.product(
                (OBJECTS, 1), ("upload", "download"), sets.items(), connections
            ):
                if count == 1 and kind == "mixed":
                    continue
                case = Case(
                    f"{operation} of {count}, {kind}, {clients}"
                    f" connection{'s' if clients > 1 else ''}",
                    "objects/s",
                )
                for _, server in itertools.product(range(bench.rounds), servers):
                    with bench.attempt(server.peer, case):
                        rate = measure(bench, server, operation, objects[:count], clients)
                        bench.add(case, server.peer, rate)


def measure(
    bench: Bench, server: Server, operation: str, objects: Sequence[Content], clients: int
) -> float:
    """Return the objects per second of one measurement."""
    check(server, operation, objects)
    url = f"{server.lfs_url()}/objects/batch"
    body = batch_body(operation, objects)
    result = load.batches(url, body, clients, bench.seconds, bench.root)
    return result.requests * len(objects) / result.seconds


def check(server: Server, operation: str, objects: Sequence[Content]) -> None:
    """Make sure that a server really answers for each object.

    :raises AssertionError: if it does not.
    """
    reply = server.batch(operation, objects)
    assert [item["oid"] for item in reply] == [content.oid for content in objects], reply


def contents(root: Path, name: str, count: int, size: int = 1000) -> list[Content]:
    """Make small objects; those of the same name are always the same."""
    made = []
    for number in range(count):
        data = f"{name} {number} ".encode().ljust(size, b".")
        path = root / f"{name}-{number}"
        path.write_bytes(data)
        made.append(Content(hashlib.sha256(data).hexdigest(), size, path))
    return made
