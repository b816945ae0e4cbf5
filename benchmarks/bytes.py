"""Large downloads and uploads, side by side with nginx, the physical limit.

Both servers work on the same file system in the same run, one after the other
in each round, so that what is reported is a ratio and not a property of the
machine.  nginx sends with ``sendfile`` and stores with WebDAV PUT, without a
hash or an fsync; giftless hashes every upload and syncs it to the disk.

    python -m benchmarks.bytes [--size MIB] [--rounds N] [--directory DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.support import free_port, giftless, server, timed

NGINX = """
daemon off; pid {root}/nginx.pid; error_log {root}/nginx.err; worker_processes 1; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {root}/body; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
  uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ root {root}/www; dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


def main() -> None:
    """Run the comparison and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--size", type=int, default=512, help="object size in MiB")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="giftless-bench-", dir=options.directory))
    os.chmod(root, 0o755)
    try:
        run(root, options.size * 1024 * 1024, options.rounds)
    finally:
        shutil.rmtree(root)


def run(root: Path, size: int, rounds: int) -> None:
    """Measure in ``root`` with an object of ``size`` bytes."""
    source = root / "source"
    oid = make_object(source, size)
    (root / "www").mkdir()
    shutil.copy(source, root / "www" / "object")
    store = root / "store" / "org" / "repo"
    store.mkdir(parents=True)
    shutil.copy(source, store / oid)
    with nginx(root) as plain, giftless(root) as base:
        stored = f"{base}/org/repo/objects/storage/{oid}"
        compare("GET", rounds, size, lambda _: get(stored), lambda _: get(f"{plain}/object"))
        # A new file each time: replacing one would also cost its removal.
        compare(
            "PUT",
            rounds,
            size,
            lambda n: put(source, f"{base}/org/new-{n}/objects/storage/{oid}"),
            lambda n: put(source, f"{plain}/new-{n}"),
        )


def compare(
    name: str,
    rounds: int,
    size: int,
    ours: Callable[[int], None],
    theirs: Callable[[int], None],
) -> None:
    """Time two operations in turn and print the ratio of their speeds.

    Each is given the number of the round; the first only warms the caches.
    """
    pairs = []
    for number in range(rounds + 1):
        # What nginx leaves to be written to the disk must not slow giftless
        # down, which waits until its own is.
        os.sync()
        mine = timed(lambda: ours(number))  # noqa: B023  # called at once
        os.sync()
        pairs.append((mine, timed(lambda: theirs(number))))  # noqa: B023
    del pairs[0]
    own = statistics.median(size / a / 1e6 for a, _ in pairs)
    other = statistics.median(size / b / 1e6 for _, b in pairs)
    ratios = sorted(b / a for a, b in pairs)
    print(
        f"{name} {size >> 20} MiB: giftless {own:.0f} MB/s, nginx {other:.0f} MB/s,"
        f" ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


def make_object(path: Path, size: int) -> str:
    """Write ``size`` random bytes and return their oid."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(0, size, 1 << 20):
            chunk = os.urandom(1 << 20)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def get(url: str) -> None:
    """Download ``url`` to nowhere."""
    subprocess.run(["curl", "-sSf", "-o", "/dev/null", url], check=True)


def put(source: Path, url: str) -> None:
    """Upload ``source`` to ``url``."""
    subprocess.run(
        ["curl", "-sSf", "-o", "/dev/null", "-H", "Expect:", "-T", source, url], check=True
    )


@contextmanager
def nginx(root: Path) -> Iterator[str]:
    """Run nginx over ``root/www``; yields its URL."""
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root, port=port))
    with server(["nginx", "-c", str(config), "-p", str(root)], port, root) as url:
        yield url


if __name__ == "__main__":
    main()
