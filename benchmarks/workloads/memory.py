"""How much memory servers hold, and whether it grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from benchmarks import load
from benchmarks.peers.base import LFS, Server, batch_body
from benchmarks.report import Case
from benchmarks.support import PATIENCE, Content, make_content
from benchmarks.workloads.base import Bench
from benchmarks.workloads.batch import OBJECTS, contents
from benchmarks.workloads.crowd import crowd
from benchmarks.workloads.large import CLIENTS, move

#: How many connections are idle; the second number less the first is weighed.
_FEW, _MANY = 500, 2000

#: How many requests must not make a server grow.
REQUESTS = 100_000

#: How often memory is looked at during a load, in seconds.
_INTERVAL = 0.1

#: In which time a server must not grow to count as started, in seconds.
_SETTLING = 1.0

_START = Case("at the start", "MB", more=False, digits=1)
_PER_CONNECTION = Case("per idle connection", "kB", more=False, digits=1)
_BATCHES = Case("most, 64 connections that send batches of 100", "MB", more=False, digits=1)
_UPLOADS = Case(f"most, {CLIENTS} uploads at once", "MB", more=False, digits=1)
_GROWTH = Case(f"growth over {REQUESTS} requests", "MB", more=False, digits=1, ratio=False)


class Memory:
    """Memory, with what processes of a server share counted once."""

    name = "memory"
    about = "memory of all processes of a server (proportional set size)"
    needs = LFS
    tools = ("wrk",)

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`."""
        small = contents(bench.root, "here", OBJECTS)
        for number in range(bench.rounds):
            large = [
                make_content(bench.root / f"part-{index}", bench.size // 16, number)
                for index in range(CLIENTS)
            ]
            for peer in bench.peers:
                with bench.start(peer) as server:
                    self._measure(bench, server, small, large)

    def _measure(
        self, bench: Bench, server: Server, small: list[Content], large: list[Content]
    ) -> None:
        bench.add(_START, server.peer, _settled(server) / 1e6)
        for content in small:
            server.store(content)
        url = f"{server.lfs_url()}/objects/batch"
        body = batch_body("download", small)

        with bench.attempt(server.peer, _PER_CONNECTION):
            # The first ones take what is left over from the start.
            with crowd(server, _FEW, 0, small[0]):
                before = server.memory()
            with crowd(server, _MANY, 0, small[0]) as facts:
                each = (server.memory() - before) / (_MANY - _FEW)
            if facts["idle"] < _MANY:
                bench.note(f"{server.peer} kept {facts['idle']:.0f} of {_MANY} connections")
            bench.add(_PER_CONNECTION, server.peer, each / 1e3)
        with bench.attempt(server.peer, _BATCHES):
            seconds = bench.seconds * 2
            most = most_memory(server, lambda: load.batches(url, body, 64, seconds, bench.root))
            bench.add(_BATCHES, server.peer, most / 1e6)
        with bench.attempt(server.peer, _UPLOADS):
            most = most_memory(server, lambda: move(server, "upload", large))
            bench.add(_UPLOADS, server.peer, most / 1e6)
        if not bench.quick:
            with bench.attempt(server.peer, _GROWTH):
                before = server.memory()
                single = batch_body("download", small[:1])
                done = 0
                while done < REQUESTS:
                    done += load.batches(url, single, 16, 5, bench.root).requests
                bench.add(_GROWTH, server.peer, (server.memory() - before) / 1e6)


def _settled(server: Server) -> int:
    """Return the memory of a server that has started all its processes, in bytes.

    The first worker answers while others still start.
    """
    deadline = time.monotonic() + PATIENCE
    before, now = 0, server.memory()
    while abs(now - before) > now / 1000 and time.monotonic() < deadline:
        time.sleep(_SETTLING)
        before, now = now, server.memory()
    return now


def most_memory(server: Server, work: Callable[[], object]) -> int:
    """Return the most memory that a server holds during ``work``, in bytes."""
    over = threading.Event()
    most = [server.memory()]

    def watch() -> None:
        while not over.wait(_INTERVAL):
            most.append(server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    return max(most)
