"""Endpoints whose sockets one process binds and others accept on.

Twisted's endpoints listen by calling the reactor.  Here they are given
something in its place: in the parent what keeps the sockets that are bound,
and does not accept; in a worker what takes such a socket instead of binding
one.  So whatever an endpoint does besides (TLS, a proxy's protocol) is done
in the worker, and any endpoint will do that listens on one stream socket.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet import unix
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from giftless.errors import ConfigError

#: How many connections may wait to be accepted, unless an endpoint says more:
#: Twisted's own 50 are few while workers are replaced.
BACKLOG: Final = 1024

#: What is wrong with an endpoint such as ``stdio:``.
_UNSUITABLE: Final = "an endpoint must bind one stream socket, at once"

#: The part of an endpoint that names a socket which systemd has bound.
_SYSTEMD: Final = re.compile(r"(?:^|(?<=:))systemd:.*")


def endpoint_path(index: int) -> str:
    """Return the dotted path of an endpoint in the configuration."""
    return f"endpoints.{index}"


class Sockets:
    """The listening sockets of the parent, which outlive every worker.

    A socket is known by what it is bound to, not by the endpoint: an endpoint
    may change its certificate, or become one with TLS, and keeps its socket.

    :param reactor: the reactor.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._kept: dict[Hashable, _Kept] = {}

    def bind(self, endpoints: Sequence[str]) -> list[int]:
        """Bind what is not bound yet.  Connections wait to be accepted.

        :param endpoints: Twisted server endpoint strings.
        :returns: the descriptor of each endpoint's socket, in their order.
        :raises ConfigError: if one cannot be bound; those that were bound here
            stay until :meth:`keep`.
        """
        descriptors: list[int] = []
        for index, description in enumerate(endpoints):
            kept = self._bind(description, endpoint_path(index))
            if kept.descriptor in descriptors:
                raise ConfigError(
                    endpoint_path(index), f"cannot listen on {description}: already listed"
                )
            descriptors.append(kept.descriptor)
        return descriptors

    def keep(self, descriptors: Iterable[int]) -> Deferred[Any]:
        """Close all other sockets; workers that still accept on them go on.

        :returns: fires when they are closed.
        """
        wanted = set(descriptors)
        others = [key for key, kept in self._kept.items() if kept.descriptor not in wanted]
        return gatherResults([maybeDeferred(self._kept.pop(key).close) for key in others])

    def address(self, descriptor: int) -> tuple[str, int] | None:
        """Return host and port of an IPv4 socket, ``None`` for any other."""
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            if duplicate.family != socket.AF_INET:
                return None
            host, port = duplicate.getsockname()
            return host, port

    def _bind(self, description: str, path: str) -> _Kept:
        passed = _SYSTEMD.search(description)
        if passed and passed[0] in self._kept:
            # Its descriptor is used up; but what stands in front must be good.
            parse(self._reactor, _elsewhere(description), path)
            return self._kept[passed[0]]
        binder = _Binder(self._reactor, self._kept, passed[0] if passed else None)
        endpoint = parse(binder, description, path)
        if endpoint is None:
            raise ConfigError(
                path,
                f"cannot listen on {description}:"
                " systemd passed no such socket; start the .socket unit",
            )
        failures: list[Failure] = []
        maybeDeferred(endpoint.listen, _Sockets()).addErrback(failures.append)
        if failures:
            raise ConfigError(
                path, f"cannot listen on {description}: {failures[0].getErrorMessage()}"
            )
        if len(binder.kept) != 1:
            raise ConfigError(path, f"cannot listen on {description}: {_UNSUITABLE}")
        return binder.kept[0]


def check_endpoints(reactor: Any, endpoints: Sequence[str]) -> None:
    """Check that endpoints can be made, without binding anything.

    :raises ConfigError: if one cannot.
    """
    for index, description in enumerate(endpoints):
        parse(reactor, description, endpoint_path(index))


def parse(reactor: Any, description: str, path: str) -> IStreamServerEndpoint | None:
    """Return the endpoint that a string describes.

    :param path: the dotted path of its key in the configuration.
    :returns: ``None`` for a socket that systemd did not pass on: a check needs
        none, since systemd passes sockets to ``ExecStart`` only.
    :raises ConfigError: if it describes none.
    """
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
        return endpoint
    except Exception as error:
        if _SYSTEMD.search(description) and isinstance(error, LookupError):
            return None
        raise ConfigError(
            path,
            f"found {description!r}, allowed is a Twisted server endpoint"
            f" such as tcp:8080:interface=127.0.0.1 ({error})",
        ) from None


