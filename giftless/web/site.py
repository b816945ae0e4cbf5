"""The HTTP server factory: accepts connections and serves a resource."""

from __future__ import annotations

import os
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Site

from giftless.errors import TooManyConnections
from giftless.usecases.events import NO_EVENTS, Events
from giftless.web import access_log
from giftless.web.channel import LFSChannel
from giftless.web.connections import Connections
from giftless.web.context import Context
from giftless.web.cors import Cors, CorsOptions
from giftless.web.errors import Challenge, error_response
from giftless.web.limits import Limits
from giftless.web.memory import Memory
from giftless.web.proxies import Proxies, host_of
from giftless.web.request import StreamingRequest

#: How long a connection beyond the limit may stay without asking anything, in
#: seconds.
REFUSED_SECONDS: Final = 2


class LFSSite(Site):
    """Serves a resource over HTTP/1.1, within limits.

    :param resource: the root of the resource tree.
    :param limits: what clients may do.
    :param proxies: whose word about a client's address is taken.
    :param reactor: tells the time.
    :param challenge: how clients are asked for a credential.
    :param cors: what pages of other origins may do.
    :param events: where refusals are published.
    """

    noisy = False
    protocol = LFSChannel  # type: ignore[assignment]  # HTTP/1.1 and nothing else
    displayTracebacks = False

    def __init__(
        self,
        resource: IResource,
        limits: Limits,
        proxies: Proxies,
        reactor: Any,
        challenge: Challenge = Challenge(),  # noqa: B008  # frozen
        cors: Cors = Cors(CorsOptions()),  # noqa: B008  # the same
        events: Events = NO_EVENTS,
    ) -> None:
        super().__init__(
            resource,
            StreamingRequest,
            timeout=limits.idle_timeout,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
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
        )

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only: HTTP/2 belongs to a proxy in front."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no log file: the access log goes through ``twisted.logger``."""

    def stopFactory(self) -> None:
        """Close nothing."""

    def log(self, request: StreamingRequest) -> None:  # type: ignore[override]  # our requests only
        """Write the access line of a request that is finished; twisted.web calls this."""
        request.log_access()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Take a connection, unless its address has too many already."""
        if self._connections.too_many(addr):
            return _TooMany(self._context)
        channel: Any = super().buildProtocol(addr)
        channel.context = self._context
        return channel

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
            request_id = os.urandom(8).hex()
            # Which page asks is not known: nothing is parsed for it.
            unknown = self._context.cors.headers(Headers())
            self.transport.write(error_response(error, request_id, unknown))
            self.transport.loseConnection()
            address = host_of(self.transport.getPeer())
            access_log.write_refusal(error.code, request_id, address)
            self._context.events.publish_refusal(error, address=address)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)
