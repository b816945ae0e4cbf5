"""What the benchmarks share: servers to compare, and clocks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def timed(operation: Callable[[], None]) -> float:
    """Return how many seconds ``operation`` takes."""
    start = time.perf_counter()
    operation()
    return time.perf_counter() - start


@contextmanager
def giftless(root: Path, **config: Any) -> Iterator[str]:
    """Run the daemon over ``root/store``; yields its URL.

    :param config: keys of the configuration that differ.
    """
    port = free_port()
    file = root / f"giftless-{port}.yaml"
    file.write_text(
        json.dumps(
            {
                "endpoints": [f"tcp:{port}:interface=127.0.0.1"],
                "storage": {"type": "local", "path": str(root / "store")},
                "auth": [{"type": "anonymous", "access": "read-write"}],
                "state_dir": str(root / "state"),
                **config,
            }
        )
    )
    twistd = str(Path(sys.executable).with_name("twistd"))
    command = [twistd, "-n", "--pidfile=", "giftless", "--config", str(file)]
    with server(command, port, root) as url:
        yield url


@contextmanager
def server(command: list[str], port: int, root: Path) -> Iterator[str]:
    """Run a server until the block ends; yields its URL once it answers."""
    with (root / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            cwd=root,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def wait_for(url: str) -> None:
    """Wait until something answers at ``url``."""
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing answers at {url}")


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
