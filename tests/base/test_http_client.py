"""Requests to other servers, over real connections."""

from __future__ import annotations

import socket
import subprocess
import sys

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from giftless.base.http_client import http_client, quiet_pool, read_at_once
from tests.support.processes import PATIENCE, installed
from tests.support.reactor import reactor

#: Sends the beginning of a body to a port.
SENDER = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer
from giftless.base.http_client import http_client, quiet_pool

@implementer(IBodyProducer)
class Beginning:
    length = 1000

    def startProducing(self, consumer):
        consumer.write(b"begun")
        return Deferred()

    def stopProducing(self):
        pass

    pauseProducing = resumeProducing = stopProducing

client = http_client(reactor, quiet_pool(reactor))
client.request("PUT", f"http://127.0.0.1:{sys.argv[1]}/", data=Beginning())
reactor.run()
"""


class Proxied:
    """What stands between a body and its connection; over TLS there is one more."""

    def __init__(self, transport: object) -> None:
        self._producer = self.transport = transport


class ReadAtOnceTests(SynchronousTestCase):
    def test_it_is_the_socket_that_is_read(self) -> None:
        plain, below = FileDescriptor(reactor), FileDescriptor(reactor)
        read_at_once(Proxied(plain), 1000)
        read_at_once(Proxied(Proxied(below)), 2000)
        self.assertEqual((plain.bufferSize, below.bufferSize), (1000, 2000))

    def test_a_connection_that_is_gone_is_read_no_more(self) -> None:
        read_at_once(Proxied(None), 1000)
        read_at_once(None, 1000)


class KilledTests(SynchronousTestCase):
    def test_a_body_whose_sender_is_killed_ends_with_a_reset(self) -> None:
        """Some servers take a body for whole whose connection just ends."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            port = listener.getsockname()[1]
            sender = subprocess.Popen(
                [sys.executable, "-c", SENDER, str(port)], env=installed().environ
            )
            try:
                connection, _ = listener.accept()
                connection.settimeout(PATIENCE)
                received = b""
                while not received.endswith(b"begun"):
                    received += connection.recv(1000)
            finally:
                sender.kill()
                sender.wait()
            with connection:
                self.assertRaises(ConnectionResetError, connection.recv, 1000)


@implementer(IBodyProducer)
class AtOnce:
    """Writes all of its body before the connection can hold it up."""

    length = 10_000_000

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(bytes(self.length))
        return succeed(None)

    def stopProducing(self) -> None:
        """Do nothing."""

    pauseProducing = resumeProducing = stopProducing


class KeptConnectionTests(TestCase):
    async def test_a_body_behind_one_that_was_held_up_is_sent(self) -> None:
        """The connection would let it go on, although it has not held it up."""
        pool = quiet_pool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        client = http_client(reactor, pool)
        bodies = AtOnce(), bytes(1_000_000)
        lengths = [AtOnce.length, 1_000_000]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            answering = deferToThread(_answer, listener, lengths)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            for body in bodies:
                # From here, the head of the request leaves before the first bytes of the body.
                await deferLater(reactor, 0)
                response = await client.request("PUT", url, data=body)
                self.assertEqual(await response.content(), b"")
            await answering


def _answer(listener: socket.socket, lengths: list[int]) -> None:
    """Answer requests over one connection, when the whole body of each has come."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as received:
        connection.settimeout(PATIENCE)
        for length in lengths:
            while received.readline().strip():
                pass
            received.read(length)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
