"""Connections: proxies, certificates, errors."""

from __future__ import annotations

import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.agent.errors import Again, TransferError
from giftless.agent.http import Client
from giftless.base.git_settings import Settings
from tests.agent.server import Answer, Asked, Cut, Server

DIRECT = Settings(proxy="")


class ClientTests(SynchronousTestCase):
    def client(self, settings: Settings = DIRECT) -> Client:
        return Client(2, lambda url: settings, lambda: 784111770.0)

    def server(self, answer: Answer) -> Server:
        return Server(self, lambda asked: answer)

    def test_a_request_gets_its_answer(self) -> None:
        """A request goes out with its headers and comes back with the answer."""
        server = self.server(Answer(200, b"{}"))
        reply = self.client().ask("POST", f"{server.url}/p?q", {"A": "b"})
        self.assertEqual((reply.status, reply.body), (200, b"{}"))
        (asked,) = server.asked
        self.assertEqual((asked.method, asked.path, asked.headers["a"]), ("POST", "/p?q", "b"))
        self.assertEqual(asked.headers["content-length"], "0")
        self.assertTrue(asked.headers["user-agent"].startswith("giftless-transfer-agent/"))

    def test_the_words_of_a_server_are_found(self) -> None:
        """The words of servers are found, in whatever they are wrapped; signatures are not told."""
        for body, words in (
            (b'{"message": "no  such\\nobject"}', " no such object"),
            (b"<Error><Code>X</Code><Message>Access Denied</Message></Error>", " Access Denied"),
            (b'{"message": "' + b"x" * 9999 + b'"}', " " + "x" * 300),
            (b"<html>", ""),
            (b"\xff", ""),
            (b"[]", ""),
            (b"[" * 100_000, ""),
            (b"", ""),
        ):
            server = self.server(Answer(404, body))
            reply = self.client().ask("POST", f"{server.url}/p?secret", None)
            self.assertEqual(reply.reason, f"POST {server.url}/p: 404{words}")
            self.assertNotIn("secret", repr(reply))

    def test_worth_another_attempt(self) -> None:
        """Failures that may pass are told apart from the others, with the time to wait."""
        for status in (408, 429, 500, 502, 503, 504, 520):
            for value, after in ((None, None), ("7", 7), ("Sun, 06 Nov 1994 08:49:37 GMT", 7)):
                headers = {} if value is None else {"Retry-After": value}
                server = self.server(Answer(status, b"", headers))
                error = self.assertRaises(Again, self.client().ask, "POST", server.url, None)
                self.assertEqual(error.after, after)
        for status in (400, 401, 403, 404, 409, 410, 413, 422, 501, 505, 507, 511):
            server = self.server(Answer(status))
            self.assertEqual(self.client().ask("POST", server.url, None).status, status)

    def test_an_absent_server_is_named(self) -> None:
        """A server that is not there is told in plain words."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/p?secret"
            error = self.assertRaises(Again, self.client().ask, "POST", url, None)
        self.assertEqual(
            error.reason,
            f"POST {url.partition('?')[0]}: Failed to establish a new connection:"
            " [Errno 111] Connection refused",
        )

    def test_a_server_that_hangs_up_is_named(self) -> None:
        """So is one that hangs up."""

        def answer(asked: Asked) -> Answer:
            raise Cut

        server = Server(self, answer)
        error = self.assertRaises(Again, self.client().ask, "POST", server.url, None)
        self.assertEqual(
            error.reason,
            f"POST {server.url}: Remote end closed connection without response",
        )

    def test_a_bad_url_is_refused(self) -> None:
        """What is no URL of HTTP is refused."""
        for url in ("ftp://h/p", "/p", "", "http:///p", "nfs://h"):
            self.assertRaises(TransferError, self.client().ask, "POST", url, None)

    def test_a_silent_server_is_given_up(self) -> None:
        """A server that says nothing is not waited for for ever."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            error = self.assertRaises(Again, self.client().ask, "POST", url, None, 0.05)
        self.assertIn("Read timed out", error.reason)

    def test_a_refusal_before_the_end_is_read(self) -> None:
        """A refusal is read, even if the server does not take the body."""
        with socket.create_server(("127.0.0.1", 0)) as refusing:
            url = f"http://127.0.0.1:{refusing.getsockname()[1]}"

            def body() -> object:
                yield b"x" * 1000
                connection, _ = refusing.accept()
                connection.sendall(
                    b"HTTP/1.1 413 Too Large\r\nContent-Length: 18\r\n"
                    b'Connection: close\r\n\r\n{"message": "big"}'
                )
                connection.shutdown(socket.SHUT_WR)
                yield b"x" * 1000
                self.connection = connection

            reply = self.client().send("PUT", url, {}, body(), 2000)  # type: ignore[arg-type]
            self.connection.close()
        self.assertEqual(reply.reason, f"PUT {url}: 413 big")

    def test_the_answer_behind_interim_responses_counts(self) -> None:
        """102 and others are skipped, in any number, and the connection is kept."""
        client = self.client()
        for interim in ((102,), (100,), (103, 100, 102), (199,), (102,) * 300, (100,) * 300):
            for status, body in ((200, b"{}"), (409, b'{"message": "bad"}'), (404, b"")):
                server = self.server(Answer(status, body, interim=interim))
                for _ in range(2):
                    reply = client.ask("PUT", f"{server.url}/p", None)
                    self.assertEqual((reply.status, reply.body), (status, body), interim)
                with client.fetch(self.server(Answer(200, b"x", interim=interim)).url, {}) as got:
                    self.assertEqual((got.status, got.read()), (200, b"x"))
            server = self.server(Answer(503, interim=interim))
            self.assertRaises(Again, client.ask, "PUT", server.url, None)

    def test_nothing_but_interim_responses_is_given_up(self) -> None:
        """A server that sends more than a thousand has no answer."""
        for status in (100, 102):
            server = self.server(Answer(200, b"{}", interim=(status,) * 1001))
            error = self.assertRaises(Again, self.client().ask, "PUT", server.url, None)
            self.assertIn("more than 1000 interim responses", error.reason)

    def test_another_protocol_is_an_error(self) -> None:
        """101 is no success, and the connection is not used again."""
        client = self.client()
        server = self.server(Answer(101))
        reply = client.ask("PUT", server.url, None)
        self.assertEqual((reply.status, reply.good), (101, False))
        server.answer = lambda asked: Answer(200, b"{}")
        self.assertTrue(client.ask("PUT", server.url, None).good)
        server.answer = lambda asked: Answer(101)
        with self.assertRaises(TransferError), client.fetch(server.url, {}):
            self.fail("a download from 101")

    def test_a_proxy_may_send_interim_responses(self) -> None:
        proxy = self.server(Answer(200, b"{}", interim=(102,)))
        reply = self.client(Settings(proxy=proxy.url)).ask("PUT", "http://elsewhere.example/", None)
        self.assertEqual((reply.status, reply.body), (200, b"{}"))

    def test_another_host_does_not_see_tokens(self) -> None:
        """A redirect to another host takes no token of an action there."""
        other = self.server(Answer(200, b"x"))
        server = self.server(Answer(302, headers={"Location": other.url}))
        header = {"Giftless-Action": "secret", "Authorization": "secret", "X-Other": "kept"}
        with self.client().fetch(server.url, header) as response:
            self.assertEqual(response.status, 200)
        (asked,) = other.asked
        self.assertEqual(asked.headers["x-other"], "kept")
        self.assertNotIn("secret", asked.headers.values())

    def test_connections_are_kept(self) -> None:
        """One connection serves several requests."""
        ports = set()

        class Recording(Server):
            def handle(self, handler) -> None:  # type: ignore[no-untyped-def]
                ports.add(handler.client_address[1])
                super().handle(handler)

        server = Recording(self, lambda asked: Answer(200, b"{}"))
        client = self.client()
        for _ in range(3):
            client.ask("POST", server.url, None)
        self.assertEqual(len(ports), 1)


