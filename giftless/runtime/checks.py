"""Check what is to listen, and who is to connect, without listening."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory

from giftless.app.config import Config, Loaded
from giftless.errors import ConfigError
from giftless.runtime.plans import ssh_orders
from giftless.runtime.sockets.endpoints import (
    InPlaceOfReactor,
    Listening,
    parse,
    places,
    session_socket,
    shown,
)
from giftless.runtime.sockets.holders import holders

#: The longest path of a Unix socket, in bytes (unix(7)).
MAX_UNIX_PATH: Final = 107

#: What is made there when a unit starts, and removed when it stops.
_RUN: Final = (Path("/run"), Path("/var/run"))

#: A port, and the address of an interface; empty for all.
_Port = tuple[int, str]


def check_listener(loaded: Loaded, reactor: Any) -> None:
    """Check that the listener for clients of SSH can be built.

    :raises ConfigError: if it cannot.
    """
    # Not before: it takes memory, and a daemon that serves has no use for it.
    from giftless.runtime.ssh_instance import SSHInstance

    SSHInstance(ssh_orders(loaded, loaded.config.log_format), reactor)


def check_sockets(options: Config, reactor: Any) -> Iterator[str]:
    """Check that the daemon can bind its sockets.  Blocks.

    Call it with the rights of whoever starts the daemon.  A daemon that runs may have
    bound them already.

    :returns: warnings.
    :raises ConfigError: if it cannot.
    """
    ports: dict[_Port, str] = {}
    paths: dict[str, str] = {}
    for endpoint in places(options):
        asked = _Asked(reactor)
        # One that makes no sense is what check_endpoints() tells.
        with contextlib.suppress(ConfigError):
            made = parse(asked, endpoint.description, endpoint.path)
            if made is not None:
                maybeDeferred(made.listen, Factory()).addErrback(lambda _: None)
        for port in asked.ports:
            _check_port(endpoint, port, ports)
        for path in asked.paths:
            yield from _check_path(endpoint, os.path.abspath(path), paths, options.state_dir)


def unreachable(options: Config) -> Iterator[str]:
    """Tell which trusted users cannot reach the socket for sessions of SSH.  Blocks.

    :returns: a warning for each.
    """
    path = Path(os.path.abspath(session_socket(options)))
    for name in options.ssh.trusted if options.ssh.enabled else ():
        try:
            user = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        except KeyError:
            continue
        groups = {user.pw_gid, *os.getgrouplist(user.pw_name, user.pw_gid)}
        for folder in reversed(path.parents):
            if user.pw_uid and not _lets_pass(folder, user.pw_uid, groups):
                yield (
                    f"ssh.trusted: {name} cannot reach {path}, because {folder} does not let"
                    f" that user pass; set ssh.socket to a path in another directory, such as"
                    " /run/giftless/ssh.sock"
                )
                break


class _Asked(InPlaceOfReactor):
    """Notes what is to be bound.

    :ivar ports: ports of TCP.
    :ivar paths: paths of Unix sockets.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.ports: list[_Port] = []
        self.paths: list[str] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> None:
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        self.ports.append((port, interface))

    def listenUNIX(self, address: Any, factory: Any, *options: Any, **more: Any) -> None:
        """See :class:`twisted.internet.interfaces.IReactorUNIX`."""
        self.paths.append(os.fsdecode(address))

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> None:
        """See :class:`twisted.internet.interfaces.IReactorSocket`: it is bound already."""


def _check_port(endpoint: Listening, port: _Port, known: dict[_Port, str]) -> None:
    number, interface = port
    if not number:
        return
    for (other, where), path in known.items():
        if other == number and (where == interface or _is_any(where) or _is_any(interface)):
            raise _refused(endpoint, f"{path} has the same port")
    known[port] = endpoint.path
    family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # It does not listen, so nobody can connect.
            tried.bind((interface, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                by = holders(number)
                if by and not any("giftless" in command for command in by.values()):
                    pid, command = next(iter(by.items()))
                    raise _refused(
                        endpoint, f"process {pid} listens there ({command.split()[0]})"
                    ) from None
            elif error.errno == errno.EADDRNOTAVAIL:
                raise _refused(endpoint, str(error.strerror)) from None


def _check_path(
    endpoint: Listening, path: str, known: dict[str, str], state_dir: str
) -> Iterator[str]:
    if len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise _refused(endpoint, f"a Unix socket's path has at most {MAX_UNIX_PATH} bytes")
    if path in known:
        raise _refused(endpoint, f"{known[path]} has the same path")
    known[path] = endpoint.path
    folder = Path(path).parent
    # The daemon makes the state directory itself.
    if folder.is_dir() or folder == Path(os.path.abspath(state_dir)):
        return
    problem = f"there is no directory {folder}"
    if any(folder.is_relative_to(run) for run in _RUN):
        yield (
            f"{endpoint.path}: {problem} now; systemd makes it if the unit has RuntimeDirectory="
        )
    else:
        raise _refused(endpoint, problem)


def _refused(endpoint: Listening, why: str) -> ConfigError:
    problem = f"cannot listen on {shown(endpoint.description)}: {why}"
    return ConfigError(endpoint.path, problem)


def _is_any(interface: str) -> bool:
    try:
        return ip_address(interface).is_unspecified
    except ValueError:
        # It is empty, or the name of a host.
        return not interface


def _lets_pass(folder: Path, uid: int, groups: set[int]) -> bool:
    """Whether a directory lets a user pass; one that is missing may."""
    try:
        status = folder.stat()
    except OSError:
        return True
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
