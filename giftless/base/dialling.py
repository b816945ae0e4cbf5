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

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

#: Resolves a host's name.
Lookup = Callable[[str], Awaitable[Sequence[str]]]

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


@implementer(IStreamClientEndpoint)
class CheckedEndpoint:
    """A host and a port: the addresses are resolved, checked, and dialled one after the other.

    :param reactor: the reactor that connects.
    :param lookup: resolves the host's name.
    :param may: tells whether an address may be connected to.
    :param refusal: says why none may, in words.
    :param timeout: how long the making of one connection may take, in seconds.
    """

    def __init__(
        self,
        reactor: Any,
        lookup: Lookup,
        may: Callable[[str], bool],
        refusal: str,
        host: str,
        port: int,
        timeout: float,
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._may = may
        self._refusal = refusal
        self._timeout = timeout
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See :meth:`twisted.internet.interfaces.IStreamClientEndpoint.connect`."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        found = await self._lookup(self._host)
        addresses = [address for address in found if self._may(address)]
        if not addresses:
            raise AddressRefused(self._refusal)
        last: ConnectError | None = None
        for address in addresses[:_MAX_ADDRESSES]:
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint = kind(self._reactor, address, self._port, self._timeout)
            try:
                return await endpoint.connect(factory)
            except ConnectError as error:
                last = error
        assert last is not None
        raise last
