"""A server that tells an overview, for ``giftless top``."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.runtime.admin.pages.sample import overview

OVERVIEW = overview()


class Handler(BaseHTTPRequestHandler):
    """Answers what the server says, and notes what it was asked."""

    server: Any

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, body = self.server.answer
        self.send_response(status, self.server.reason)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "somebody"


class ServerTestCase(SynchronousTestCase):
    """Runs servers in threads."""

    def serve(self, server: Any) -> Any:
        """Run a server until the test ends."""
        server.answer = 200, msgspec.json.encode(OVERVIEW)
        server.asked, server.reason = [], None
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def tcp(self) -> Any:
        return self.serve(HTTPServer(("127.0.0.1", 0), Handler))
