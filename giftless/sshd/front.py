"""The listener as a whole: makes connections, and lets them end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.conch.ssh.service import SSHService
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from zope.interface import implementer

from giftless.base.metrics.counts import Counts
from giftless.base.open_connections import OpenConnections
from giftless.interfaces import IFront
from giftless.sshd.channel import Channel
from giftless.sshd.connection import Connection
from giftless.sshd.host_keys import HostKeys
from giftless.sshd.login import Login, User
from giftless.sshd.logins import Logins
from giftless.sshd.metrics import ListenerMetrics
from giftless.sshd.options import ListenerOptions
from giftless.sshd.session import Session
from giftless.sshd.transport import ServerTransport
from giftless.sshd.windows import Windows
from giftless.sshd.workers import Workers


class Connections(OpenConnections[ServerTransport], Factory):
    """Makes connections, and knows those that are open.

    :param options: the limits.
    :param host_keys: by which clients know the server.
    :param workers: who serves sessions.
    :param clock: tells the time.
    :param metrics: where connections and logins are counted.
    :ivar publicKeys: the host keys by their kinds, as Conch asks for them.
    :ivar privateKeys: the same.
    """

    noisy = False

    def __init__(
        self,
        options: ListenerOptions,
        host_keys: HostKeys,
        workers: Workers,
        clock: Any,
        metrics: ListenerMetrics,
    ) -> None:
        super().__init__(clock)
        self.publicKeys, self.privateKeys = host_keys.public, host_keys.private
        self.metrics = metrics
        self.logins = Logins(clock, options.max_logins, options.login_timeout)
        self._options = options
        self._signatures = host_keys.signatures
        self._workers = workers
        self._windows = Windows()
        self._leaving = self._ending = False

    def buildProtocol(self, addr: object) -> ServerTransport:
        """Make a connection."""
        transport = ServerTransport(self, self._signatures)
        as_of_conch: Any = self
        transport.factory = as_of_conch
        self._open.add(transport)
        self.metrics.opened()
        return transport

    def getService(
        self, transport: ServerTransport, service: bytes
    ) -> Callable[[], SSHService] | None:
        """Return what makes the service that a client asks for: the login, and once."""
        if service != Login.name or transport.service is not None:
            return None
        succeeded = partial(self._logged_in, transport)
        return lambda: Login(self._workers, self._options.login_attempts, succeeded)

    def _logged_in(self, transport: ServerTransport, user: User) -> Connection:
        def use(channel: Channel) -> Session:
            return Session(channel, self._workers, user)

        connection = Connection(use, self._windows, self._options.max_channels)
        connection.transport = transport
        if self._ending:
            connection.end()
        elif self._leaving:
            connection.leave()
        return connection

    def retire(self) -> Deferred[None]:
        """Let every connection end with its last session.

        :returns: fires when no connection is left.
        """
        self._leaving = True
        for connection in self._connections():
            connection.leave()
        # Who has logged in and not opened a channel yet is about to; or never will.
        unused = self.clock.callLater(2 * self._options.login_timeout, self._close_unused)

        def cancel_unused(result: None) -> None:
            if unused.active():
                unused.cancel()

        return self._over().addCallback(cancel_unused)

    def _close_unused(self) -> None:
        for connection in self._connections():
            connection.leave_unused()

    def drain(self, timeout: float) -> Deferred[None]:
        """Let sessions finish that run; close everything else.

        :param timeout: after so many seconds the rest is cut off.
        :returns: fires when no connection is left.
        """
        self._leaving = self._ending = True
        for transport in list(self._open):
            if not transport.user:
                transport.turn_away("the server is being stopped")
        for connection in self._connections():
            connection.end()
        return self._over_within(timeout)

    def closed(self, transport: ServerTransport) -> None:
        """Note that a connection is over."""
        self._open.discard(transport)
        self.metrics.closed()
        self._check_over()

    def _connections(self) -> list[Connection]:
        services = (transport.service for transport in self._open)
        return [service for service in services if isinstance(service, Connection)]


@implementer(IFront)
class ListenerFront:
    """Serves clients of SSH.

    :param options: what to do.
    :param host_keys: by which clients know the server.
    :param reactor: the reactor.
    :param counts: where connections and logins are counted.
    """

    name = "sshd"

    def __init__(
        self, options: ListenerOptions, host_keys: HostKeys, reactor: Any, counts: Counts
    ) -> None:
        workers = Workers(reactor, options.socket)
        metrics = ListenerMetrics(counts)
        self.factory = Connections(options, host_keys, workers, reactor, metrics)

    async def start(self) -> None:
        """Be ready: there is nothing to prepare."""

    async def retire(self) -> None:
        """See :class:`giftless.interfaces.IFront`."""
        await self.factory.retire()

    async def drain(self, timeout: float) -> None:
        """See :class:`giftless.interfaces.IFront`."""
        await self.factory.drain(timeout)
