"""Endpoints as strings, and what they are given in place of the reactor."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from zope.interface import directlyProvides, providedBy

from giftless.app.config import DEFAULT_FRONT, AdminOptions, Config, EndpointOptions
from giftless.errors import ConfigError
from giftless.runtime import tls

#: The part of an endpoint that names a socket which systemd has bound.
SYSTEMD: Final = re.compile(r"(?:^|(?<=:))systemd:.*")


#: The front of the admin endpoints, which no other endpoint can name.
ADMIN: Final = "admin"

#: The front for sessions of SSH.
SESSIONS: Final = "ssh"

#: The front of the endpoints of SSH, which processes of their own serve.
SSH: Final = "sshd"

#: Parts of endpoints that are no secrets.
_SHOWN: Final = re.compile(
    r"tcp6?|ssl|tls|unix|systemd|haproxy|fd|(port=|index=|mode=|backlog=)?[0-9]{1,5}"
    r"|interface=[0-9a-f.\\]*|domain=(INET6?|UNIX)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Listening:
    """One place to listen at.

    :ivar description: a Twisted server endpoint string.
    :ivar front: the name of the front that serves its connections.
    :ivar path: the dotted path of that string in the configuration.
    :ivar asks: whether clients are asked for a certificate.
    """

    description: str
    front: str
    path: str
    asks: bool = False


def listenings(endpoints: Sequence[str | EndpointOptions]) -> list[Listening]:
    """Return where to listen, in the order of the configuration.

    :raises ConfigError: if clients are to be asked for certificates where there is no TLS.
    """
    found = []
    for index, endpoint in enumerate(endpoints):
        path = f"endpoints.{index}"
        if isinstance(endpoint, str):
            found.append(Listening(endpoint, DEFAULT_FRONT, path))
        else:
            asks = endpoint.client_certificates
            if asks and tls.is_plain(endpoint.listen):
                raise ConfigError(
                    f"{path}.client_certificates", "is for endpoints of TLS, such as ssl:"
                )
            found.append(Listening(endpoint.listen, endpoint.front, f"{path}.listen", asks))
    return found


def worker_listenings(options: Config) -> list[Listening]:
    """Return where workers are to listen: at the endpoints, and for sessions of SSH."""
    return [*listenings(options.endpoints), *session_listenings(options)]


def session_listenings(options: Config) -> list[Listening]:
    """Return where keys and sessions of SSH reach a worker; nowhere if there are none.

    Who is at the other end is asked of the kernel, so whoever may be trusted may connect.
    """
    if not options.ssh.enabled:
        return []
    mode = 666 if options.ssh.trusted else 600
    path = quoteStringArgument(session_socket(options))
    return [Listening(f"unix:{path}:mode={mode}", SESSIONS, "ssh.socket")]


def session_socket(options: Config) -> str:
    """Return the path of the Unix socket for sessions of SSH."""
    return options.ssh.socket or os.path.join(options.state_dir, "ssh.sock")


def ssh_listenings(endpoints: Sequence[str]) -> list[Listening]:
    """Return where SSH processes are to listen, in the order of ``ssh.endpoints``."""
    return [
        Listening(endpoint, SSH, f"ssh.endpoints.{index}")
        for index, endpoint in enumerate(endpoints)
    ]


def admin_listenings(options: AdminOptions) -> list[Listening]:
    """Return where the parent itself is to listen, in the order of the configuration."""
    return [
        Listening(endpoint, ADMIN, f"admin.endpoints.{index}")
        for index, endpoint in enumerate(options.endpoints)
    ]


def public_listenings(options: Config) -> list[Listening]:
    """Return where clients connect."""
    return [*worker_listenings(options), *ssh_listenings(options.ssh.endpoints)]


def places(options: Config) -> list[Listening]:
    """Return where to listen: where clients connect, and then the admin endpoints."""
    return [*public_listenings(options), *admin_listenings(options.admin)]


def described(endpoint: Listening) -> str:
    """Say where it listens, and for which front if that is not HTTP."""
    is_http = endpoint.front == DEFAULT_FRONT
    return endpoint.description if is_http else f"{endpoint.description} ({endpoint.front})"


def check_endpoints(reactor: Any, endpoints: Sequence[Listening]) -> None:
    """Check that endpoints can be made, without binding anything.

    :raises ConfigError: if one cannot.
    """
    for endpoint in endpoints:
        parse(reactor, endpoint.description, endpoint.path)


def parse(reactor: Any, description: str, path: str) -> IStreamServerEndpoint | None:
    """Return the endpoint that a string describes.

    :param path: the dotted path of its key in the configuration.
    :returns: ``None`` for a socket that systemd did not pass on: a check needs
        none, since systemd passes sockets to ``ExecStart`` only.
    :raises ConfigError: if it describes none.
    """
    if not tls.is_plain(description):
        tls.bring_in()
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
        return endpoint
    except Exception as error:
        if SYSTEMD.search(description) and isinstance(error, LookupError):
            return None
        why = f"; {error.strerror}" if isinstance(error, OSError) else ""
        raise ConfigError(
            path,
            "found text that cannot be used, allowed is a Twisted server endpoint"
            f" such as tcp:8080:interface=127.0.0.1{why}",
        ) from None


def shown(description: str) -> str:
    """Return an endpoint for an error: ports and addresses, but nothing unknown.

    A secret may stand where an endpoint belongs.
    """
    return ":".join(part if _SHOWN.fullmatch(part) else "…" for part in description.split(":"))


def elsewhere(description: str) -> str:
    """Return an endpoint that asks the reactor for a socket, not systemd."""
    return SYSTEMD.sub("tcp:0", description)


class InPlaceOfReactor:
    """The reactor, except for listening.

    :param reactor: the reactor.
    :param asks: whether clients are asked for a certificate, where they speak TLS.
    """

    def __init__(self, reactor: Any, asks: bool = False) -> None:
        self._reactor = reactor
        self._asks = asks
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        """See :class:`twisted.internet.interfaces.IReactorSSL`: TLS is done by the factory."""
        from twisted.protocols.tls import TLSMemoryBIOFactory

        if self._asks:
            ask_for_certificates(contextFactory.getContext())
        encrypted = TLSMemoryBIOFactory(contextFactory, False, factory)
        return self.listenTCP(port, encrypted, backlog, interface)


def ask_for_certificates(context: Any) -> None:
    """Ask clients for a certificate; they may have none.

    TLS makes sure that a client has the key of what it shows.  Who has signed that, each
    request asks anew (``giftless.auth.x509``): a connection may outlast a certificate.

    :param context: an ``OpenSSL.SSL.Context`` that no connection uses yet.
    """
    from OpenSSL import SSL

    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
