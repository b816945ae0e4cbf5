"""The open connections of the front for SSH: counted, and ended when service ends."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from giftless.base.networks import NetworkCounts, network_of_host
from giftless.base.open_connections import Abortable, OpenConnections


class Connection(Abortable, Protocol):
    """A connection of the front, which :class:`Sessions` ends."""

    def drain(self) -> None:
        """Close when nothing has been under way for a moment."""


class Sessions(OpenConnections[Connection]):
    """All connections of the front.

    :param limit: how many sessions one address (or IPv6 /64 network) may have.
    :param clock: tells the time.
    :ivar draining: whether each is to end when nothing has been under way for a moment.
    """

    def __init__(self, limit: int, clock: IReactorTime) -> None:
        super().__init__(clock)
        self._limit = limit
        self.draining = False
        self._per_network = NetworkCounts()

    def too_many(self, address: str) -> bool:
        """Whether an address has all sessions that it may have.

        :param address: the client's IP address; empty if unknown.
        """
        network = network_of_host(address)
        return bool(network) and self._per_network[network] >= self._limit

    def enter(self, address: str) -> None:
        """Count a session of an address."""
        self._per_network[network_of_host(address)] += 1

    def leave(self, address: str) -> None:
        """Forget a session of an address."""
        self._per_network.drop(network_of_host(address))

    def opened(self, connection: Connection) -> None:
        """Note a connection."""
        self._open.add(connection)
        if self.draining:
            connection.drain()

    def closed(self, connection: Connection) -> None:
        """Forget a connection.  Harmless when repeated."""
        self._open.discard(connection)
        self._check_over()

    def retire(self) -> Deferred[None]:
        """Let every session go on to its end.

        git-lfs cannot go on in another session with what it does in one.

        :returns: fires when none is left.
        """
        return self._over()

    def drain(self, timeout: float) -> Deferred[None]:
        """Let what is under way finish, and close each session then.

        :param timeout: after so many seconds the rest is cut off.
        :returns: fires when none is left.
        """
        self.draining = True
        for connection in list(self._open):
            connection.drain()
        return self._over_within(timeout)
