"""Requests to other servers, over real connections."""

from __future__ import annotations

import socket
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import PATIENCE, installed

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
