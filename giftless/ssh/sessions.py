"""The open connections of the front for SSH: counted, and ended when service ends."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from giftless.base.networks import network_of_host


class Connection(Protocol):
    """What is asked of a connection."""

    def drain(self) -> None:
        """Close when nothing has been under way for a moment."""

    def abort(self) -> None:
        """Close at once, whatever is under way."""


class Sessions:
    """All connections of the front.

    :param limit: how many sessions one address (or IPv6 /64 network) may have.
    :param clock: tells the time.
    :ivar draining: whether each is to end when nothing has been under way for a moment.
    """

    def __init__(self, limit: int, clock: IReactorTime) -> None:
        self._limit = limit
        self._clock = clock
        self.draining = False
        self._open: set[Connection] = set()
        self._per_network: dict[str, int] = {}
        self._waiting: list[Deferred[None]] = []

    def too_many(self, address: str) -> bool:
        """Whether an address has all sessions that it may have.

        :param address: the client's IP address; empty if unknown.
        """
        network = network_of_host(address)
        return bool(network) and self._per_network.get(network, 0) >= self._limit

    def enter(self, address: str) -> None:
        """Count a session of an address."""
        network = network_of_host(address)
        self._per_network[network] = self._per_network.get(network, 0) + 1

    def leave(self, address: str) -> None:
        """Forget a session of an address."""
        network = network_of_host(address)
        left = self._per_network[network] - 1
        if left:
            self._per_network[network] = left
        else:
            del self._per_network[network]

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
        over = Deferred[None]()
        self._waiting.append(over)
        self._check_over()
        return over

    def drain(self, timeout: float) -> Deferred[None]:
        """Let what is under way finish, and close each session then.

        :param timeout: after so many seconds the rest is cut off.
        :returns: fires when none is left.
        """
        self.draining = True
        abort = self._clock.callLater(timeout, self._abort)

        def cancel_abort(result: None) -> None:
            if abort.active():
                abort.cancel()

        for connection in list(self._open):
            connection.drain()
        return self.retire().addCallback(cancel_abort)

    def _abort(self) -> None:
        for connection in list(self._open):
            connection.abort()

    def _check_over(self) -> None:
        if not self._open:
            waiting, self._waiting = self._waiting, []
            for over in waiting:
                over.callback(None)
