"""Load that costs less than what it measures.

Small requests are sent by ``wrk``.  Bytes are moved by the kernel: uploads by
``sendfile``, and what is downloaded is dropped unread (``MSG_TRUNC``), so the
client takes a small part of a processor whatever the server does.
"""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.base import HEADERS, Transfer
from benchmarks.support import Content

#: How much is received by one call, in bytes.
_CHUNK = 1 << 20

#: How long a client waits for anything, in seconds.
_TIMEOUT = 120

_SCRIPT = Path(__file__).with_name("send.lua")


@dataclass(frozen=True, slots=True)
class Answers:
    """What ``wrk`` counted.

    :ivar requests: how many were answered.
    :ivar seconds: in which time.
    :ivar failed: how many were answered with an error, or not.
    :ivar median: of the time to an answer, in seconds.
    :ivar p99: the time in which 99 of 100 were answered, in seconds.
    """

    requests: int
    seconds: float
    failed: int
    median: float
    p99: float


def batches(url: str, body: bytes, connections: int, seconds: float, root: Path) -> Answers:
    """Send a batch again and again; see :func:`send`."""
    return send(Transfer("POST", url, HEADERS), body, connections, seconds, root)


def send(transfer: Transfer, body: bytes, connections: int, seconds: float, root: Path) -> Answers:
    """Send a small request again and again, over kept connections, by ``wrk``.

    :param root: where the body is written for ``wrk`` to read.
    :raises RuntimeError: if a request fails.
    """
    file = root / "body"
    file.write_bytes(body)
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{max(1, round(seconds))}s", "--timeout", f"{_TIMEOUT}s"),
        *("--script", str(_SCRIPT), transfer.url, "--", transfer.method, str(file)),
        *(f"{name}: {value}" for name, value in transfer.headers.items()),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    answers = Answers(**json.loads(done.stdout.splitlines()[-1]))
    if answers.failed or not answers.requests:
        raise RuntimeError(f"{answers.failed} requests fail, {answers.requests} are answered")
    return answers


def move(transfers: Sequence[Transfer], contents: Sequence[Content]) -> None:
    """Do some transfers at once.

    :raises RuntimeError: if one fails.
    """
    with ThreadPoolExecutor(len(transfers)) as pool:
        list(pool.map(_move, transfers, contents))


def check(transfer: Transfer, content: Content) -> None:
    """Download an object and compare its hash.

    :raises RuntimeError: if it is another.
    """
    request = urllib.request.Request(transfer.url, headers=dict(transfer.headers))
    digest = hashlib.sha256()
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:
        while data := reply.read(_CHUNK):
            digest.update(data)
    if digest.hexdigest() != content.oid:
        raise RuntimeError(f"{transfer.url} has other bytes")


def _move(transfer: Transfer, content: Content) -> None:
    with _Connection(transfer) as connection:
        if transfer.method == "GET":
            connection.send_head(0)
            connection.receive(content.size)
        else:
            connection.send_head(content.size)
            connection.send_file(content)
            connection.receive(0)


class _Connection:
    """One request on a connection of its own.

    A response is over when the server closes: then nothing has to be parsed
    but its head.
    """

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        parts = urlsplit(transfer.url)
        self._host = parts.netloc
        self._target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        address = (parts.hostname or "", parts.port or 80)
        self._socket = socket.create_connection(address, timeout=_TIMEOUT)

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send_head(self, length: int) -> None:
        headers = {"Host": self._host, "Connection": "close", **self._transfer.headers}
        if self._transfer.method != "GET":
            headers["Content-Length"] = str(length)
        lines = [f"{self._transfer.method} {self._target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def send_file(self, content: Content) -> None:
        assert content.path is not None
        with content.path.open("rb") as file:
            self._socket.sendfile(file)

    def receive(self, size: int) -> None:
        """Take the response and drop its body, which has ``size`` bytes at least.

        :raises RuntimeError: if it is an error, or breaks off.
        """
        scratch = bytearray(_CHUNK)
        head = self._socket.recv(65536)
        status = head.partition(b"\r\n")[0]
        if b" 20" not in status:
            raise RuntimeError(f"{self._transfer.url}: {status.decode('latin-1')}")
        received = len(head) - head.index(b"\r\n\r\n") - 4
        while count := self._socket.recv_into(scratch, _CHUNK, socket.MSG_TRUNC):
            received += count
        if received < size:
            raise RuntimeError(f"{self._transfer.url} broke off after {received} bytes")
