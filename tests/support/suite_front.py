"""Stands where git-lfs' own tests expect their server, so that they test another one.

git goes to the tests' server, and Git LFS to the other.  What tests want of their server
beside the protocol is done here.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.support.processes import PATIENCE

#: The organisation of all repositories: those of the tests have none.
ORGANISATION = "client"

#: The repositories whose uploads are broken off once, at a third.
INTERRUPTED = "tus-interrupt"

#: What is said of one connection alone.
_HOP = frozenset({"connection", "transfer-encoding", "content-length"})


@contextmanager
def suite_front(lfs: int, git: int) -> Iterator[str]:
    """Run it; yields its URL.

    :param lfs: the port of the server that is tested.
    :param git: the port of the tests' own.
    """
    server = _Front(("127.0.0.1", 0), _Handler)
    server.lfs, server.git, server.sizes = lfs, git, {}
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Front(ThreadingHTTPServer):
    lfs: int
    git: int
    sizes: dict[str, int]


class _Handler(BaseHTTPRequestHandler):
    server: _Front
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        path, body = self.path, self._body()
        is_lfs = "/info/lfs/" in path or "/objects/" in path
        if is_lfs and not path.startswith(f"/{ORGANISATION}/"):
            path = f"/{ORGANISATION}{path}"
        if path.endswith("/objects/batch"):
            body = self._with_sizes(body)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        headers["Content-Length"] = str(len(body))
        if self.command == "PATCH" and INTERRUPTED in path and headers["Upload-Offset"] == "0":
            self._interrupt(path, headers, body)
            return
        port = self.server.lfs if is_lfs else self.server.git
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request(self.command, path, body, headers)
            reply = connection.getresponse()
            self._answer(reply.status, reply.getheaders(), reply.read())
        finally:
            connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _with_sizes(self, body: bytes) -> bytes:
        """Add to a batch the sizes that some tests leave out, which the protocol demands."""
        batch = json.loads(body)
        for each in batch["objects"]:
            size = each.setdefault("size", self.server.sizes.get(each["oid"], 0))
            self.server.sizes[each["oid"]] = size
        return json.dumps(batch).encode()

    def _interrupt(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Let a third of an upload through, end the connection, and tell of an error."""
        with socket.create_connection(("127.0.0.1", self.server.lfs)) as connection:
            lines = [f"PATCH {path} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[: len(body) // 3])
        self._answer(500, [], b"")

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
