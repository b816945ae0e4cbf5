"""The parent's side: bind sockets, and keep them while workers come and go."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from giftless.errors import ConfigError
from giftless.runtime.sockets.endpoints import (
    SYSTEMD,
    InPlaceOfReactor,
    Listening,
    elsewhere,
    parse,
    shown,
)
from giftless.runtime.sockets.ports import BACKLOG

#: The mode of a Unix socket if its endpoint says none: for the daemon's user and group.
SOCKET_MODE: Final = 0o660

#: What Twisted passes on if an endpoint says none.
_TWISTEDS_MODE: Final = 0o666

#: An endpoint that says so itself.
_EVERYBODY: Final = re.compile(r"(?<!\\):(mode=)?0*666(:|\Z)")

#: Why an endpoint such as ``stdio:`` is refused.
_UNSUITABLE: Final = "an endpoint must bind one stream socket, at once"


class Sockets:
    """The listening sockets of the parent, which outlive every worker.

    A socket is known by what it is bound to, not by the endpoint: an endpoint
    may change its certificate, or become one with TLS, and keeps its socket.

    :param reactor: the reactor.
    :param owner: the user and the group that the files of Unix sockets are given to,
        if they are not this process's own; -1 for one that stays.
    """

    def __init__(self, reactor: Any, owner: tuple[int, int] | None = None) -> None:
        self._reactor = reactor
        self._owner = owner
        self._kept: dict[Hashable, _Kept] = {}

    def bind(self, endpoints: Sequence[Listening]) -> list[int]:
        """Bind what is not bound yet.  Connections wait to be accepted.

        :returns: the descriptor of each endpoint's socket, in their order.
        :raises ConfigError: if one cannot be bound; those that were bound here
            stay until :meth:`keep`.
        """
        descriptors: list[int] = []
        for endpoint in endpoints:
            description, path = endpoint.description, endpoint.path
            kept = self._bind(description, path)
            if kept.descriptor in descriptors:
                raise ConfigError(path, f"cannot listen on {shown(description)}: already listed")
            descriptors.append(kept.descriptor)
        return descriptors

    def make_directory(self, path: str) -> None:
        """Make a directory that sockets are to be in, if it is missing.

        :raises OSError: if that is impossible.
        """
        if os.path.isdir(path):
            return
        os.makedirs(path, mode=0o700)
        if self._owner is not None:
            os.chown(path, *self._owner)

    def keep(self, descriptors: Iterable[int]) -> Deferred[Any]:
        """Close all other sockets; workers that still accept on them go on.

        :returns: fires when they are closed.
        """
        wanted = set(descriptors)
        others = [key for key, kept in self._kept.items() if kept.descriptor not in wanted]
        return gatherResults([maybeDeferred(self._kept.pop(key).close) for key in others])

    def address(self, descriptor: int) -> tuple[str, int] | None:
        """Return host and port of a socket of TCP, ``None`` for any other."""
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            if duplicate.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            host, port, *_ = duplicate.getsockname()
            return host, port

    def _bind(self, description: str, path: str) -> _Kept:
        passed = SYSTEMD.search(description)
        if passed and passed[0] in self._kept:
            # Its descriptor is used up; but what stands in front must be good.
            parse(self._reactor, elsewhere(description), path)
            return self._kept[passed[0]]
        binder = _Binder(
            self._reactor,
            self._kept,
            passed[0] if passed else None,
            None if _EVERYBODY.search(description) else SOCKET_MODE,
            self._owner,
        )
        endpoint = parse(binder, description, path)
        if endpoint is None:
            raise ConfigError(
                path,
                f"cannot listen on {shown(description)}:"
                " systemd passed no such socket; start the .socket unit",
            )
        failures: list[Failure] = []
        maybeDeferred(endpoint.listen, _Sockets()).addErrback(failures.append)
        if failures:
            raise ConfigError(
                path, f"cannot listen on {shown(description)}: {_why(failures[0].value)}"
            )
        if len(binder.kept) != 1:
            raise ConfigError(path, f"cannot listen on {shown(description)}: {_UNSUITABLE}")
        return binder.kept[0]


class _Sockets(Factory):
    """Makes no protocols: the parent accepts no connection.  Twisted logs the class's name."""

    noisy = False

    def buildProtocol(self, addr: object) -> None:
        """Refuse an endpoint that brings a connection instead of listening."""
        raise RuntimeError(_UNSUITABLE)


@dataclass(frozen=True)
class _Kept:
    """A bound socket.

    :ivar descriptor: its number here.
    :ivar close: closes it, and removes the file of a Unix socket of ours.
    """

    descriptor: int
    close: Callable[[], Deferred[None] | None]


class _Binder(InPlaceOfReactor):
    """Binds sockets and keeps them.

    :param known: the sockets that are bound already, by what they are bound to.
    :param passed: the endpoint's part that names a socket from systemd, if it has one.
    :param usual_mode: the mode of a Unix socket whose endpoint says none; ``None`` if
        it says Twisted's own.
    :param owner: see :class:`Sockets`.
    :ivar kept: the sockets that this endpoint asked for.
    """

    def __init__(
        self,
        reactor: Any,
        known: dict[Hashable, _Kept],
        passed: str | None,
        usual_mode: int | None,
        owner: tuple[int, int] | None,
    ) -> None:
        super().__init__(reactor)
        self._known = known
        self._passed = passed
        self._usual_mode = usual_mode
        self._owner = owner
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
        if mode == _TWISTEDS_MODE and self._usual_mode is not None:
            mode = self._usual_mode
        key = ("unix", os.path.abspath(address))
        if key not in self._known:
            backlog = max(backlog, BACKLOG)
            # Twisted sets the mode after it has bound: nobody shall connect before.
            umask = os.umask(0o777 & ~mode)
            try:
                port = self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
            finally:
                os.umask(umask)
            if self._owner is not None:
                os.chown(address, *self._owner)
            self._known[key] = _asleep(port)
        elif stat.S_IMODE(os.stat(address).st_mode) != mode:
            # It may have been root who made the file, and who is gone.
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


def _why(error: BaseException | None) -> str:
    """Say why an endpoint does not listen, without what it consists of."""
    problem = getattr(error, "socketError", error)
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    if isinstance(problem, OSError) and "too long" in str(problem):
        # Python says it itself, without an errno.
        return "a Unix socket's path has at most 107 bytes"
    if isinstance(problem, str):
        # Twisted's lock beside a Unix socket.
        return "another process listens there"
    return _UNSUITABLE if isinstance(problem, RuntimeError) else type(problem).__name__


def _asleep(port: Any) -> _Kept:
    """Stop a port of Twisted's from accepting, and keep its socket."""
    port.stopReading()
    # Otherwise the end of the port here is the end of the socket everywhere.
    port._shouldShutdown = False
    return _Kept(port.fileno(), port.stopListening)
