"""What authentication adds to a batch of 100 objects.

The same daemon code serves the same batches with anonymous access and with a
JSON Web Token (HS256), in turn, over one kept connection each.

    python -m benchmarks.authentication [--rounds N]
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import jwt

from benchmarks.support import giftless, timed

#: Only for the daemons that run here.
KEY = "0123456789abcdef" * 4

#: How many batches one measurement sends.
BATCHES = 20


def main() -> None:
    """Run the comparison and print its ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="giftless-bench-"))
    try:
        run(root, options.rounds)
    finally:
        shutil.rmtree(root)


def run(root: Path, rounds: int) -> None:
    """Measure in ``root``."""
    with_jwt = [{"type": "jwt", "algorithms": ["HS256"], "key": KEY}]
    token = jwt.encode(
        {"sub": "bench", "scopes": ["obj:org/repo/*:read,write"], "exp": time.time() + 3600},
        KEY,
        "HS256",
    )
    with giftless(root) as anonymous, giftless(root, auth=with_jwt) as guarded:
        for operation in ("download", "upload"):
            free = Client(anonymous, operation, {})
            paid = Client(guarded, operation, {"Authorization": f"Bearer {token}"})
            free.send()
            paid.send()
            ratios = sorted(timed(paid.send) / timed(free.send) for _ in range(rounds))
            print(
                f"batch of 100, {operation}: JWT takes {statistics.median(ratios):.2f} of the time"
                f" of anonymous ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                flush=True,
            )


class Client:
    """One connection that sends the same batch again and again."""

    def __init__(self, url: str, operation: str, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._headers = {"Content-Type": "application/vnd.git-lfs+json", **headers}
        oids = (hashlib.sha256(b"%d" % number).hexdigest() for number in range(100))
        objects = [{"oid": oid, "size": 1000} for oid in oids]
        self._body = json.dumps({"operation": operation, "objects": objects})

    def send(self) -> None:
        """Send some batches, one after the other."""
        for _ in range(BATCHES):
            self._connection.request("POST", "/org/repo/objects/batch", self._body, self._headers)
            response = self._connection.getresponse()
            assert response.status == 200, response.read()
            assert len(json.loads(response.read())["objects"]) == 100


if __name__ == "__main__":
    main()
