"""The HTTP server factory: connections, their limits, and the access log."""

from __future__ import annotations

import ipaddress
import os
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Site

from giftless.errors import LFSError, TooManyRequests
from giftless.web.body import BodyBudget
from giftless.web.channel import LFSChannel
from giftless.web.cors import Cors, CorsOptions
from giftless.web.errors import CLIENT_CLOSED, Challenge, error_response
from giftless.web.limits import Limits
from giftless.web.proxies import Proxies
from giftless.web.request import StreamingRequest

_access = Logger(namespace="giftless.access")

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
    ) -> None:
        super().__init__(
            resource,
            StreamingRequest,
            timeout=limits.idle_timeout,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.limits = limits
        self.challenge = challenge
        self.cors = cors
        self.budget = BodyBudget(limits.upload_buffer)
        self.retiring = self.draining = False
        self._proxies = proxies
        self._channels: set[LFSChannel] = set()
        self._handlers: set[Deferred[None]] = set()
        self._per_address: dict[str, int] = {}
        self._empty: list[Deferred[None]] = []

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only: HTTP/2 belongs to a proxy in front."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no log file: the access log goes through ``twisted.logger``."""

    def stopFactory(self) -> None:
        """Close nothing."""

    # -- connections

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Take a connection, unless its address has too many already."""
        network = _network(addr)
        limit = self.limits.connections_per_address
        if (
            self._per_address.get(network, 0) >= limit
            and network
            and not self._proxies.trusts(network)
        ):
            return _TooMany(self)
        return super().buildProtocol(addr)

    def opened(self, channel: LFSChannel) -> None:
        """Count a connection."""
        self._channels.add(channel)
        network = _network(channel.getPeer())
        self._per_address[network] = self._per_address.get(network, 0) + 1

    def closed(self, channel: LFSChannel) -> None:
        """Forget a connection."""
        self._channels.discard(channel)
        network = _network(channel.getPeer())
        left = self._per_address.get(network, 0) - 1
        if left > 0:
            self._per_address[network] = left
        else:
            self._per_address.pop(network, None)
        self._check_empty()

    def handles(self, handler: Deferred[None]) -> None:
        """Note a request's handler, which may outlast the connection to clean up.

        :param handler: fires when it has ended, and never fails.
        """
        self._handlers.add(handler)
        handler.addCallback(lambda _: self._handled(handler))

    def _handled(self, handler: Deferred[None]) -> None:
        self._handlers.discard(handler)
        self._check_empty()

    def _check_empty(self) -> None:
        if not self._channels and not self._handlers:
            waiting, self._empty = self._empty, []
            for done in waiting:
                done.callback(None)

    def _when_empty(self) -> Deferred[None]:
        done = Deferred[None]()
        self._empty.append(done)
        self._check_empty()
        return done

    def retire(self) -> Deferred[None]:
        """Let every connection end with its next response, or by the limits.

        A client that is told in a response that the connection closes cannot be
        sending its next request at that moment; one whose silent connection is
        closed can.

        :returns: fires when no connection is left and no handler runs.
        """
        self.retiring = True
        return self._when_empty()

    def drain(self, timeout: float) -> Deferred[None]:
        """Let running requests finish; close everything else.

        :param timeout: after so many seconds the rest is cut off.
        :returns: fires when no connection is left and no handler runs.
        """
        self.retiring = self.draining = True
        cut = self.reactor.callLater(timeout, self._cut)

        def cancel_cut(result: None) -> None:
            if cut.active():
                cut.cancel()

        for channel in list(self._channels):
            channel.drain()
        return self._when_empty().addCallback(cancel_cut)

    def _cut(self) -> None:
        for channel in list(self._channels):
            channel.transport.abortConnection()

    # -- the access log

    def behind_proxy(self, request: StreamingRequest) -> bool:
        """Whether the request comes from a trusted proxy."""
        return self._proxies.trusts(_network(request.client))

    def log(self, request: StreamingRequest) -> None:  # type: ignore[override]
        """twisted.web calls this when a request is finished."""
        self.log_access(request)

    def log_access(self, request: StreamingRequest, disconnected: bool = False) -> None:
        """Write the one access line of a request.

        :param disconnected: the client left before the response was complete.
        """
        self._access(
            request.method.decode("ascii", "replace"),
            request.path.decode("ascii", "backslashreplace"),
            CLIENT_CLOSED if disconnected else request.code,
            request.sentLength,
            self.reactor.seconds() - request.started,
            request.request_id,
            request.identity,
            self._proxies.client(request),
        )

    def log_refusal(self, peer: IAddress, error: LFSError, request_id: str) -> None:
        """Write the access line of a request that was not even parsed."""
        address = str(getattr(peer, "host", "") or "")
        self._access("-", "-", error.code, 0, 0.0, request_id, "-", address)

    def _access(
        self,
        method: str,
        path: str,
        status: int,
        size: int,
        seconds: float,
        request_id: str,
        identity: str,
        address: str,
    ) -> None:
        address = address or "-"
        seconds = round(seconds, 4)
        _access.info(
            # Twisted takes as long for each member that it formats as for this.
            "{log_line}",
            log_line=f"{address} {identity} {method} {path} {status} {size} {seconds} {request_id}",
            address=address,
            identity=identity,
            method=method,
            path=path,
            status=status,
            bytes=size,
            seconds=seconds,
            request_id=request_id,
        )


class _TooMany(Protocol, TimeoutMixin):
    """Tells a client that has too many connections to wait.

    It says so when the client asks for something: some clients take an answer
    that comes before the question for none.
    """

    transport: Any
    _answered = False

    def __init__(self, site: LFSSite) -> None:
        self._site = site

    def callLater(self, period: float, func: Any) -> Any:
        return self._site.reactor.callLater(period, func)

    def connectionMade(self) -> None:
        self.setTimeout(REFUSED_SECONDS)

    def dataReceived(self, data: bytes) -> None:
        if not self._answered:
            self._answered = True
            error = TooManyRequests("there are too many connections from this address", 5)
            request_id = os.urandom(8).hex()
            # Which page asks is not known: nothing is parsed for it.
            unknown = self._site.cors.headers(Headers())
            self.transport.write(error_response(error, request_id, unknown))
            self.transport.loseConnection()
            self._site.log_refusal(self.transport.getPeer(), error, request_id)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.setTimeout(None)


def _network(address: Any) -> str:
    """Return what an address is counted by: itself, or its /64 for IPv6.

    Empty for a peer without an address (a unix socket).
    """
    host = getattr(address, "host", None)
    if not host:
        return ""
    if ":" not in host:
        return str(host)
    ip = ipaddress.IPv6Address(host.partition("%")[0])
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, 64), strict=False).network_address)
