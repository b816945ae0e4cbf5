"""The HTTP server factory: accepts connections and serves a resource."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from zope.interface import implementer

from giftless.base.client_memory import Memory
from giftless.errors import TooManyConnections
from giftless.monitoring.http import HTTPCounter
from giftless.usecases.events import NO_EVENTS, Events
from giftless.web.connection import LFSConnection
from giftless.web.connections import Connections
from giftless.web.context import Context
from giftless.web.cors import Cors, CorsOptions
from giftless.web.errors import Challenge
from giftless.web.headers import Headers
from giftless.web.limits import Limits
from giftless.web.proxies import Proxies
from giftless.web.refusing import refuse
from giftless.web.request import LFSRequest

#: How long a connection beyond the limit may stay without asking anything, in
#: seconds.
REFUSED_SECONDS: Final = 2


@implementer(IProtocolNegotiationFactory)
class LFSSite(Factory):
    """Serves a resource over HTTP/1.1, within limits.

    :param resource: the root of the resource tree.
    :param limits: what clients may do.
    :param proxies: whose word about a client's address is taken.
    :param reactor: tells the time.
    :param challenge: how clients are asked for a credential.
    :param cors: what pages of other origins may do.
    :param events: where refusals are published.
    :param counter: counts requests; ``None`` if nobody is told.
    :ivar resource: the root of the resource tree.
    """

    noisy = False

    def __init__(
        self,
        resource: IResource,
        limits: Limits,
        proxies: Proxies,
        reactor: Any,
        challenge: Challenge = Challenge(),  # noqa: B008  # frozen
        cors: Cors = Cors(CorsOptions()),  # noqa: B008  # the same
        events: Events = NO_EVENTS,
        counter: HTTPCounter | None = None,
    ) -> None:
        self.resource = resource
        self._connections = Connections(limits.connections_per_address, proxies, reactor)
        self._context = Context(
            limits,
            proxies,
            reactor,
            challenge,
            cors,
            Memory(limits.memory, reactor),
            self._connections,
            events,
            counter,
        )

    @property
    def memory(self) -> Memory:
        """What this process holds in memory for its clients."""
        return self._context.memory

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only: HTTP/2 belongs to a proxy in front."""
        return [b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Take a connection, unless its address has too many already."""
        if self._connections.too_many(addr):
            return _TooMany(self._context)
        return LFSConnection(self._context, self._serve)

    def _serve(self, request: LFSRequest) -> None:
        request.render(self.resource)

    def retire(self) -> Deferred[None]:
        """Let every connection end with its next response; see :meth:`Connections.retire`."""
        return self._connections.retire()

    def drain(self, timeout: float) -> Deferred[None]:
        """Let running requests finish, for so many seconds; see :meth:`Connections.drain`."""
        return self._connections.drain(timeout)


class _TooMany(Protocol, TimeoutMixin):
    """Tells a client that has too many connections to wait.

    It says so when the client asks for something: some clients take an answer
    that comes before the question for none.
    """

    transport: Any
    _answered = False

    def __init__(self, context: Context) -> None:
        self._context = context

    def callLater(self, period: float, func: Any) -> Any:
        return self._context.clock.callLater(period, func)

    def connectionMade(self) -> None:
        self.setTimeout(REFUSED_SECONDS)

    def dataReceived(self, data: bytes) -> None:
        if not self._answered:
            self._answered = True
            error = TooManyConnections("there are too many connections from this address", 5)
            # Which page asks is not known: nothing is parsed for it.
            refuse(self.transport, self._context, error, Headers())
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
