"""Endpoints that begin with ``haproxy:``: a proxy says where each connection comes from.

Twisted reads what the proxy says (the PROXY protocol, versions 1 and 2), but only behind the
beginning of a connection.  So the connection begins when its client has sent something: then
its address is the client's, for limits and logs as well.  Clients of HTTP and of SSH speak
first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.web.proxies import Proxies

#: What such an endpoint begins with.
PREFIX: Final = "haproxy:"

#: For how long a client may say nothing at first, in seconds.
PATIENCE: Final = 30.0

#: Tells whether a proxy is believed, by its address; that is empty for a Unix socket.
Believes = Callable[[str], bool]

_log = Logger(namespace="giftless.connections")


def everybody(host: str) -> bool:
    """Believe everybody who can connect."""
    return True


def believes_of(trusted: Sequence[str]) -> Believes:
    """Return who is believed: trusted proxies, or everybody if none are named.

    :param trusted: see :class:`giftless.web.proxies.Proxies`.
    """
    return Proxies(trusted).trusts if trusted else everybody


class Proxied(Factory):
    """Makes connections whose addresses are known.

    :param factory: makes the protocols behind them.
    :param believes: whose word counts; anybody else is not served.
    :param clock: tells the time.
    """

    noisy = False

    def __init__(self, factory: Any, believes: Believes, clock: IReactorTime) -> None:
        self.factory = factory
        self.believes = believes
        self.clock = clock

    def doStart(self) -> None:
        """Tell the factory behind it that a port listens."""
        super().doStart()
        self.factory.doStart()

    def doStop(self) -> None:
        """Tell the factory behind it that a port listens no more."""
        self.factory.doStop()
        super().doStop()

    def buildProtocol(self, addr: Any) -> Protocol:
        """Make what waits for a client.

        :param addr: the proxy's address.
        """
        return _Waiting(self, getattr(addr, "host", ""))


class _Waiting(Protocol):
    """Waits until a client has sent something, and passes everything on from then on."""

    transport: Any

    def __init__(self, proxied: Proxied, proxy: str) -> None:
        self._proxied = proxied
        self._proxy = proxy
        self._protocol: Any = None
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        if self._proxied.believes(self._proxy):
            clock = self._proxied.clock
            self._deadline = clock.callLater(PATIENCE, self.transport.abortConnection)
        else:
            _log.warn(
                "a connection from {proxy} is closed: it is none of the trusted proxies",
                proxy=self._proxy or "a Unix socket",
            )
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._protocol is None:
            if self._deadline is None:
                return  # it is closed
            self._stop_waiting()
            self._protocol = self._proxied.factory.buildProtocol(self.transport.getPeer())
            if self._protocol is None:
                self.transport.abortConnection()
                return
            self._protocol.makeConnection(self.transport)
        self._protocol.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()
        if self._protocol is not None:
            self._protocol.connectionLost(reason)

    def _stop_waiting(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
