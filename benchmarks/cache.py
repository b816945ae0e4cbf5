"""What a cache does: many clients and one cold object, and how fast warm ones are served.

A bucket of versitygw is behind a network of 20 ms and 200 MB/s, unless told otherwise.  One
client reads an object of it through the server without a cache; then many read it at the same
time through one with an empty cache.  Of these it is said how often the bucket was asked, when
each had its first byte and all of them the last one, and how much memory the server took.  As
many read it from a local store then, and from nginx where that is installed: more than that the
machine cannot send.  At last one client reads it from the cache and from the local store in
turn.

    python -m benchmarks.cache [--size BYTES] [--clients N] [--rate BYTES]
        [--seconds N] [--rounds N] [--workers N]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import selectors
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.base import Missing, Place
from benchmarks.peers.nginx import Nginx
from benchmarks.support import (
    Content,
    giftless_command,
    make_content,
    memory,
    processor_time,
    running,
)
from tests.support.ports import free_port
from tests.support.servers import versitygw
from tests.support.throttled import throttled

#: How much is read at once, in bytes, and at first: the clock of the next client goes on.
READ: Final = 1 << 20
FIRST_READ: Final = 4096

#: Lets the kernel throw away what was received, so that reading costs the clients nothing.
_DISCARD: Final = socket.MSG_TRUNC


@dataclass
class Reading:
    """What a client has read.

    :ivar sent: when it has sent its request.
    :ivar length: how many bytes of the object have come.
    :ivar first: after how many seconds its first byte came; 0 before.
    :ivar last: when its last byte came, in seconds after the first request.
    :ivar head: what has come before the first byte of the object.
    :ivar digest: of the object's bytes; only the first client computes it.
    """

    sent: float
    length: int = 0
    first: float = 0.0
    last: float = 0.0
    head: bytes = b""
    digest: Any = None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--size", type=int, default=2 << 30)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200e6)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        content = make_content(root / "object", options.size)
        (root / "s3").mkdir()
        with versitygw(root / "s3") as server, throttled(server.port, rate=options.rate) as far:
            server.create("lfs")
            place = server.buckets / "lfs" / "org" / "repo"
            place.mkdir(parents=True)
            assert content.path is not None
            (place / content.oid).hardlink_to(content.path)
            section = {
                **server.options("lfs", mode="proxy"),
                "endpoint_url": f"http://127.0.0.1:{far.port}",
            }
            with daemon(root, "plain", options.workers, section) as (port, _):
                (one,) = read(port, content, 1)
            single = one.last
            print(f"one client without a cache: {single:.2f} s", flush=True)
            cached = {"type": "cache", "path": str(root / "cache"), "limit": "1T", "store": section}
            with daemon(root, "cached", options.workers, cached) as (port, pid):
                before, quiet, used = far.counts(), memory(pid), processor_time(pid)
                with watched(pid) as peak:
                    readings = read(port, content, options.clients)
                after = far.counts()
                told = sorted(reading.first for reading in readings)
                total = max(reading.last for reading in readings)
                get = f"GET {content.oid}"
                asked = after[get] - before.get(get, 0)
                fetched = (after["bytes"] - before["bytes"]) / content.size
                print(
                    f"{options.clients} clients, cold: {total:.2f} s ({total / single:.2f} of one),"
                    f" first bytes after {told[0] * 1000:.0f} to {told[-1] * 1000:.0f} ms (median"
                    f" {statistics.median(told) * 1000:.0f} ms); {asked} GET, {fetched:.3f} of the"
                    f" object's bytes fetched; {processor_time(pid) - used:.2f} s of a processor;"
                    f" memory {quiet / 1e6:.0f} to {peak[0] / 1e6:.0f} MB",
                    flush=True,
                )
                local = root / "store" / "org" / "repo"
                local.mkdir(parents=True)
                shutil.copyfile(content.path, local / content.oid)
                section = {"type": "local", "path": str(root / "store")}
                with daemon(root, "local", options.workers, section) as plain:
                    sent = crowd(plain[0], content, options.clients, "a local store")
                    print(
                        "cold, beside the longer of a single transfer and of a local store's:"
                        f" {total / max(single, sent):.2f}",
                        flush=True,
                    )
                    compare((port, pid), plain, content, options)
            with contextlib.suppress(Missing), nginx(root, content, options.workers) as other:
                crowd(other, content, options.clients, "nginx")


def crowd(port: int, content: Content, clients: int, name: str) -> float:
    """Let many clients read an object from a server's own disk, and print how long that takes.

    :returns: that, in seconds.
    """
    total = max(reading.last for reading in read(port, content, clients))
    print(f"{clients} clients of {name}: {total:.2f} s", flush=True)
    return total


@contextmanager
def nginx(root: Path, content: Content, workers: int) -> Iterator[int]:
    """Run nginx with an object; yields its port.

    :raises Missing: if it is not installed.
    """
    peer, place = Nginx(), root / "nginx"
    peer.version()
    place.mkdir()
    with peer.start(Place(place, workers)) as server:
        served = place / "www" / "org" / "repo" / "objects" / "storage"
        served.mkdir(parents=True)
        assert content.path is not None
        (served / content.oid).hardlink_to(content.path)
        yield int(server.url.rpartition(":")[2])


def compare(
    cached: tuple[int, int],
    plain: tuple[int, int],
    content: Content,
    options: argparse.Namespace,
) -> None:
    """Read an object from a cache and from a local store in turn, and print how fast that is.

    :param cached: the port and the process of the server with the cache.
    :param plain: those of the one with the local store.
    """
    rates: list[float] = []
    costs: list[float] = []
    # The first round only warms.
    for number in range(options.rounds + 1):
        warm, base = (rate(*each, content, options.seconds) for each in (cached, plain))
        if number:
            rates.append(warm[0] / base[0])
            costs.append(warm[1] / base[1])
    print(
        f"warm, beside a local store: {statistics.median(rates):.2f} of the rate (rounds from"
        f" {min(rates):.2f} to {max(rates):.2f}), {statistics.median(costs):.2f} of the processor"
        f" time"
    )


@contextmanager
def daemon(
    root: Path, name: str, workers: int, storage: dict[str, Any]
) -> Iterator[tuple[int, int]]:
    """Run a server; yields its port and the id of its process."""
    port, place = free_port(), root / name
    place.mkdir()
    command = giftless_command(place, port, storage=storage, workers=workers)
    with running(command, port, place) as process:
        yield port, process.pid


@contextmanager
def watched(pid: int) -> Iterator[list[int]]:
    """Watch how much memory a process and its descendants take; yields the most."""
    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            most[0] = max(most[0], memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def read(port: int, content: Content, clients: int) -> list[Reading]:
    """Let clients read all of an object at the same time.

    :raises RuntimeError: if one does not get all, or the first one something else.
    """
    request = f"GET /org/repo/objects/storage/{content.oid} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    buffer = bytearray(READ)
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        readings = []
        for number in range(clients):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(request.encode())
            reading = Reading(time.perf_counter())
            reading.digest = None if number else hashlib.sha256()
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, reading)
            readings.append(reading)
        left = clients
        while left:
            for key, _ in selector.select():
                if _receive(key.fileobj, key.data, buffer):
                    if key.data.length == content.size:
                        key.data.last = time.perf_counter() - began
                        left -= 1
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
                    continue
                raise RuntimeError(f"a client got {key.data.length} of {content.size} bytes")
    if readings[0].digest.hexdigest() != content.oid:
        raise RuntimeError("the bytes are not those of the object")
    return readings


def _receive(connection: Any, reading: Reading, buffer: bytearray) -> bool:
    """Receive some; return whether the connection goes on."""
    discards = reading.first and reading.digest is None
    wanted = READ if reading.first else FIRST_READ
    count = connection.recv_into(buffer, wanted, _DISCARD if discards else 0)
    if not count:
        return False
    data = memoryview(buffer)[:count]
    if not reading.first:
        reading.head += bytes(data)
        head, end, rest = reading.head.partition(b"\r\n\r\n")
        if not end or not rest:
            return True
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(head.decode("latin-1"))
        reading.first = time.perf_counter() - reading.sent
        data = memoryview(rest)
    if reading.digest is not None:
        reading.digest.update(data)
    reading.length += len(data) if not discards else count
    return True


def rate(port: int, pid: int, content: Content, seconds: float) -> tuple[float, float]:
    """Let one client read an object again and again.

    :returns: bytes a second, and seconds of a processor that each byte takes.
    """
    request = f"GET /org/repo/objects/storage/{content.oid} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    buffer = bytearray(READ)
    total, began, used = 0, time.perf_counter(), processor_time(pid)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while time.perf_counter() - began < seconds:
            connection.sendall(request.encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(READ)
            left = content.size - len(head.partition(b"\r\n\r\n")[2])
            while left:
                count = connection.recv_into(buffer, min(left, READ), _DISCARD)
                if not count:
                    raise RuntimeError("the server has closed the connection")
                left -= count
            total += content.size
    return total / (time.perf_counter() - began), (processor_time(pid) - used) / total


if __name__ == "__main__":
    main()
