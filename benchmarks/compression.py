"""What compressing objects costs and saves: with it, without it, and beside others.

The servers run at once and are measured in turn, a round for each, so what the machine does
beside falls on all.  Every upload is of another object.  LFSX, which compresses too, takes
part where it is installed (".ci/peers lfsx-server"); the limit is Zstandard itself, at the
same level on one thread, without a server.

    python -m benchmarks.compression [--rounds N] [--size MIB]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import zstandard

from benchmarks import load
from benchmarks.peers.base import Missing, Place, Server, Transfer
from benchmarks.peers.lfsx import LFSX
from benchmarks.support import Content, giftless_command, running, timed
from tests.support.ports import free_port

#: How many smaller objects are sent in a round, by their size in bytes.
SMALLER: Final = {20_000: 100, 1 << 20: 20}

#: The level that is measured.
LEVEL: Final = 3

MIB: Final = 1 << 20

#: What a measurement is called, and its rounds, by server.
Results = dict[str, dict[str, list[float]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=128, help="of the large objects, in MiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="giftless-bench-", dir=Path.cwd()) as directory:
        root = Path(directory)
        data = dict(materials(root, options.size * MIB))
        with ExitStack() as stack:
            servers = dict(start(root, stack))
            for name, path in data.items():
                measure(name, path, servers, root, options.rounds)


def materials(root: Path, size: int) -> Iterator[tuple[str, Path]]:
    """Yield the bytes that objects are made of: what compresses well, somewhat, and not."""
    library = Path(os.__file__).parent
    for name, pattern in (("sources", "*.py"), ("libraries", "*.so")):
        with tarfile.open(root / f"{name}.tar", "w") as tar:
            for file in sorted(library.rglob(pattern)):
                tar.add(file)
        yield name, _fit(root / f"{name}.tar", size)
    (root / "noise").write_bytes(os.urandom(size))
    yield "noise", root / "noise"
    for length in SMALLER:
        (root / f"noise-{length}").write_bytes(os.urandom(length))
        yield f"noise of {length} bytes", root / f"noise-{length}"


def _fit(path: Path, size: int) -> Path:
    """Repeat or cut a file: what repeats is further apart than a window of Zstandard."""
    whole = path.read_bytes()
    path.write_bytes((whole * (size // len(whole) + 1))[:size])
    return path


def start(root: Path, stack: ExitStack) -> Iterator[tuple[str, tuple[Server, Path]]]:
    """Start the servers; yields each by its name, with its directory."""
    for name in ("plain", "compressed"):
        place = root / name
        place.mkdir()
        port = free_port()
        storage: dict[str, Any] = {"type": "local", "path": str(place / "store")}
        if name == "compressed":
            storage = {"type": name, "compression": f"zstd:{LEVEL}", "store": storage}
        command = giftless_command(place, port, storage=storage)
        process = stack.enter_context(running(command, port, place))
        url = f"http://127.0.0.1:{port}"
        yield name, (Server(name, url, process.pid), place / "store")
    place = root / "lfsx"
    place.mkdir()
    try:
        lfsx = LFSX(f"zstd:{LEVEL}")
        lfsx.version()
    except Missing as missing:
        print(f"without lfsx: {missing}")
        return
    server = stack.enter_context(lfsx.start(Place(place, os.cpu_count() or 1)))
    yield "lfsx", (server, place / "store")


def measure(
    name: str, path: Path, servers: dict[str, tuple[Server, Path]], root: Path, rounds: int
) -> None:
    """Measure all servers with one kind of data, and print."""
    size = path.stat().st_size
    count = SMALLER.get(size, 1)
    results: Results = {server: {} for server in servers}
    # The first round only warms the machine.
    for number in range(rounds + 1):
        # What a server has deduplicated would not be measured.
        contents = [_make(path, root / f"object-{n}", number * count + n) for n in range(count)]
        for server, (running_server, store) in servers.items():
            taken = _round(running_server, store, contents)
            for what, value in taken.items() if number else ():
                results[server].setdefault(what, []).append(value)
    print(f"\n{name}: {count} x {size / MIB:.2f} MiB, MB/s of the objects' bytes, and shares")
    for server, found in results.items():
        columns = (f"{what} {statistics.median(each):.4g}" for what, each in found.items())
        print(f"  {server:12} {', '.join(columns)}")
    for what in ("PUT", "processor s/GB of PUT"):
        pairs = zip(results["compressed"][what], results["plain"][what], strict=True)
        paired = sorted(one / other for one, other in pairs)
        shown = ", ".join(f"{each:.3f}" for each in paired)
        print(f"  compressed/plain, {what}: median {statistics.median(paired):.3f} of {shown}")
    print(f"  {_limit(path.read_bytes())}")


def _make(path: Path, target: Path, number: int) -> Content:
    """Write an object that differs from all others."""
    data = number.to_bytes(8, "big") + path.read_bytes()[8:]
    target.write_bytes(data)
    return Content(hashlib.sha256(data).hexdigest(), len(data), target)


def _round(server: Server, store: Path, contents: list[Content]) -> dict[str, float]:
    """Upload and download some objects.

    :returns: how fast that was, in MB/s, and the share of their bytes that is stored.
    """
    total = sum(content.size for content in contents)
    before, used = _stored(store), server.processor_time()
    uploads = [server.transfer("upload", content) for content in contents]
    put = timed(lambda: _move(uploads, contents))
    spent = server.processor_time() - used
    share = (_stored(store) - before) / total
    downloads = [server.transfer("download", content) for content in contents]
    get = timed(lambda: _move(downloads, contents))
    taken = {"PUT": total / put / 1e6, "GET": total / get / 1e6, "stored": share}
    taken["processor s/GB of PUT"] = spent / total * 1e9
    if server.peer == "compressed" and len(contents) == 1:
        asked = replace(downloads[0], headers={**downloads[0].headers, "Accept-Encoding": "zstd"})
        taken["GET as stored"] = total / timed(lambda: _fetch(asked)) / 1e6
    return taken


def _move(transfers: list[Transfer], contents: list[Content]) -> None:
    """Do some transfers, one after the other."""
    for transfer, content in zip(transfers, contents, strict=True):
        load.move([transfer], [content])


def _fetch(transfer: Transfer) -> None:
    """Download an object as it is stored."""
    request = urllib.request.Request(transfer.url, headers=dict(transfer.headers))
    with urllib.request.urlopen(request, timeout=60) as reply:
        while reply.read(MIB):
            pass


def _stored(store: Path) -> int:
    """Return how many bytes are stored; a file with several names counts once."""
    found = [file.stat() for file in store.rglob("*") if file.is_file()]
    return sum({(each.st_dev, each.st_ino): each.st_size for each in found}.values())


def _limit(data: bytes) -> str:
    """Say what Zstandard itself does with the data."""
    packer = zstandard.ZstdCompressor(LEVEL)
    packed = b""

    def pack() -> None:
        nonlocal packed
        packed = packer.compress(data)

    speed = len(data) / timed(pack) / 1e6
    back = len(data) / timed(lambda: zstandard.ZstdDecompressor().decompress(packed)) / 1e6
    share = len(packed) / len(data)
    return f"zstd -{LEVEL} alone: {speed:.0f} MB/s, back {back:.0f} MB/s, stored {share:.3f}"


if __name__ == "__main__":
    main()
