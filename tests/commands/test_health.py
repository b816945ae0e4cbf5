"""``giftless health`` tells by its status whether the daemon serves."""

from __future__ import annotations

import io
import os
import socketserver
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from giftless.commands import CommandError
from giftless.commands.health import HealthCommand
from tests.commands.support import ServerTestCase
from tests.support.ports import free_port


class HealthHandler(BaseHTTPRequestHandler):
    """Answers as the daemon does."""

    answers = {
        "/health/live": (200, b'{"status": "alive"}'),
        "/health/ready": (
            503,
            b'{"status": "not ready", "parts": {"store": "gone\\u001b", "locks": "well"}}',
        ),
    }

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class HealthTests(ServerTestCase):
    def ask(self, *arguments: str, **environ: str) -> str:
        """Run the command, and return what it prints."""
        self.patch(os, "environ", {f"GIFTLESS_{name}": value for name, value in environ.items()})
        printed = io.StringIO()
        self.patch(sys, "stdout", printed)
        command = HealthCommand()
        command.parseOptions(arguments)
        command.run()
        return printed.getvalue()

    def problem(self, *arguments: str, **environ: str) -> str:
        """Run the command, and return why it fails."""
        return str(self.assertRaises(CommandError, self.ask, *arguments, **environ))

    def port(self) -> int:
        """Return the port of something that answers like the daemon."""
        server: HTTPServer = self.serve(HTTPServer(("127.0.0.1", 0), HealthHandler))
        return server.server_port

    def test_admin_endpoints_are_asked_first(self) -> None:
        endpoint = f"tcp:{self.port()}:interface=127.0.0.1"
        self.assertEqual(self.ask(ADMIN__ENDPOINTS__0=endpoint), "alive\n")

    def test_endpoints_of_clients_are_asked_if_they_tell(self) -> None:
        for endpoint in (
            {"ENDPOINTS__0": f"tcp:{self.port()}"},
            {"ENDPOINTS__0__LISTEN": f"tcp:{self.port()}:interface=0.0.0.0"},
        ):
            self.assertEqual(self.ask(ADMIN__PUBLIC_HEALTH="true", **endpoint), "alive\n")
            self.assertIn("admin.endpoints", self.problem(**endpoint))

    def test_endpoints_of_others_are_passed_over(self) -> None:
        """Those of load balancers want to be told who asks."""
        balanced = {"ADMIN__PUBLIC_HEALTH": "true", "ENDPOINTS__0": "haproxy:tcp:1"}
        self.assertEqual(self.ask(**balanced, ENDPOINTS__1=f"tcp:{self.port()}"), "alive\n")
        self.assertIn("nowhere that can be asked", self.problem(**balanced))

    def test_a_unix_socket_is_asked_as_well(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        path = os.path.relpath(directory / "admin.sock")
        self.serve(socketserver.UnixStreamServer(path, HealthHandler))
        self.assertEqual(self.ask(ADMIN__ENDPOINTS__0=f"unix:{path}"), "alive\n")

    def test_what_is_not_well_is_said(self) -> None:
        endpoint = f"tcp:{self.port()}:interface=127.0.0.1"
        problem = self.problem("--ready", ADMIN__ENDPOINTS__0=endpoint)
        self.assertTrue(problem.endswith(": not ready; store: gone\\x1b"), problem)

    def test_what_does_not_answer_is_not_well(self) -> None:
        endpoint = f"tcp:{free_port()}:interface=127.0.0.1"
        self.assertIn("Connection refused", self.problem(ADMIN__ENDPOINTS__0=endpoint))

    def test_another_answer_is_none(self) -> None:
        self.patch(HealthHandler, "answers", {"/health/live": (404, b"<html>")})
        endpoint = f"tcp:{self.port()}:interface=127.0.0.1"
        self.assertIn("the answer is 404 Not Found", self.problem(ADMIN__ENDPOINTS__0=endpoint))