def adopt(
    reactor: Any, descriptor: int, description: str, path: str, factory: Any
) -> Deferred[IListeningPort]:
    """Accept connections on a socket that the parent has bound.

    :param descriptor: the socket, which is closed; its duplicate is used.
    :param description: the endpoint.
    :param path: the dotted path of its key in the configuration.
    :param factory: what serves the connections.
    :returns: fires with a port; to stop listening there ends nothing elsewhere.
    :raises ConfigError: if the endpoint cannot be made.
    """
    endpoint = parse(_Adopter(reactor, descriptor), _elsewhere(description), path)
    assert endpoint is not None, "systemd's sockets are not looked for"
    return endpoint.listen(factory)


def _elsewhere(description: str) -> str:
    """Return an endpoint that asks the reactor for a socket, not systemd."""
    return _SYSTEMD.sub("tcp:0", description)


class _Sockets(Factory):
    """Serves nobody: the parent does not accept.  Twisted logs the name."""

    noisy = False

    def buildProtocol(self, addr: object) -> None:
        """Refuse what does not listen, but has its connection already."""
        raise RuntimeError(_UNSUITABLE)


@dataclass(frozen=True)
class _Kept:
    """A bound socket.

    :ivar descriptor: its number here.
    :ivar close: closes it, and removes the file of a Unix socket of ours.
    """

    descriptor: int
    close: Callable[[], Deferred[None] | None]


class _InPlaceOfReactor:
    """The reactor, except for listening."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        """See :class:`twisted.internet.interfaces.IReactorSSL`: TLS is done by the factory."""
        tls = TLSMemoryBIOFactory(contextFactory, False, factory)
        return self.listenTCP(port, tls, backlog, interface)


class _Binder(_InPlaceOfReactor):
    """Binds sockets and keeps them.

    :param known: all that are bound already, by what they are bound to.
    :param passed: the name of one that systemd has bound, if it is one.
    :ivar kept: those that were asked for here.
    """

    def __init__(self, reactor: Any, known: dict[Hashable, _Kept], passed: str | None) -> None:
        super().__init__(reactor)
        self._known = known
        self._passed = passed
        self.kept: list[_Kept] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        key = ("tcp", port, interface)
        if key not in self._known:
            backlog = max(backlog, BACKLOG)
            self._known[key] = _asleep(self._reactor.listenTCP(port, factory, backlog, interface))
        return self._keep(key)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> Any:
        """See :class:`twisted.internet.interfaces.IReactorUNIX`."""
        key = ("unix", os.path.abspath(address))
        if key not in self._known:
            backlog = max(backlog, BACKLOG)
            port = self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
            self._known[key] = _asleep(port)
        else:
            os.chmod(address, mode)
        return self._keep(key)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        """See :class:`twisted.internet.interfaces.IReactorSocket`.

        The socket, its mode and its file stay as systemd made them.
        """
        key = self._passed or ("descriptor", descriptor)
        duplicate = socket.socket(fileno=os.dup(descriptor))
        self._known[key] = _Kept(duplicate.fileno(), duplicate.close)
        return self._keep(key)

    def _keep(self, key: Hashable) -> _Kept:
        self.kept.append(self._known[key])
        return self.kept[-1]


def _asleep(port: Any) -> _Kept:
    """Keep a port of Twisted's that accepts nothing."""
    port.stopReading()
    # Otherwise the end of the port here is the end of the socket everywhere.
    port._shouldShutdown = False
    return _Kept(port.fileno(), port.stopListening)


class _Adopter(_InPlaceOfReactor):
    """Listens on one given socket, whatever it is asked to bind.

    :param descriptor: the socket.
    """

    def __init__(self, reactor: Any, descriptor: int) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor

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
            if given.family == socket.AF_UNIX:
                return _SharedUnixPort.adopt(self._reactor, given.fileno(), factory)
            return self._reactor.adoptStreamPort(given.fileno(), given.family, factory)


class _SharedUnixPort(unix.Port):
    """A Unix socket whose mode and file are somebody else's affair."""

    @classmethod
    def adopt(cls, reactor: Any, descriptor: int, factory: Any) -> _SharedUnixPort:
        """Accept connections on a duplicate of a socket."""
        port = cls._fromListeningDescriptor(reactor, descriptor, factory)
        # Twisted changes the mode of names in the file system, and removes
        # them; abstract names begin like this.
        port._bindPath = b"\0" + port._bindPath
        port._shouldShutdown = False
        port.backlog = BACKLOG
        port.startListening()
        return port  # type: ignore[no-any-return]
