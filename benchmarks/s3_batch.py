"""What a batch of 100 objects costs over an S3 that is 20 ms away.

A versitygw is asked through a proxy that delays every answer.  How long a
batch takes is reported in round trips to the store, and beside a batch of one
object, which takes one.

    python -m benchmarks.s3_batch [--latency SECONDS] [--rounds N]
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from twisted.trial.unittest import SkipTest

from benchmarks.support import free_port, giftless, timed
from tests.support.servers import S3, find_command, versitygw

#: How many objects a batch has, as git-lfs sends them.
OBJECTS = 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--latency", type=float, default=0.02, help="of each answer, in seconds")
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    try:
        find_command("versitygw")
    except SkipTest as reason:
        raise SystemExit(f"{reason}, or 'make stores'") from None
    with tempfile.TemporaryDirectory(prefix="giftless-bench-") as directory:
        root = Path(directory)
        with versitygw(root / "s3") as server, delayed(server.port, options.latency) as port:
            run(root, server, port, options)


def run(root: Path, server: S3, port: int, options: argparse.Namespace) -> None:
    """Measure uploads (nothing is there) and downloads (everything is)."""
    section = server.options(
        "bench", endpoint_url=f"http://127.0.0.1:{port}", public_endpoint_url=server.url
    )
    place = server.buckets / "bench" / "org" / "repo"
    place.mkdir(parents=True)
    data = [b"%d" % number for number in range(OBJECTS)]
    for content in data:
        (place / hashlib.sha256(content).hexdigest()).write_bytes(content)
    absent = [b"absent %d" % number for number in range(OBJECTS)]
    with giftless(root, storage=section) as url:
        for operation, contents in (("upload", absent), ("download", data)):
            one, many = (Batch(url, operation, part) for part in (contents[:1], contents))
            one.send(), many.send()  # they make the connections
            single = statistics.median(timed(one.send) for _ in range(options.rounds))
            times = sorted(timed(many.send) for _ in range(options.rounds))
            middle = statistics.median(times)
            print(
                f"{operation} batch, answers after {options.latency * 1000:.0f} ms:"
                f" 1 object {single * 1000:.1f} ms, {OBJECTS} objects {middle * 1000:.1f} ms"
                f" ({times[0] * 1000:.1f} to {times[-1] * 1000:.1f});"
                f" ratio {middle / single:.2f};"
                f" {middle / options.latency:.1f} round trips",
                flush=True,
            )


class Batch:
    """One connection that sends the same batch again and again."""

    def __init__(self, url: str, operation: str, contents: list[bytes]) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        objects = [
            {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for content in contents
        ]
        self._operation = operation
        self._count = len(objects)
        self._body = json.dumps({"operation": operation, "objects": objects})

    def send(self) -> None:
        """Send it, and check that each object has its signed action."""
        headers = {"Content-Type": "application/vnd.git-lfs+json"}
        self._connection.request("POST", "/org/repo/objects/batch", self._body, headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        signed = [item["actions"][self._operation]["href"] for item in json.loads(body)["objects"]]
        assert len(signed) == self._count
        assert all("X-Amz-Signature=" in href for href in signed)


@contextmanager
def delayed(target: int, latency: float) -> Iterator[int]:
    """Run a proxy to a port that delays what comes back; yields its own port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.faulty", str(port), str(target), str(latency)]
    )
    try:
        for _ in range(200):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
