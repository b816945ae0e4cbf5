"""Large objects, alone and many at once."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Sequence

from benchmarks import load
from benchmarks.peers.base import BYTES, Peer, Server
from benchmarks.report import Case
from benchmarks.support import PATIENCE, Content, make_content, touch_memory
from benchmarks.workloads.base import Bench

#: How many clients transfer at once.
CLIENTS = 32


class Large:
    """Bytes per second of uploads and downloads."""

    name = "large"
    about = "uploads and downloads of large objects, alone and 32 at once"
    needs = BYTES
    tools = ()

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`."""
        part = bench.size // 16
        bench.note("Every upload is of another object.")
        bench.note(
            f"The {CLIENTS} at once are of {part >> 20} MiB each, to bound what the disk must hold."
        )
        bench.note(
            "Before each upload free memory is used once, as much as can be had in"
            f" {PATIENCE} s: the host of a virtual machine may have taken it back, and giving it"
            " anew takes longer than what is measured."
        )
        for number, peer in itertools.product(range(bench.rounds + 1), bench.peers):
            one = [make_content(bench.root / "large", bench.size, number)]
            many = [
                make_content(bench.root / f"part-{index}", part, number) for index in range(CLIENTS)
            ]
            # The first round only warms the machine.
            self._measure(bench, peer, one, many, record=number > 0)

    def _measure(
        self,
        bench: Bench,
        peer: Peer,
        one: Sequence[Content],
        many: Sequence[Content],
        record: bool,
    ) -> None:
        """Measure a server that was started for it: what it stored goes with it."""
        with bench.start(peer) as server:
            for operation, contents in itertools.product(("upload", "download"), (one, many)):
                size = f"{contents[0].size >> 20} MiB"
                many_at_once = f"{len(contents)} x " if len(contents) > 1 else ""
                verb = "PUT" if operation == "upload" else "GET"
                case = Case(f"{verb} {many_at_once}{size}", "MB/s")
                with bench.attempt(peer.name, case):
                    speed = move(server, operation, contents)
                    if record:
                        bench.add(case, peer.name, speed)
                    elif operation == "download":
                        load.check(server.transfer(operation, contents[0]), contents[0])
        for directory in bench.root.glob(f"{peer.name}-*"):
            shutil.rmtree(directory)


def move(server: Server, operation: str, contents: Sequence[Content]) -> float:
    """Transfer all of ``contents`` at once; returns MB/s."""
    transfers = [server.transfer(operation, content) for content in contents]
    # What another left to be written to the disk must not slow this one down.
    os.sync()
    if operation == "upload":
        touch_memory()
    start = time.perf_counter()
    load.move(transfers, contents)
    return sum(content.size for content in contents) / 1e6 / (time.perf_counter() - start)
