"""Where ``giftless top`` finds the daemon, and how it asks."""

from __future__ import annotations

import base64
import os
import socket
import socketserver
import ssl
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import msgspec

from giftless.commands import CommandError
from giftless.commands.top import fetching
from giftless.commands.top.fetching import (
    MAX_ANSWER,
    Place,
    Unreachable,
    fetch,
    place_of_endpoint,
    place_of_url,
)
from giftless.monitoring.overview import Rates
from tests.commands.support import OVERVIEW, Handler, ServerTestCase
from tests.runtime.admin.pages.sample import overview
from tests.support.certificates import write_certificate


class FetchTests(ServerTestCase):
    def encrypted(self) -> tuple[Any, str]:
        """Return a server with TLS, and the file of its certificate."""
        directory = Path(self.mktemp())
        directory.mkdir()
        key, own = write_certificate(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own, key)
        server = HTTPServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return self.serve(server), str(own)

    def reason(self, place: Place) -> str:
        """Return why nothing was found."""
        return str(self.assertRaises(Unreachable, fetch, place))

    def test_an_endpoint_of_this_machine(self) -> None:
        server = self.tcp()
        for endpoint in (
            f"tcp:{server.server_port}:interface=127.0.0.1",
            f"tcp:port={server.server_port}",
            f"tcp:{server.server_port}:interface=0.0.0.0:backlog=5",
        ):
            self.assertEqual(fetch(place_of_endpoint(endpoint)), OVERVIEW)
        self.assertEqual(server.asked, [("/overview.json", None)] * 3)

    def test_a_socket_of_this_machine(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        path = os.path.relpath(directory / "a:b.sock")
        self.serve(socketserver.UnixStreamServer(path, Handler))
        for place in (
            place_of_endpoint("unix:" + path.replace(":", "\\:") + ":mode=660"),
            place_of_endpoint("unix:address=" + path.replace(":", "\\:")),
            place_of_url(f"unix:{path}"),
        ):
            self.assertEqual(fetch(place), OVERVIEW)

    def test_an_encrypted_endpoint_is_known_by_its_certificate(self) -> None:
        server, own = self.encrypted()
        endpoint = f"ssl:{server.server_port}:privateKey=absent:certKey={own}:interface=127.0.0.1"
        self.assertEqual(fetch(place_of_endpoint(endpoint)), OVERVIEW)
        _, other = self.encrypted()
        reason = self.reason(place_of_endpoint(endpoint.replace(own, other)))
        self.assertIn("the certificate is not that of", reason)
        reason = self.reason(place_of_endpoint(endpoint.replace(own, "absent")))
        self.assertIn("No such file", reason)
        self.assertEqual(len(server.asked), 1)

    def test_a_url_of_https_is_verified(self) -> None:
        server, own = self.encrypted()
        url = f"https://127.0.0.1:{server.server_port}/"
        self.assertIn("certificate verify failed", self.reason(place_of_url(url)))
        self.assertEqual(fetch(place_of_url(url, own)), OVERVIEW)
        wrong = self.assertRaises(CommandError, place_of_url, url, "absent")
        self.assertEqual(str(wrong), "--cacert: No such file or directory")

    def test_a_url_may_have_a_path_and_a_user(self) -> None:
        server = self.tcp()
        root = f"http://will:s%40cret@127.0.0.1:{server.server_port}"
        credential = "Basic " + base64.b64encode(b"will:s@cret").decode()
        for path in ("", "/", "/-", "/-/", "/-/overview.json"):
            place = place_of_url(root + path)
            fetch(place)
            self.assertNotIn("cret", place.shown)
        below = ("/-/overview.json", credential)
        self.assertEqual(server.asked, [("/overview.json", credential)] * 2 + [below] * 3)

    def test_a_user_may_stand_in_netrc(self) -> None:
        server = self.tcp()
        home = Path(self.mktemp())
        home.mkdir()
        self.patch(os, "environ", {**os.environ, "HOME": str(home)})
        (home / ".netrc").write_text("machine 127.0.0.1 login will password secret\n")
        (home / ".netrc").chmod(0o600)
        fetch(place_of_url(f"http://127.0.0.1:{server.server_port}"))
        credential = "Basic " + base64.b64encode(b"will:secret").decode()
        self.assertEqual(server.asked, [("/overview.json", credential)])

    def test_what_cannot_be_used_is_refused(self) -> None:
        for url in ("ftp://host", "host:80", "http://", "http://[::1", "http://host:port", "unix:"):
            self.assertRaises(CommandError, place_of_url, url)
        for endpoint in (
            "systemd:domain=INET:index=0",
            "tcp:x",
            "tcp",
            "",
            "unix:",
            ":::",
            "tcp:99999999",
        ):
            self.assertRaises(CommandError, place_of_endpoint, endpoint)

    def test_an_answer_that_is_no_overview_is_told(self) -> None:
        server = self.tcp()
        place = place_of_endpoint(f"tcp:{server.server_port}")
        for answer, words in (
            ((401, b""), "the answer is 401 Unauthorized"),
            ((403, b'{"message": "name it\\u001b[2J"}'), "403 Forbidden: name it\\x1b[2J"),
            ((403, b'{"message": 7}'), "403 Forbidden"),
            ((200, b"<html>"), "no overview"),
            ((200, b'{"version": "9"}'), "another version"),
            ((200, b"[" * 100_000), "no overview"),
            ((200, b"x" * (MAX_ANSWER + 5)), "no overview"),
            ((200, msgspec.json.encode(overview(now=1.7e308))), "cannot be"),
            ((200, msgspec.json.encode(overview(rates=Rates(-1e30)))), "cannot be"),
        ):
            server.answer = answer
            self.assertIn(words, self.reason(place))

    def test_a_reason_that_a_terminal_could_obey_is_shown_as_its_code(self) -> None:
        server = self.tcp()
        server.answer, server.reason = (403, b""), "\x1b]0;owned\x07\x9b2J"
        reason = self.reason(place_of_endpoint(f"tcp:{server.server_port}"))
        self.assertEqual(reason, "the answer is 403 \\x1b]0;owned\\x07\\x9b2J")

    def test_more_than_is_told_is_no_problem(self) -> None:
        server = self.tcp()
        newer = {**msgspec.to_builtins(OVERVIEW), "mood": "good"}
        server.answer = 200, msgspec.json.encode(newer)
        self.assertEqual(fetch(place_of_endpoint(f"tcp:{server.server_port}")), OVERVIEW)

    def test_a_place_that_cannot_be_is_told(self) -> None:
        for url in (f"http://{'a' * 70}.example", "http://a\u0378b", "unix:a\0b"):
            self.assertTrue(self.reason(place_of_url(url)), url)

    def test_nobody_there_and_nobody_who_answers(self) -> None:
        self.patch(fetching, "TIMEOUT", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            self.assertEqual(self.reason(place_of_endpoint(f"tcp:{port}")), "no answer in time")
        self.assertEqual(self.reason(place_of_endpoint(f"tcp:{port}")), "Connection refused")

    def test_what_is_no_http_is_told(self) -> None:
        class Nonsense(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(1000)
                self.request.sendall(b"\x1b[2J nonsense\r\n")

        server = self.serve(socketserver.TCPServer(("127.0.0.1", 0), Nonsense))
        port = server.server_address[1]
        self.assertIn("no HTTP", self.reason(place_of_endpoint(f"tcp:{port}")))
