"""What servers send beside answers, how slowly, and answers that they should not give."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from giftless.auth.ldap.deadline import Deadline
from giftless.auth.ldap.link import Link
from giftless.auth.ldap.options import LDAPOptions, Server, servers_of
from giftless.auth.ldap.wire import connect
from giftless.errors import IdentityUnavailable
from giftless.interfaces import Credentials, Password
from tests.auth.ldap.support import Inline, serve
from tests.support.certificates import write_certificate
from tests.support.making import repo_of
from tests.support.run import CoroutineTestCase

#: How long a server may take, in seconds, and how long one that is slow is watched.
SOON = 2
LONG = 15


class _Front(socketserver.ThreadingTCPServer):
    """TLS as of OpenSSL in front of a server: after the handshake come two session tickets.

    :param port: where the server listens.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.context = context
        self.port = port


class _Passing(socketserver.BaseRequestHandler):
    server: _Front

    def handle(self) -> None:
        """Pass on questions of one read each, and their answers."""
        behind = socket.create_connection(("127.0.0.1", self.server.port))
        with behind, self.server.context.wrap_socket(self.request, server_side=True) as tls:
            back = threading.Thread(target=_pass, args=(behind, tls), daemon=True)
            back.start()
            _pass(tls, behind)
            with contextlib.suppress(OSError):
                behind.shutdown(socket.SHUT_RDWR)
            back.join()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


class WireTests(CoroutineTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        self.key, self.certificate = write_certificate(directory)

    def server(self, url: str, **others: Any) -> Server:
        """Return what the options say of a server."""
        options = LDAPOptions(urls=[url], ca_file=str(self.certificate), **others)
        (found,) = servers_of(options)
        return found

    def test_session_tickets_hold_up_no_question(self) -> None:
        """OpenSSL and Windows send them unasked, Debian's slapd does not."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        with _Front(context, serve(self).port) as front:
            thread = threading.Thread(target=front.serve_forever)
            thread.start()
            try:
                server = self.server(f"ldaps://127.0.0.1:{front.server_address[1]}")
                for _ in range(3):
                    Link(server, Deadline(LONG)).close()
            finally:
                front.shutdown()
                thread.join()

    def test_a_resolver_that_is_silent_is_not_waited_for(self) -> None:
        ended = threading.Event()

        def silent(*arguments: Any, **options: Any) -> Any:
            ended.wait(LONG)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")

        self.patch(socket, "getaddrinfo", silent)
        begun = time.monotonic()
        try:
            self.assertRaises(
                TimeoutError, connect, self.server("ldap://ldap.example"), Deadline(0.1)
            )
        finally:
            ended.set()
        self.assertLess(time.monotonic() - begun, LONG / 2)

    def test_a_name_that_nobody_has_is_an_error_of_the_server(self) -> None:
        def unknown(*arguments: Any, **options: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")

        self.patch(socket, "getaddrinfo", unknown)
        error = self.assertRaises(
            OSError, connect, self.server("ldap://ldap.example"), Deadline(SOON)
        )
        self.assertIn("no such name", str(error))

    def test_a_byte_now_and_then_is_not_waited_for(self) -> None:
        """Before TLS as well, where anybody can send it."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def drip() -> None:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.sendall(b"\x30\x84\x00\x00\x10\x00\x02\x01\x01")
                    end = time.monotonic() + LONG
                    while time.monotonic() < end:
                        connection.sendall(b"\x00")
                        time.sleep(0.1)

            thread = threading.Thread(target=drip)
            thread.start()
            server = self.server(
                f"ldap://127.0.0.1:{listener.getsockname()[1]}", encryption="start_tls"
            )
            begun = time.monotonic()
            self.assertRaises(OSError, connect, server, Deadline(SOON))
            self.assertLess(time.monotonic() - begun, LONG - SOON)
            thread.join()


def _tlv(tag: int, *content: bytes) -> bytes:
    """Encode something of less than 128 bytes (BER)."""
    whole = b"".join(content)
    return bytes((tag, len(whole))) + whole


def _entry(dn: bytes) -> bytes:
    """An entry that a search has found, in the second message."""
    values = [
        _tlv(0x30, _tlv(4, name), _tlv(0x31, _tlv(4, b"x"))) for name in (b"uid", b"entryUUID")
    ]
    return _tlv(0x30, _tlv(2, b"\2"), _tlv(0x64, _tlv(4, dn), _tlv(0x30, *values)))


def _done(number: int) -> bytes:
    """The end of what a search has found."""
    return _tlv(0x30, _tlv(2, bytes((number,))), _tlv(0x65, _tlv(10, b"\0"), _tlv(4), _tlv(4)))


class AnswerTests(CoroutineTestCase):
    """A server whose answers to a search for a user no other gives."""

    def problem(self, *found: bytes) -> str:
        """Log in while a search finds something, and return what the client is told."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def answer() -> None:
                search, _ = listener.accept()
                with search, contextlib.suppress(OSError):
                    search.recv(65536)
                    search.sendall(_done(1))
                    users, _ = listener.accept()
                    with users:
                        users.recv(65536)
                        users.sendall(_done(1))
                        search.recv(65536)
                        search.sendall(b"".join(found) + _done(2))
                        search.recv(65536)

            thread = threading.Thread(target=answer)
            thread.start()
            inline = Inline()
            url = f"ldap://127.0.0.1:{listener.getsockname()[1]}"
            asking = inline.build({"urls": [url], "user_base": "dc=x", "timeout": LONG})
            shown = Credentials((Password("x", "secret"),))
            error = self.assert_fails(IdentityUnavailable, asking.authenticate(shown, repo_of()))
            self.run_now(inline.environment.services.stopService())
            thread.join()
        return str(error)

    def test_a_server_that_gives_more_than_it_may_lets_nobody_in(self) -> None:
        told = self.problem(_entry(b"uid=x,dc=x"), _entry(b"uid=x,ou=y,dc=x"))
        self.assertIn("about you", told)

    def test_names_that_are_none_are_no_fault_of_this_server(self) -> None:
        for dn in (b"uid=\xff\xfe,dc=x", b""):
            self.assertIn("does not answer", self.problem(_entry(dn)))
