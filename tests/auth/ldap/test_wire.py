"""What servers send beside answers, and how slowly: TLS below libldap."""

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
from tests.auth.ldap.support import serve
from tests.integration.test_endpoints import write_certificate
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
