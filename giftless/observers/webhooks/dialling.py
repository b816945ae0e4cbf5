"""Connections to checked addresses: what was resolved and checked is what is dialled.

A name is resolved once for each connection, and only addresses of that answer that passed
the check are connected to: an answer that changes in between (DNS rebinding) is never
asked for.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from giftless.base.http_client import client_over
from giftless.errors import ConfigError
from giftless.observers.webhooks.addresses import Network, may_dial

#: Resolves a host's name.
Lookup = Callable[[str], Awaitable[Sequence[str]]]

#: How long the making of one connection may take, in seconds.
_CONNECT_TIMEOUT: Final = 5

#: How many addresses of one name are tried.
_MAX_ADDRESSES: Final = 4

#: How many names may be looked up at once.  The resolver's time-outs are long.
_MAX_LOOKUPS: Final = 8

#: How many bytes a receiver may answer to one request, headers included.
MAX_ANSWER: Final = 64 * 1024

#: For how many seconds an idle connection is kept.
_KEPT_SECONDS: Final = 10


class AddressRefused(Exception):
    """No address of a host may be connected to; the text says so."""


class Lookups:
    """Resolves names in threads of its own, so that nobody else waits for a slow resolver.

    :param reactor: the reactor to come back to.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._running = 0

    def __call__(self, host: str) -> Deferred[Sequence[str]]:
        """Return the addresses of a host.

        :raises OSError: if there are none, or too many lookups hang.
        """
        if self._running >= _MAX_LOOKUPS:
            return fail(OSError(0, "too many names are being looked up"))
        self._running += 1
        result: Deferred[Sequence[str]] = Deferred()
        threading.Thread(target=self._look, args=(host, result), daemon=True).start()
        return result

    def _look(self, host: str, result: Deferred[Sequence[str]]) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            outcome: Any = tuple(dict.fromkeys(str(each[4][0]) for each in found))
        except OSError as error:
            outcome = error
        except UnicodeError:
            outcome = OSError(0, "it is no name of a host")
        self._reactor.callFromThread(self._finish, result, outcome)

    def _finish(self, result: Deferred[Sequence[str]], outcome: Any) -> None:
        self._running -= 1
        if isinstance(outcome, OSError):
            result.errback(outcome)
        else:
            result.callback(outcome)


def guarded_client(
    reactor: Any, pool: HTTPConnectionPool, lookup: Lookup, networks: Sequence[Network], ca: bytes
) -> HTTPClient:
    """Make an HTTP client that connects to checked addresses only.

    :param reactor: the reactor that connects.
    :param pool: keeps the connections to this one server.
    :param networks: where servers may be although that is not public.
    :param ca: certificates in PEM that vouch for servers; empty for the system's.
    :raises ConfigError: if there are none in ``ca``.
    """
    pool.maxPersistentPerHost = 1
    pool.cachedConnectionTimeout = _KEPT_SECONDS
    # A message that was sent is not sent again unasked.
    pool.retryAutomatically = False
    endpoints = _Endpoints(reactor, lookup, networks, _policy(ca))
    return client_over(Agent.usingEndpointFactory(reactor, endpoints, pool))


def _policy(ca: bytes) -> BrowserLikePolicyForHTTPS:
    if not ca:
        return BrowserLikePolicyForHTTPS()
    end = b"-----END CERTIFICATE-----"
    try:
        certificates = [Certificate.loadPEM(part + end) for part in ca.split(end)[:-1]]
    except Exception:  # of OpenSSL
        certificates = []
    if not certificates:
        raise ConfigError("ca_file", "holds no certificates in PEM")
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(certificates))


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Makes the endpoint of a URL: TCP, with TLS that is verified against the host's name."""

    def __init__(
        self,
        reactor: Any,
        lookup: Lookup,
        networks: Sequence[Network],
        policy: BrowserLikePolicyForHTTPS,
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._networks = networks
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = _CheckedEndpoint(
            self._reactor,
            self._lookup,
            self._networks,
            uri.host.decode("ascii"),
            uri.port,
        )
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return _BoundedEndpoint(endpoint)


@implementer(IStreamClientEndpoint)
class _CheckedEndpoint:
    """A host and a port: the addresses are resolved, checked, and dialled one after the other."""

    def __init__(
        self, reactor: Any, lookup: Lookup, networks: Sequence[Network], host: str, port: int
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._networks = networks
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        found = await self._lookup(self._host)
        addresses = [address for address in found if may_dial(address, self._networks)]
        if not addresses:
            raise AddressRefused(
                "the host has no public address; if it may have others, allow their 'networks'"
            )
        last: ConnectError | None = None
        for address in addresses[:_MAX_ADDRESSES]:
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint = kind(self._reactor, address, self._port, _CONNECT_TIMEOUT)
            try:
                return await endpoint.connect(factory)
            except ConnectError as error:
                last = error
        assert last is not None
        raise last


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    """An endpoint whose peers may answer a limited number of bytes."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory = WrappingFactory(protocolFactory)
        factory.protocol = _Bounded
        factory.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda wrapper: wrapper.wrappedProtocol)


class _Bounded(ProtocolWrapper):
    """Cuts the connection when more arrives than an answer may have.

    Headers without an end would fill the memory otherwise.
    """

    _received = 0

    def write(self, data: bytes) -> None:
        """Send a part of a request; the count begins anew."""
        self._received = 0
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        """The same."""
        self._received = 0
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        """Pass on what arrives, within the limit."""
        super().dataReceived(data)
        self._received += len(data)
        if self._received > MAX_ANSWER:
            transport: Any = self.transport
            transport.abortConnection()
