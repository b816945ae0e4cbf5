"""A small HTTP server in threads of its own, which does what a test tells it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import PATIENCE


class Cut(Exception):
    """The connection is to be cut here."""


@dataclass
class Asked:
    """A request.

    :ivar headers: by lower-case name.
    :ivar body: what has come of it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Answer:
    """What is sent back.

    :ivar body: or the beginning of it.
    :ivar length: what the Content-Length says; that of the body if ``None``.
    :ivar interim: the statuses of interim responses before it.
    :ivar stall: seconds for which the connection stays open after a body that
        is too short.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    stall: float = 0
    interim: Sequence[int] = ()


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that leave."""


class Server:
    """Answers every request with what ``answer`` makes of it.

    :ivar answer: makes the answers.
    :ivar early: answers whoever asks before sending a body (``Expect: 100-continue``); by
        default, with ``None``, the body is wanted.
    :ivar continues: whether it says that a body is wanted.
    :ivar enough: tells after how many bytes of a body no more are read; ``None``: never.
    :ivar asked: the requests, in the order of their arrival.
    :ivar most: the most of them at the same time.
    """

    def __init__(self, case: SynchronousTestCase, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.early: Callable[[Asked], Answer | None] = lambda asked: None
        self.continues = True
        self.enough: Callable[[Asked], int | None] = lambda asked: None
        self.asked: list[Asked] = []
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                outer.handle(self)

            def handle_expect_100(self) -> bool:
                wanted = outer.wants(self)
                return super().handle_expect_100() if wanted and outer.continues else wanted

            do_GET = do_HEAD = do_PUT = do_PATCH = do_POST = do_CONNECT = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        case.addCleanup(thread.join)
        case.addCleanup(self._server.server_close)
        case.addCleanup(self._server.shutdown)

    @property
    def url(self) -> str:
        """Its root, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def paths(self, method: str) -> list[str]:
        """Return what was asked for by a method, in order."""
        return [asked.path for asked in self.asked if asked.method == method]

    def wants(self, handler: BaseHTTPRequestHandler) -> bool:
        """Answer before the body, if that is to be; otherwise return that it is wanted."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers)
        answer = self.early(asked)
        if answer is None:
            return True
        with self._lock:
            self.asked.append(asked)
        _write(handler, answer)
        # What follows would be the body.
        handler.close_connection = True
        handler.connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            while data := handler.connection.recv(65536):
                asked.body += data
        return False

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers)
        with self._lock:
            self.asked.append(asked)
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            asked.body = _read_body(handler, headers, self.enough(asked))
            answer: Answer | None = self.answer(asked)
        except Cut:
            answer = None
        finally:
            with self._lock:
                self._running -= 1
        if answer is None:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        _write(handler, answer)


def _write(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    """Send an answer."""
    for status in answer.interim:
        handler.wfile.write(b"HTTP/1.1 %d Interim\r\nLink: </a>\r\n\r\n" % status)
    length = len(answer.body) if answer.length is None else answer.length
    handler.send_response(answer.status)
    for name, value in {**answer.headers, "Content-Length": str(length)}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(answer.body)
    if length != len(answer.body):
        handler.wfile.flush()
        # A client that leaves ends this.
        handler.connection.settimeout(answer.stall)
        with contextlib.suppress(OSError):
            handler.connection.recv(1)
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)


def _read_body(
    handler: BaseHTTPRequestHandler, headers: Mapping[str, str], enough: int | None
) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers.get("content-length", 0))
        if enough is not None and enough < length:
            handler.close_connection = True
            length = enough
        return handler.rfile.read(length)
    chunks = []
    while length := int(handler.rfile.readline(), 16):
        chunks.append(handler.rfile.read(length))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(chunks)


#: What a test does with a request before the server does anything; ``None``: nothing.
Fault = Callable[[Asked], Answer | None]


def failing(count: int, meant: Callable[[Asked], bool], answer: Answer | None) -> Fault:
    """Make the first requests of a kind fail.

    :param count: so many of them.
    :param meant: tells whether a request is of that kind.
    :param answer: what they get; ``None``: nothing, the connection is cut.
    """
    left = count
    lock = threading.Lock()

    def fault(asked: Asked) -> Answer | None:
        nonlocal left
        with lock:
            if not meant(asked) or left == 0:
                return None
            left -= 1
        if answer is None:
            raise Cut
        return answer

    return fault


class PartServer:
    """Takes one object in parts, as giftless does.

    :param data: the object.
    :param part_size: in bytes.
    :ivar parts: what has arrived, by number.
    :ivar stored: the object, once it is committed.
    :ivar fault: what goes wrong.
    :ivar expires_in: for how many seconds it says that parts may be sent.
    :ivar header: more headers that it wants with parts.
    """

    def __init__(self, case: SynchronousTestCase, data: bytes, part_size: int) -> None:
        self.oid = hashlib.sha256(data).hexdigest()
        self.size = len(data)
        self.part_size = part_size
        self.parts: dict[int, bytes] = {}
        self.stored: bytes | None = None
        self.fault: Fault = lambda asked: None
        self.expires_in = 3600
        self.header: dict[str, str] = {}
        self.http = Server(case, self._answer)

    @property
    def sent(self) -> list[int]:
        """The numbers of the parts that were sent, in order of size."""
        return sorted(int(path.rpartition("/")[2]) for path in self.http.paths("PUT"))

    def _answer(self, asked: Asked) -> Answer:
        if (answer := self.fault(asked)) is not None:
            return answer
        if asked.headers.get("authorization") != "Bearer token":
            return Answer(403, b'{"message": "no token"}')
        if asked.method == "PUT":
            return self._take(int(asked.path.rpartition("/")[2]), asked)
        return self._commit() if asked.path == "/parts/commit" else self._plan()

    def _take(self, number: int, asked: Asked) -> Answer:
        digest = base64.b64encode(hashlib.md5(asked.body).digest()).decode()
        if asked.headers.get("content-md5") != digest:
            return Answer(400, b'{"message": "the digest is another"}')
        self.parts[number] = asked.body
        return Answer(200, b"{}")

    def _missing(self) -> list[int]:
        count = -(-self.size // self.part_size)
        return [number for number in range(1, count + 1) if number not in self.parts]

    def _commit(self) -> Answer:
        if self._missing():
            return Answer(409, json.dumps({"message": "parts are missing"}).encode())
        self.stored = b"".join(self.parts[number] for number in sorted(self.parts))
        return Answer(200, b"{}")

    def _plan(self) -> Answer:
        plan: dict[str, object] = {"oid": self.oid, "size": self.size, "authenticated": True}
        header = {"Authorization": "Bearer token"}
        if self.stored is None:
            plan["actions"] = {
                "parts": [
                    {
                        "href": f"{self.http.url}/parts/{number}",
                        "header": {
                            **header,
                            "Content-Type": "application/octet-stream",
                            **self.header,
                        },
                        "pos": (number - 1) * self.part_size,
                        "size": min(self.part_size, self.size - (number - 1) * self.part_size),
                        "want_digest": "contentMD5",
                        "expires_in": self.expires_in,
                    }
                    for number in self._missing()
                ],
                "commit": {"href": f"{self.http.url}/parts/commit", "header": header},
            }
        return Answer(200, json.dumps(plan).encode())
