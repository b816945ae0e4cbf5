"""A TCP proxy that is as far away and as narrow as a network, in a process of its own.

All connections share one rate, towards the client.  It says on stdout how many requests have
passed, by method and the last part of their path, and how many bytes have come back, whenever
it is sent a line::

    python -m tests.support.throttled LISTENER TARGET-PORT SECONDS BYTES-PER-SECOND

``LISTENER`` is the descriptor of a socket that listens.
"""

from __future__ import annotations

import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

#: How much is passed on at once, in bytes.
CHUNK: Final = 256 * 1024

#: How many chunks may be under way in a connection: as a network has them.
_UNDER_WAY: Final = 64


class Pipe:
    """Passes bytes on, later and no faster than it may.

    :param delay: how much later, in seconds.
    :param rate: how many bytes a second, in all connections.
    """

    def __init__(self, delay: float, rate: float) -> None:
        self.delay = delay
        self.rate = rate
        self.requests: Counter[str] = Counter()
        self.returned = 0
        self._free = 0.0
        self._lock = threading.Lock()

    def serve(self, listener: socket.socket, target: int) -> None:
        """Connect whoever comes with the target."""
        while True:
            client, _ = listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", target))
            except OSError:
                client.close()
                continue
            late: queue.Queue[tuple[float, bytes]] = queue.Queue(_UNDER_WAY)
            for function, arguments in (
                (self._requests, (client, server)),
                (self._answers, (server, late)),
                (self._deliver, (late, client, server)),
            ):
                threading.Thread(target=function, args=arguments, daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(CHUNK):
                line = re.match(rb"([A-Z]+) [^ ?]*?([^/ ?]*)[? ]", data)
                if line is not None:
                    self.requests[f"{line[1].decode()} {line[2].decode()}"] += 1
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, late: Any) -> None:
        with suppress(OSError):
            while data := server.recv(CHUNK):
                with self._lock:
                    now = time.monotonic()
                    self._free = max(self._free, now) + len(data) / self.rate
                    due = self._free
                late.put((due + self.delay, data))
        late.put((0.0, b""))

    def _deliver(self, late: Any, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                due, data = late.get()
                if not data:
                    break
                time.sleep(max(0.0, due - time.monotonic()))
                client.sendall(data)
                self.returned += len(data)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Throttled:
    """Such a proxy in a process of its own.

    :ivar port: where it listens.
    """

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port = port
        self._process = process

    def counts(self) -> dict[str, int]:
        """Return how many requests have passed, as ``GET NAME``, and ``bytes`` that came back."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._process.stdout.readline())
        return counts


@contextmanager
def throttled(target: int, delay: float = 0.02, rate: float = 200e6) -> Iterator[Throttled]:
    """Run such a proxy on a free port of 127.0.0.1.

    :param target: the port that it leads to.
    :param delay: by how many seconds answers are late.
    :param rate: how many bytes a second come back.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port = listener.getsockname()[1]
        fd = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(fd), str(target), str(delay), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            pass_fds=[fd],
            text=True,
        )
    try:
        proxy = Throttled(port, process)
        proxy.counts()
        yield proxy
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def main() -> None:
    """Serve until stdin ends."""
    fd, target, delay, rate = sys.argv[1:]
    listener = socket.socket(fileno=int(fd))
    pipe = Pipe(float(delay), float(rate))
    threading.Thread(target=pipe.serve, args=(listener, int(target)), daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps({**pipe.requests, "bytes": pipe.returned}), flush=True)


if __name__ == "__main__":
    main()