class ProxyTests(SynchronousTestCase):
    def test_requests_go_through_the_proxy(self) -> None:
        """Requests go through the proxy that git is configured with, with its password."""
        proxy = Server(self, lambda asked: Answer(200, b"from the proxy"))
        for url in (proxy.url, proxy.url.removeprefix("http://")):
            reply = Client(1, lambda _, url=url: Settings(proxy=url)).ask(  # type: ignore[misc]
                "POST", "http://lfs.invalid/p", None
            )
            self.assertEqual(reply.body, b"from the proxy")
        self.assertEqual(proxy.paths("POST"), ["http://lfs.invalid/p"] * 2)
        settings = Settings(proxy=proxy.url.replace("//", "//me:pass%40word@"))
        Client(1, lambda _: settings).ask("POST", "http://lfs.invalid/p", None)
        self.assertEqual(proxy.asked[-1].headers["proxy-authorization"], "Basic bWU6cGFzc0B3b3Jk")

    def test_https_goes_through_a_tunnel(self) -> None:
        """For HTTPS it is asked for a tunnel."""
        proxy = Server(self, lambda asked: Answer(503))
        client = Client(1, lambda _: Settings(proxy=proxy.url))
        self.assertRaises(Again, client.ask, "POST", "https://lfs.invalid/p", None)
        self.assertEqual(proxy.paths("CONNECT"), ["lfs.invalid:443"])

    def test_the_environment_names_a_proxy(self) -> None:
        """Without a setting the environment counts, but for the hosts that it leaves out."""
        proxy = Server(self, lambda asked: Answer(200, b"from the proxy"))
        for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
            self.patch_environ(name, "")
        self.patch_environ("http_proxy", proxy.url)
        self.patch_environ("no_proxy", "127.0.0.1")
        server = Server(self, lambda asked: Answer(200, b"direct"))
        client = Client(1, lambda _: Settings())
        self.assertEqual(client.ask("POST", "http://lfs.invalid", None).body, b"from the proxy")
        self.assertEqual(client.ask("POST", server.url, None).body, b"direct")

    def patch_environ(self, name: str, value: str) -> None:
        import os

        before = os.environ.get(name)
        os.environ[name] = value
        if before is None:
            self.addCleanup(os.environ.pop, name, None)
        else:
            self.addCleanup(os.environ.__setitem__, name, before)

    def test_an_unknown_kind_of_proxy_is_refused(self) -> None:
        """A proxy of a kind that is not known is told."""
        client = Client(1, lambda _: Settings(proxy="socks5://127.0.0.1:1"))
        error = self.assertRaises(TransferError, client.ask, "POST", "http://h", None)
        self.assertIn("http.proxy", error.message)


class CertificateTests(SynchronousTestCase):
    def test_files_that_are_not_there(self) -> None:
        """Certificates that cannot be read are told."""
        missing = str(Path(self.mktemp()))
        for settings in (
            Settings(proxy="", ca_file=missing),
            Settings(proxy="", cert_file=missing),
        ):
            client = Client(1, lambda _, settings=settings: settings)  # type: ignore[misc]
            error = self.assertRaises(TransferError, client.ask, "POST", "https://h", None)
            self.assertIn("http.sslCAInfo", error.message)
