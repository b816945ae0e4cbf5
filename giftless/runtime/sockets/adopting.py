"""A worker's side: accept connections on the sockets that the parent has bound."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort

from giftless.runtime.sockets.endpoints import InPlaceOfReactor, Listening, elsewhere, parse
from giftless.runtime.sockets.ports import SharedTCPPort, SharedUnixPort
from giftless.runtime.sockets.proxied import PREFIX, Believes, Proxied, everybody


def adopt(
    reactor: Any,
    descriptor: int,
    listening: Listening,
    factory: Any,
    alone: bool,
    believes: Believes = everybody,
) -> Deferred[IListeningPort]:
    """Accept connections on a socket that the parent has bound.

    :param descriptor: the socket, which is closed; its duplicate is used.
    :param listening: the endpoint.
    :param factory: makes the protocol of each connection.
    :param alone: whether no other worker accepts on it.
    :param believes: whose word counts about the address of a client, if it listens for a
        proxy (``haproxy:``).
    :returns: fires with a port, which can stop listening while other processes go on.
    :raises ConfigError: if the endpoint cannot be made.
    """
    adopter = _Adopter(reactor, descriptor, alone, listening.asks)
    endpoint = parse(adopter, elsewhere(listening.description), listening.path)
    assert endpoint is not None, "systemd's sockets are not looked for"
    if listening.description.startswith(PREFIX):
        factory = Proxied(factory, believes, reactor)
    return endpoint.listen(factory)


class Ports:
    """The ports of this process.

    :param reactor: the reactor.
    :param alone: whether no other process accepts on their sockets.
    :param believes: see :func:`adopt`.
    """

    def __init__(self, reactor: Any, alone: bool, believes: Believes = everybody) -> None:
        self._reactor = reactor
        self._alone = alone
        self._believes = believes
        self._ports: list[IListeningPort] = []

    async def adopt(self, descriptor: int, listening: Listening, factory: Any) -> None:
        """Accept connections on one more socket.

        See :func:`adopt` for the parameters.

        :raises ConfigError: if the endpoint cannot be made.
        """
        around = (self._alone, self._believes)
        self._ports.append(await adopt(self._reactor, descriptor, listening, factory, *around))

    async def stop(self) -> None:
        """Accept no more connections."""
        ports, self._ports = self._ports, []
        # They stop at once; what they return says when the descriptors are closed as well.
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])


class _Adopter(InPlaceOfReactor):
    """Listens on one given socket, whatever it is asked to bind.

    :param descriptor: the socket.
    :param alone: no other process accepts on it.
    :param asks: clients are asked for a certificate.
    """

    def __init__(self, reactor: Any, descriptor: int, alone: bool, asks: bool) -> None:
        super().__init__(reactor, asks)
        self._descriptor = descriptor
        self._alone = alone

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        return self._adopt(factory)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> Any:
        """See :class:`twisted.internet.interfaces.IReactorUNIX`."""
        return self._adopt(factory)

    def _adopt(self, factory: Any) -> Any:
        with socket.socket(fileno=self._descriptor) as given:
            given.setblocking(False)
            port: Any = SharedUnixPort if given.family == socket.AF_UNIX else SharedTCPPort
            return port.adopt(self._reactor, given, factory, self._alone)
