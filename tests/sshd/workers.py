"""A worker for tests of the listener: it answers greetings on a Unix socket.

What a session does is in its command: ``echo`` answers with what it gets, ``take`` takes
all and tells how much that was, ``give N`` sends N bytes, ``refuse`` ends with words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.internet import reactor as installed_reactor
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.base.ssh_greeting import Admitted, Greeting, Owned, Session, WhoseKey

#: The reactor, whose interfaces mypy does not know.
reactor: Any = installed_reactor

#: What ``give`` sends, again and again.
BLOCK = bytes(range(256)) * 256


@implementer(IHalfCloseableProtocol)
class Worker(Protocol):
    """One connection of the listener."""

    transport: Any

    def __init__(self, workers: StandIn) -> None:
        self.workers = workers
        self.command = ""
        self._buffer = b""
        self._session = False
        self.taken = 0
        self.left = 0

    def connectionMade(self) -> None:
        self.workers.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        if self._session:
            self.received(data)
            return
        self._buffer += data
        line, newline, rest = self._buffer.partition(b"\n")
        if newline:
            self.greeted(msgspec.json.decode(line, type=Greeting))
            if rest:
                self.received(rest)

    def greeted(self, greeting: Any) -> None:
        self.workers.greetings.append(greeting)
        if self.workers.broken:
            self.workers.broken -= 1
            self.transport.abortConnection()
        elif isinstance(greeting, WhoseKey):
            self.answer(self.workers.owner(greeting))
        else:
            assert isinstance(greeting, Session)
            self.begin(greeting.command)

    def answer(self, answer: Any) -> None:
        self.transport.write(msgspec.json.encode(answer) + b"\n")

    def begin(self, command: str) -> None:
        self._session = True
        self.command, _, argument = command.partition(" ")
        if self.command == "refuse":
            self.answer(Admitted(status=3, stdout="some\n", stderr="giftless: no\n"))
            self.transport.loseConnection()
            return
        self.answer(Admitted(open=True))
        if self.command == "give":
            self.left = int(argument)
            self.transport.registerProducer(self, False)
        elif self.command == "stall":
            self.transport.pauseProducing()

    def received(self, data: bytes) -> None:
        self.taken += len(data)
        if self.command == "echo":
            self.transport.write(data)

    def resumeProducing(self) -> None:
        block = BLOCK[: self.left]
        self.left -= len(block)
        self.transport.write(block)
        if not self.left:
            self.transport.unregisterProducer()
            # As a session ends: whoever reads closes the connection then.
            self.transport.loseWriteConnection()

    def stopProducing(self) -> None:
        self.left = 0

    def readConnectionLost(self) -> None:
        if self.command == "take":
            self.transport.write(b"%d\n" % self.taken)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.workers.connections.remove(self)


class StandIn:
    """Stands in for the workers.

    :param path: the Unix socket.
    :ivar owners: whose the keys are, by their blobs.
    :ivar greetings: what was asked.
    :ivar connections: those that are open.
    :ivar broken: how many questions are not answered: the worker dies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owners: dict[bytes, Owned] = {}
        self.greetings: list[WhoseKey | Session] = []
        self.connections: list[Worker] = []
        self.broken = 0
        self._port: Any = None

    async def start(self) -> None:
        workers = self

        class Workers(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> Worker:
                return Worker(workers)

        self._port = await UNIXServerEndpoint(reactor, str(self.path)).listen(Workers())

    async def stop(self) -> None:
        await self._port.stopListening()
        for connection in list(self.connections):
            connection.transport.abortConnection()

    def owner(self, question: WhoseKey) -> Owned:
        return self.owners.get(question.blob, Owned())
