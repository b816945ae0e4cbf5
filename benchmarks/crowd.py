"""Many connections that do little: some idle, some that download slowly.

    python -m benchmarks.crowd URL IDLE SLOW RATE HEADERS

Each idle connection has sent one request and got its answer; each slow one
downloads ``URL`` with ``HEADERS`` (JSON) at ``RATE`` bytes a second.  When all
have begun it prints a line of JSON, and another when its input ends: how many
are still there, and how fast the slow ones were.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time
from urllib.parse import urlsplit

#: How long to wait for all to begin, in seconds.
PATIENCE = 10.0

#: How often each slow connection reads, in seconds.
TICK = 0.1


def main() -> None:
    """Hold the connections until the standard input ends."""
    url, idle, slow, rate, headers = sys.argv[1:]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    crowd = Crowd(url, json.loads(headers))
    crowd.add_idle(int(idle))
    crowd.add_slow(int(slow))
    crowd.hold(int(rate))


class Crowd:
    """The connections.

    :param url: what the slow ones download.
    :param headers: what they send with it.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._parts = urlsplit(url)
        self._headers = headers
        self._idle: list[socket.socket] = []
        self._slow: list[socket.socket] = []

    def add_idle(self, count: int) -> None:
        """Open connections that ask one thing."""
        for _ in range(count):
            self._idle.append(self._connect("/nothing", {}))
            # Not more at once than a server's queue takes.
            if len(self._idle) % 50 == 0:
                self._answered(self._idle)
        self._answered(self._idle)

    def add_slow(self, count: int) -> None:
        """Open connections that download; their buffers are small, as if far away."""
        target = f"{self._parts.path}?{self._parts.query}" if self._parts.query else ""
        for _ in range(count):
            self._slow.append(self._connect(target or self._parts.path, self._headers, 16384))

    def hold(self, rate: int) -> None:
        """Let the slow ones read, at ``rate`` bytes a second, until the input ends."""
        begun = self._answered(self._slow)
        self._say(idle=len(self._idle), slow=begun)
        share, scratch = int(rate * TICK), bytearray(int(rate * TICK))
        received, start = 0, time.monotonic()
        lost: set[socket.socket] = set()
        ticks = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            for connection in self._slow:
                try:
                    count = connection.recv_into(scratch, share, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                except OSError:
                    count = 0
                received += count
                if not count:
                    lost.add(connection)
            ticks += 1
            time.sleep(max(0, start + ticks * TICK - time.monotonic()))
        seconds = time.monotonic() - start
        left = len(self._slow) - len(lost)
        self._say(
            idle=sum(map(_alive, self._idle)),
            slow=left,
            rate=received / seconds / len(self._slow) if self._slow else 0,
        )

    def _connect(self, target: str, headers: dict[str, str], window: int = 0) -> socket.socket:
        connection = socket.socket()
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.connect((self._parts.hostname or "", self._parts.port or 80))
        lines = [f"GET {target} HTTP/1.1", f"Host: {self._parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection

    def _answered(self, connections: list[socket.socket]) -> int:
        """Wait until all have got the beginning of an answer; returns how many have."""
        deadline = time.monotonic() + PATIENCE
        waiting = set(connections)
        poll = select.poll()
        files = {connection.fileno(): connection for connection in connections}
        for file in files:
            poll.register(file, select.POLLIN)
        while waiting and time.monotonic() < deadline:
            for file, _ in poll.poll(100):
                poll.unregister(file)
                waiting.discard(files[file])
        return len(connections) - len(waiting)

    def _say(self, **facts: float) -> None:
        print(json.dumps(facts), flush=True)


def _alive(connection: socket.socket) -> bool:
    """Whether the other side has not closed a connection."""
    try:
        while connection.recv(65536, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


if __name__ == "__main__":
    main()
