"""Endpoints as strings, and what they are given in place of the reactor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import directlyProvides, providedBy

from giftless.errors import ConfigError

#: The part of an endpoint that names a socket which systemd has bound.
SYSTEMD: Final = re.compile(r"(?:^|(?<=:))systemd:.*")


def endpoint_path(index: int) -> str:
    """Return the dotted path of an endpoint in the configuration."""
    return f"endpoints.{index}"


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
        if SYSTEMD.search(description) and isinstance(error, LookupError):
            return None
        raise ConfigError(
            path,
            f"found {description!r}, allowed is a Twisted server endpoint"
            f" such as tcp:8080:interface=127.0.0.1 ({error})",
        ) from None


def elsewhere(description: str) -> str:
    """Return an endpoint that asks the reactor for a socket, not systemd."""
    return SYSTEMD.sub("tcp:0", description)


class InPlaceOfReactor:
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
