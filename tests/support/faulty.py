"""A TCP proxy that misbehaves on demand, in front of a server that does not.

It runs in a thread of its own, so it serves tests with and without a reactor.
Faults are chosen per request: what a client sends after it has had its answer.
As a program, it adds latency for benchmarks::

    python -m tests.support.faulty LISTEN-PORT TARGET-PORT SECONDS
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

#: What a linger time of zero looks like: closing resets the connection.
_RESET = struct.pack("ii", 1, 0)

#: The state of a connection that is no more, in Linux's ``tcp_info``.
_CLOSED = 7


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    :ivar kind: ``hang``: it is swallowed, and nothing comes back; ``reset``:
        its connection is reset; ``answer``: ``data`` comes back and the server
        sees nothing; ``cut`` and ``stall``: all is well until so many bytes
        have come back, then the connection is reset, or nothing more comes;
        ``stall-upload``: so many bytes go to the server, then no more are read;
        ``cut-upload``: so many bytes go to the server, then both connections end.
    :ivar data: for ``answer``.
    :ivar after: for the cuts and the stalls, in bytes.
    """

    kind: Literal["hang", "reset", "answer", "cut", "stall", "stall-upload", "cut-upload"]
    data: bytes = b""
    after: int = 0


def answer(status: str, body: bytes = b"", **headers: str) -> Fault:
    """Answer with an HTTP status line and body, instead of the server.

    :param headers: with ``_`` for ``-`` in their names.
    """
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Fault("answer", "\r\n".join([*lines, "", ""]).encode() + body)


HANG = Fault("hang")
RESET = Fault("reset")
SLOW_DOWN = answer("503 Slow Down")

#: Nobody who has a minute or less tries again.
COME_LATER = answer("503 Slow Down", Retry_After="60")

#: The time of a question that does well, in seconds: on a busy machine it may take long.
PATIENT = 60


