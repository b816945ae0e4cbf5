"""Ports that accept connections on a socket that other workers accept on too.

All workers wake up when a client connects, and Twisted's ports accept every
connection that waits: the first worker to wake up would accept all connections of
a client that opens several, and serve them alone.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

_log = Logger(namespace="giftless")

#: For how many seconds a worker leaves waiting connections to the other workers.
TURN: Final = 0.002

#: How many connections a worker accepts at once, at most: those that it has wait meanwhile.
MOST: Final = 16

#: How many connections may wait to be accepted, unless an endpoint says more:
#: Twisted's own 50 are few while workers are replaced.
BACKLOG: Final = 1024


class _InTurns:
    """Accepts one connection, and leaves the others that wait to other workers.

    It pauses for :data:`TURN` seconds.  Connections that still wait then are more
    than the other workers have time for: it accepts twice as many as before.

    :ivar alone: whether no other worker accepts on the socket: it accepts :data:`MOST` then.
    """

    reactor: Any
    sessionno: int  # How many connections it has accepted.
    alone = False
    _limit = 1
    #: What ends a pause, or lets it begin with one again.
    _next: IDelayedCall | None = None

    @property
    def numberAccepts(self) -> int:
        """How many connections Twisted accepts at once."""
        return MOST if self.alone else self._limit

    @numberAccepts.setter
    def numberAccepts(self, number: int) -> None:
        """Ignore the number that Twisted sets."""

    def doRead(self) -> None:
        """Accept connections."""
        self._expect_nothing()
        before = self.sessionno
        super().doRead()  # type: ignore[misc]  # of the port
        if self.alone:
            return
        if self.sessionno - before < self._limit:
            self._limit = 1
        else:
            self._limit = min(2 * self._limit, MOST)
            self.stopReading()  # type: ignore[attr-defined]
            self._next = self.reactor.callLater(TURN, self._go_on)

    def _go_on(self) -> None:
        self.startReading()  # type: ignore[attr-defined]
        # Before that is due the reactor has looked, however busy it is.
        self._next = self.reactor.callLater(TURN, self._begin_again)

    def _begin_again(self) -> None:
        """Take note that nothing was left after a pause."""
        self._next = None
        self._limit = 1

    def _expect_nothing(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def loseConnection(self, *args: Any) -> Any:
        """Stop listening."""
        self._expect_nothing()
        return super().loseConnection(*args)  # type: ignore[misc]

    stopListening = loseConnection


class SharedTCPPort(_InTurns, tcp.Port):
    """A TCP socket of several processes."""

    @classmethod
    def adopt(cls, reactor: Any, given: socket.socket, factory: Any, alone: bool) -> SharedTCPPort:
        """Accept connections on a duplicate of a socket."""
        port = cls._fromListeningDescriptor(reactor, given.fileno(), given.family, factory)
        port.alone = alone
        port.startListening()
        return port  # type: ignore[no-any-return]


class SharedUnixPort(_InTurns, unix.Port):
    """A Unix socket of several processes; the parent cares for its mode and its file."""

    @classmethod
    def adopt(cls, reactor: Any, given: socket.socket, factory: Any, alone: bool) -> SharedUnixPort:
        """Accept connections on a duplicate of a socket."""
        port = cls._fromListeningDescriptor(reactor, given.fileno(), factory)
        # Twisted changes the mode of names in the file system, and removes
        # them; abstract names begin like this.
        port._bindPath = b"\0" + port._bindPath
        port._shouldShutdown = False
        port.backlog = BACKLOG
        port.alone = alone
        port.startListening()
        return port  # type: ignore[no-any-return]

    def _logConnectionLostMsg(self) -> None:
        """Name the file without the null byte in front."""
        _log.info("(UNIX Port {path} Closed)", path=os.fsdecode(self._bindPath[1:]))
