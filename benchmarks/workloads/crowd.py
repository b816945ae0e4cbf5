"""Batches while many others are connected."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import load
from benchmarks.peers.base import LFS, Server, batch_body
from benchmarks.report import Case
from benchmarks.support import Content, make_content
from benchmarks.workloads.base import Bench
from benchmarks.workloads.batch import OBJECTS, check, contents

#: Of each slow download, in bytes a second.
RATE = 50_000

IDLE, SLOW = 1000, 200

#: How many connections send batches.
CLIENTS = 4

#: Large enough for the slowest to last through a measurement.
_SIZE = 64 << 20


class CrowdedBatch:
    """How long a batch takes, alone and in a crowd."""

    name = "crowd"
    about = f"batches of 100, alone and beside {IDLE} idle connections and {SLOW} slow downloads"
    needs = LFS
    tools = ("wrk",)

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`."""
        objects = contents(bench.root, "here", OBJECTS)
        slow = make_content(bench.root / "slow", _SIZE)
        for _ in range(bench.rounds):
            for peer in bench.peers:
                with bench.start(peer) as server:
                    for content in (*objects, slow):
                        server.store(content)
                    self._measure(bench, server, objects, slow)

    def _measure(self, bench: Bench, server: Server, objects: list[Content], slow: Content) -> None:
        check(server, "download", objects)
        with bench.attempt(server.peer, *_ALONE, *_CROWDED):
            alone = self._batches(bench, server, objects)
            for case, seconds in zip(_ALONE, (alone.median, alone.p99), strict=True):
                bench.add(case, server.peer, seconds * 1000)
        with bench.attempt(server.peer, *_CROWDED):
            with crowd(server, IDLE, SLOW, slow) as facts:
                beside = self._batches(bench, server, objects)
            if (facts["idle"], facts["slow"]) != (IDLE, SLOW):
                bench.note(
                    f"{server.peer} kept {facts['idle']:.0f} of the idle connections and"
                    f" {facts['slow']:.0f} of the slow downloads"
                )
            values = (beside.median * 1000, beside.p99 * 1000, beside.p99 / alone.p99)
            for case, value in zip(_CROWDED, values, strict=True):
                bench.add(case, server.peer, value)

    def _batches(self, bench: Bench, server: Server, objects: list[Content]) -> load.Answers:
        return load.batches(
            f"{server.lfs_url()}/objects/batch",
            batch_body("download", objects),
            CLIENTS,
            bench.seconds * 3,
            bench.root,
        )


_ALONE = tuple(Case(f"{name} alone", "ms", more=False, digits=1) for name in ("p50", "p99"))

_CROWDED = (
    Case("p50 in the crowd", "ms", more=False, digits=1),
    Case("p99 in the crowd", "ms", more=False, digits=1),
    Case("p99 in the crowd / p99 alone", "times", more=False, digits=2),
)


@contextmanager
def crowd(server: Server, idle: int, slow: int, content: Content) -> Iterator[dict[str, float]]:
    """Hold connections beside the block.

    :param content: what the slow ones download.
    :returns: facts, once the block is over: how many connections were still
        there (``idle``, ``slow``), and the ``rate`` of the slow ones.
    :raises RuntimeError: if not all downloads begin.
    """
    transfer = server.transfer("download", content)
    command = [
        *(sys.executable, "-m", "benchmarks.crowd", transfer.url, str(idle), str(slow)),
        *(str(RATE), json.dumps(dict(transfer.headers))),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        facts: dict[str, float] = {}
        try:
            begun = json.loads(process.stdout.readline())
            if begun["slow"] < slow:
                raise RuntimeError(f"only {begun['slow']} of {slow} downloads begin")
            yield facts
        finally:
            process.stdin.close()
            facts.update(json.loads(process.stdout.readline()))
