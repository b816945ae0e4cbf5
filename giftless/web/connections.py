"""The open connections: counted by address, and ended when service ends."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from giftless.base.networks import NetworkCounts
from giftless.base.open_connections import Abortable, OpenConnections
from giftless.web.proxies import Proxies, host_of, network_of


class Connection(Abortable, Protocol):
    """A connection of a site, which :class:`Connections` ends."""

    @property
    def peer(self) -> Any:
        """The address that it comes from, an ``IAddress``."""

    def drain(self) -> None:
        """Close as soon as nothing is under way."""


class Connections(OpenConnections[Connection]):
    """All connections of a site, and the handlers that run for them.

    :param limit: how many connections one address (or IPv6 /64 network) may have.
    :param proxies: whose connections are not limited.
    :param clock: tells the time.
    :ivar retiring: whether each connection is to end with its next response.
    :ivar draining: whether each is to end as soon as nothing is under way.
    """

    def __init__(self, limit: int, proxies: Proxies, clock: IReactorTime) -> None:
        super().__init__(clock)
        self._limit = limit
        self._proxies = proxies
        self.retiring = self.draining = False
        self._handlers: set[Deferred[None]] = set()
        self._per_network = NetworkCounts()

    def too_many(self, address: Any) -> bool:
        """Whether the network of a peer's address has all connections that it may have."""
        network = network_of(address)
        return (
            self._per_network[network] >= self._limit
            and bool(network)
            and not self._proxies.trusts(host_of(address))
        )

    def opened(self, connection: Connection) -> None:
        """Count a connection."""
        self._open.add(connection)
        self._per_network[network_of(connection.peer)] += 1

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._per_network.drop(network_of(connection.peer))
        self._check_over()

    def handles(self, handler: Deferred[None]) -> None:
        """Note a request's handler, which may outlast the connection to clean up.

        :param handler: fires when it has ended, and never fails.
        """
        self._handlers.add(handler)
        handler.addCallback(lambda _: self._handled(handler))

    def retire(self) -> Deferred[None]:
        """Let every connection end with its next response, or by the limits.

        A client that is told in a response that the connection closes cannot be
        sending its next request at that moment; one whose silent connection is
        closed can.

        :returns: fires when no connection is left and no handler runs.
        """
        self.retiring = True
        return self._over()

    def drain(self, timeout: float) -> Deferred[None]:
        """Let running requests finish; close everything else.

        :param timeout: after so many seconds the rest is cut off.
        :returns: fires when no connection is left and no handler runs.
        """
        self.retiring = self.draining = True
        for connection in list(self._open):
            connection.drain()
        return self._over_within(timeout)

    def _handled(self, handler: Deferred[None]) -> None:
        self._handlers.discard(handler)
        self._check_over()

    def _is_over(self) -> bool:
        return not self._open and not self._handlers
