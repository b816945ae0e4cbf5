"""Uploads that can be gone on with, by tus 1.0.0."""

from __future__ import annotations

import http.client
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from benchmarks import load
from benchmarks.peers.base import TUS, Server, Transfer
from benchmarks.report import Case
from benchmarks.support import Content, make_content, touch_memory
from benchmarks.workloads.base import Bench
from benchmarks.workloads.memory import most_memory

#: How many uploads there are at once.
CLIENTS = 32

#: How large a small PATCH is, in bytes, and how many make an object.
PIECE = 1 << 20
PIECES = 64


class Tus:
    """Bytes per second, processor time and memory of a server of tus."""

    name = "tus"
    about = "uploads by tus: in one request, in two, in many small ones, and 32 at once"
    needs = TUS
    tools = ()

    def run(self, bench: Bench) -> None:
        """See :meth:`~benchmarks.workloads.base.Workload.run`."""
        bench.note(
            "Every upload is of another object; the request that creates it is not measured."
        )
        bench.note(
            "giftless reads the bytes of an upload of several requests back before it becomes an"
            " object, for their hash; that is measured as well."
        )
        for number, peer in itertools.product(range(bench.rounds + 1), bench.peers):
            with bench.start(peer) as server:
                # The first round only warms the machine.
                self._measure(bench, server, number)
            for directory in bench.root.glob(f"{peer.name}-*"):
                shutil.rmtree(directory)

    def _measure(self, bench: Bench, server: Server, number: int) -> None:
        """Measure a server that was started for it: what it stored goes with it."""
        part = bench.size // CLIENTS
        whole = make_content(bench.root / "whole", bench.size, number)
        halves = make_content(bench.root / "halves", bench.size, number)
        small = make_content(bench.root / "small", PIECE * PIECES, number)
        many = [make_content(bench.root / f"part-{each}", part, number) for each in range(CLIENTS)]
        size, each = f"{bench.size >> 20} MiB", f"{part >> 20} MiB"
        for name, contents, piece in (
            (f"{size} in one PATCH", [whole], bench.size),
            (f"{size} in two", [halves], -(-bench.size // 2)),
            (f"{PIECES} MiB in PATCHes of 1 MiB", [small], PIECE),
            (f"{CLIENTS} x {each} at once", many, part),
        ):
            cases = (
                Case(name, "MB/s"),
                Case(f"processor, {name}", "s/GB", more=False, digits=2),
                Case(f"memory, {name}", "MB", more=False, digits=1),
            )
            with bench.attempt(server.peer, *cases):
                values = _upload(server, contents, piece)
                for case, value in zip(cases, values, strict=True) if number else ():
                    bench.add(case, server.peer, value)


def _upload(server: Server, contents: Sequence[Content], piece: int) -> tuple[float, float, float]:
    """Upload all of ``contents`` at once, each in pieces of so many bytes.

    :returns: MB/s; the seconds of a processor that the server took for a GB; and the most
        memory that it held, in MB.
    """
    transfers = [server.resumable(content) for content in contents]
    # What another left to be written to the disk must not slow this one down.
    os.sync()
    touch_memory()
    taken = 0.0

    def move() -> None:
        nonlocal taken
        start = time.perf_counter()
        if piece >= contents[0].size:
            load.move([_at(transfer, 0) for transfer in transfers], contents)
        else:
            _send(transfers[0], contents[0], piece)
        taken = time.perf_counter() - start

    before = server.processor_time()
    most = most_memory(server, move)
    spent = server.processor_time() - before
    total = sum(content.size for content in contents)
    return total / 1e6 / taken, spent / total * 1e9, most / 1e6


def _at(transfer: Transfer, offset: int) -> Transfer:
    """Return a request for the bytes from there on."""
    headers = {
        "Tus-Resumable": "1.0.0",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
    }
    return replace(transfer, headers={**transfer.headers, **headers})


def _send(transfer: Transfer, content: Content, piece: int) -> None:
    """Send a file in pieces, one after the other, over one connection.

    :raises RuntimeError: if one is refused.
    """
    url = urlsplit(transfer.url)
    target = f"{url.path}?{url.query}" if url.query else url.path
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    try:
        for offset, data in _pieces(content, piece):
            headers = dict(_at(transfer, offset).headers)
            connection.request("PATCH", target, data, headers)
            reply = connection.getresponse()
            reply.read()
            if reply.status != 204:
                raise RuntimeError(f"{transfer.url}: {reply.status} at {offset}")
    finally:
        connection.close()


def _pieces(content: Content, size: int) -> Iterator[tuple[int, bytes]]:
    assert content.path is not None
    with content.path.open("rb") as file:
        while data := file.read(size):
            yield file.tell() - len(data), data