class FaultyProxy:
    """A proxy on a free port of 127.0.0.1; a context manager.

    :param target: the port that it leads to.
    :param latency: how many seconds later each answer comes.
    :ivar fault: returns what happens to a request, ``None`` for nothing;
        called for each one with its first bytes.
    :ivar open: how many connections of clients are open now.
    :ivar accepted: how many there have been.
    :ivar busiest: how many have waited for answers at the same time, at most.
    :ivar requests: the first line of every request.
    :ivar sent: how many bytes clients have sent.
    :ivar returned: how many bytes clients have been sent.
    """

    def __init__(self, target: int, latency: float = 0.0, port: int = 0) -> None:
        self.target = target
        self.latency = latency
        self.port = port
        self.fault: Callable[[bytes], Fault | None] = lambda _: None
        self.open = 0
        self.accepted = 0
        self.busiest = 0
        self.requests: list[str] = []
        self.sent = 0
        self.returned = 0
        self._loop = asyncio.new_event_loop()
        self._clients: set[_Client] = set()
        self._thread = threading.Thread(target=self._run, name="faulty", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        """Its URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def always(self, fault: Fault | None) -> None:
        """Do the same to every request from now on."""
        self.fault = lambda _: fault

    def then(self, *faults: Fault | None) -> None:
        """Do these to the next requests, one each, and nothing to later ones."""
        queue = deque(faults)
        self.fault = lambda _: queue.popleft() if queue else None

    def reset_all(self) -> None:
        """Reset every connection that is open now."""

        def reset() -> None:
            for client in list(self._clients):
                client.reset()

        self._loop.call_soon_threadsafe(reset)

    def _run(self) -> None:
        listener = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Client(self), "127.0.0.1", self.port, backlog=512)
        )
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        listener.close()
        for client in list(self._clients):
            client.reset()
        # Lets transports close their sockets.
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


def _request_length(data: bytes) -> int:
    """Return how many bytes a request has that begins with ``data``: its whole head."""
    head, _, _ = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return len(head) + 4 + (int(length[1]) if length else 0)


def _reset(transport: Any) -> None:
    """Close a connection with a reset."""
    with contextlib.suppress(OSError):
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class _Client(asyncio.Protocol):
    """The connection of a client, and with it the one to the server."""

    transport: Any

    def __init__(self, proxy: FaultyProxy) -> None:
        self._proxy = proxy
        self._server: _Server | None = None
        self._early: list[bytes] = []
        self._late: deque[bytes] = deque()
        self._idle = True
        self._answered = False
        self._fault: Fault | None = None
        self._left = 0
        self._uploaded = 0
        self._returned = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._proxy.open += 1
        self._proxy.accepted += 1
        self._proxy._clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.open -= 1
        self._proxy._clients.discard(self)
        if self._server is None:
            return
        if self._fault is not None and self._fault.kind == "cut-upload":
            # What has come before it is on its way.
            self._server.transport.close()
        elif self._left > 0:
            # versitygw 1.8 takes what has come of a part for all of it, unless it is told.
            _reset(self._server.transport)
        else:
            self._server.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._proxy.sent += len(data)
        if self._idle:
            self._idle = self._answered = False
            busy = sum(not client._idle for client in self._proxy._clients)
            self._proxy.busiest = max(self._proxy.busiest, busy)
            self._proxy.requests.append(data.split(b"\r\n", 1)[0].decode("latin-1"))
            self._fault = self._proxy.fault(data)
            self._left = _request_length(data)
            self._uploaded = self._returned = 0
            if self._fault is not None and self._fault.kind == "answer":
                self.returning(self._fault.data)
        self._left -= len(data)
        # An answer may come before all of the request.
        self._idle = self._answered and self._left <= 0
        match self._fault:
            case Fault("hang"):
                return
            case Fault("reset"):
                self.reset()
                return
            case Fault("answer"):
                self._idle = self._left <= 0
                return
            case Fault("stall-upload", _, after):
                self._uploaded += len(data)
                if self._uploaded >= after:
                    self.transport.pause_reading()
                    self._notice_reset()
            case Fault("cut-upload", _, after):
                data = data[: max(0, after - self._uploaded)]
                self._uploaded += len(data)
                if self._uploaded >= after:
                    self.transport.pause_reading()
                    asyncio.get_running_loop().call_later(0.05, self.reset)
        if self._server is None:
            self._early.append(data)
            if len(self._early) == 1:
                self._connecting = asyncio.ensure_future(self._connect())
        else:
            self._server.transport.write(data)

    def _notice_reset(self) -> None:
        """Look whether the client is still there: who does not read is not told."""
        raw = self.transport.get_extra_info("socket")
        if raw.fileno() < 0:
            return
        if raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSED:
            self.transport.abort()
        else:
            asyncio.get_running_loop().call_later(0.05, self._notice_reset)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_connection(
                lambda: _Server(self), "127.0.0.1", self._proxy.target
            )
        except OSError:
            self.reset()
            return
        if self.transport.is_closing():
            server.transport.abort()
            return
        self._server = server
        for data in self._early:
            server.transport.write(data)

    def eof_received(self) -> bool:
        return False

    def reset(self) -> None:
        """Close the connection in the rudest way."""
        _reset(self.transport)

    def from_server(self, data: bytes) -> None:
        """The server has sent something."""
        self._answered = True
        self._idle = self._left <= 0
        match self._fault:
            case Fault("cut" | "stall" as kind, _, after):
                allowed = max(0, after - self._returned)
                self._returned += len(data)
                if len(data) > allowed:
                    self.returning(data[:allowed])
                    if kind == "cut":
                        asyncio.get_running_loop().call_later(0.05, self.reset)
                    return
        self.returning(data)

    def returning(self, data: bytes) -> None:
        """Send bytes to the client, in time."""
        if not data:
            return
        if self._proxy.latency:
            self._late.append(data)
            asyncio.get_running_loop().call_later(self._proxy.latency, self._return_late)
        else:
            self._return(data)

    def _return_late(self) -> None:
        self._return(self._late.popleft())

    def _return(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self._proxy.returned += len(data)
            self.transport.write(data)

    # Whoever is slower sets the pace.

    def pause_writing(self) -> None:
        if self._server is not None:
            self._server.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._server is not None:
            self._server.transport.resume_reading()


class _Server(asyncio.Protocol):
    """The connection to the server."""

    transport: Any

    def __init__(self, client: _Client) -> None:
        self._client = client

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._client.from_server(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.transport.close()

    def pause_writing(self) -> None:
        self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        self._client.transport.resume_reading()


def main() -> None:
    """Proxy with latency until killed."""
    port, target = map(int, sys.argv[1:3])
    with FaultyProxy(target, float(sys.argv[3]), port) as proxy:
        proxy._thread.join()


if __name__ == "__main__":
    main()
