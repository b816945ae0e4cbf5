"""What encryption at rest costs: a daemon with it beside one without, and OpenSSL as the limit.

Both run at once and are measured in turn, so what the machine does beside falls on both.
Three limits are measured in this process, on one thread: OpenSSL itself ("openssl speed"), the
way of sealing in segments without a server, and SHA-256, which each upload passes as well.

    python -m benchmarks.encryption [--rounds N] [--size MIB]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from benchmarks import load
from benchmarks.peers.base import Server, Transfer
from benchmarks.support import Content, giftless_command, make_content, running, timed
from giftless.storage.encrypted.keyfile import new_line
from giftless.storage.encrypted.segments import HEADER_SIZE, SegmentOpener, SegmentSealer
from tests.support.ports import free_port

MIB: Final = 1 << 20

#: How many small objects are sent in a round, and how large each is, in bytes.
SMALL: Final = (100, 20_000)

#: How many short ranges are read in a round.
RANGES: Final = 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="of the large object, in MiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        for line in limits(options.size * MIB):
            print(line, flush=True)
        with ExitStack() as stack:
            servers = dict(start(root, stack))
            measure(servers, root, options.rounds, options.size * MIB)


def limits(size: int) -> Iterator[str]:
    """Say how fast this machine encrypts and hashes without a server."""
    speed = subprocess.run(
        ["openssl", "speed", "-seconds", "2", "-bytes", str(MIB), "-evp", "aes-256-gcm"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (found,) = re.findall(r"(?m)^AES-256-GCM +([0-9.]+)k$", speed)
    yield f"openssl speed -evp aes-256-gcm: {float(found) / 1000:.0f} MB/s"
    key, data = os.urandom(32), os.urandom(size)
    chunks = [data[at : at + 64 * 1024] for at in range(0, size, 64 * 1024)]
    sealer = SegmentSealer(key, b"")

    def seal() -> None:
        # As a server does, which does not keep what it has sealed.
        for chunk in chunks:
            sealer.update([chunk])
        sealer.finish()

    yield f"sealed in segments, one thread: {size / spent(seal) / 1e6:.0f} MB/s"
    sealer = SegmentSealer(key, b"")
    whole = b"".join([*sealer.update([data]), *sealer.finish()])
    opener = SegmentOpener(key, b"", whole[:HEADER_SIZE], len(whole))
    parts = [(each, whole[each.start : each.end]) for each in opener.segments(0, size)]

    def unseal() -> None:
        for each, part in parts:
            opener.open(each, part)

    yield f"opened, one thread: {size / spent(unseal) / 1e6:.0f} MB/s"
    yield f"SHA-256, one thread: {size / spent(lambda: sha256(data)) / 1e6:.0f} MB/s"


def spent(operation: Callable[[], object]) -> float:
    """Return how many seconds of the processor something takes: what OpenSSL counts as well."""
    began = time.thread_time()
    operation()
    return time.thread_time() - began


def start(root: Path, stack: ExitStack) -> Iterator[tuple[str, Server]]:
    """Start the daemons; yields each by its name."""
    keys = root / "keys"
    keys.touch(0o600)
    keys.write_bytes(new_line("one"))
    for name in ("plain", "encrypted"):
        place = root / name
        place.mkdir()
        port = free_port()
        storage: dict[str, Any] = {"type": "local", "path": str(place / "store")}
        if name == "encrypted":
            section = {"type": "file", "path": str(keys)}
            storage = {"type": name, "keys": section, "store": storage}
        command = giftless_command(place, port, storage=storage)
        process = stack.enter_context(running(command, port, place))
        yield name, Server(name, f"http://127.0.0.1:{port}", process.pid)


def measure(servers: dict[str, Server], root: Path, rounds: int, size: int) -> None:
    """Measure both daemons, and print."""
    results: dict[str, dict[str, list[float]]] = {name: {} for name in servers}
    # The first round only warms the machine.
    for number in range(rounds + 1):
        large = make_content(root / "large", size, number)
        small = [
            make_content(root / f"small-{each}", SMALL[1], number * SMALL[0] + each)
            for each in range(SMALL[0])
        ]
        for name, server in servers.items():
            taken = {
                **_moved(server, [large], "large"),
                **_moved(server, small, "small"),
                "ranges a second": RANGES / timed(lambda: _ranges(server, large)),  # noqa: B023
            }
            for what, value in taken.items() if number else ():
                results[name].setdefault(what, []).append(value)
    print(f"\n{size // MIB} MiB, {SMALL[0]} x {SMALL[1]} bytes, ranges of 64 KiB; medians")
    for what in results["plain"]:
        plain, sealed = (results[name][what] for name in ("plain", "encrypted"))
        paired = statistics.median(b / a for a, b in zip(plain, sealed, strict=True))
        print(
            f"  {what:32} plain {statistics.median(plain):8.4g}"
            f"  encrypted {statistics.median(sealed):8.4g}  ratio {paired:.2f}"
        )


def _moved(server: Server, contents: list[Content], name: str) -> dict[str, float]:
    """Upload and download objects, one after the other."""
    total = sum(content.size for content in contents)
    taken = {}
    for method, operation in (("PUT", "upload"), ("GET", "download")):
        transfers = [server.transfer(operation, content) for content in contents]
        used = server.processor_time()
        seconds = timed(lambda: _move(transfers, contents))  # noqa: B023
        taken[f"{method} {name}, MB/s"] = total / seconds / 1e6
        spent = server.processor_time() - used
        taken[f"{method} {name}, processor s/GB"] = spent / total * 1e9
    return taken


def _move(transfers: list[Transfer], contents: list[Content]) -> None:
    """Do some transfers, one after the other."""
    for transfer, content in zip(transfers, contents, strict=True):
        load.move([transfer], [content])


def _ranges(server: Server, content: Content) -> None:
    """Read short ranges of an object."""
    transfer = server.transfer("download", content)
    for number in range(RANGES):
        start = (number * 7919 * 4096) % (content.size - 65536)
        headers = {**transfer.headers, "Range": f"bytes={start}-{start + 65535}"}
        request = urllib.request.Request(transfer.url, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert len(reply.read()) == 65536


if __name__ == "__main__":
    main()
