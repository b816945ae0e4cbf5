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
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates
from zope.interface import implementer

from giftless.base.certificates import certificates_in
from giftless.base.urls import DEFAULT_PORTS
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


def endpoint_of(
    reactor: Any, url: str, lookup: Lookup, networks: Sequence[Network], ca: bytes
) -> IStreamClientEndpoint:
    """Make the endpoint of a URL: TCP, with TLS that is verified against the host's name.

    :param reactor: the reactor that connects.
    :param networks: where the server may be although that is not public.
    :param ca: certificates in PEM that vouch for it; empty for the system's.
    :raises ConfigError: if there are none in ``ca``.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    trusted = _trusted(ca)
    endpoint: IStreamClientEndpoint = _CheckedEndpoint(reactor, lookup, networks, host, port)
    if parts.scheme == "https":
        endpoint = wrapClientTLS(optionsForClientTLS(host, trusted), endpoint)
    return endpoint


def _trusted(ca: bytes) -> Any:
    """Return whom to believe; ``None`` for those whom the system believes."""
    if not ca:
        return None
    try:
        return trustRootFromCertificates(certificates_in(ca))
    except ValueError:
        raise ConfigError("ca_file", "holds no certificates in PEM") from None


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
