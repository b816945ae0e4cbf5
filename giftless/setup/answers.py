"""The answers of an operator: values, without files or terminals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: What anybody may do who shows no credential.
ANONYMOUS: Final = ("none", "read", "read-write")

#: Who does TLS: nobody, giftless with files, or a proxy in front of it.
TLS: Final = ("none", "files", "proxy")

#: The proxies that a configuration is written for.
PROXIES: Final = ("nginx", "apache", "caddy", "other")

#: Where users' data is on a machine that runs giftless as a service.
SERVICE_DATA: Final = "/var/lib/giftless"


@dataclass(frozen=True)
class Part:
    """A storage, or a way to know people.

    :ivar kind: its ``type``.
    :ivar values: its options, as in the configuration.
    """

    kind: str
    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Edge:
    """How clients reach the server.

    :ivar tls: one of :data:`TLS`.
    :ivar listen: where giftless listens.
    :ivar public_url: the root of the URLs that clients are given; empty to build it from
        each request.
    :ivar certificate: the file of the certificate; empty without TLS, or if the proxy makes
        its own.
    :ivar key: the file of its private key.
    :ivar chain: the file of the authorities' certificates between; may be empty.
    :ivar proxy: one of :data:`PROXIES`.
    :ivar proxy_address: from where the proxy connects.
    """

    tls: str
    listen: str
    public_url: str = ""
    certificate: str = ""
    key: str = ""
    chain: str = ""
    proxy: str = "other"
    proxy_address: str = "127.0.0.1"

    @property
    def proxied(self) -> bool:
        """Whether the configuration of a proxy is written."""
        return self.tls == "proxy" and self.proxy != "other"


@dataclass(frozen=True)
class Answers:
    """All answers.  ``None`` stands for what the configuration has and nobody can ask for.

    :ivar storage: where objects go.
    :ivar identities: how people are known; by kind, in the order of asking.
    :ivar anonymous: one of :data:`ANONYMOUS`.
    :ivar edge: how clients reach the server.
    :ivar workers: how many processes serve, or ``auto``.
    :ivar state_dir: where the daemon's own state is.
    """

    storage: Part | None
    identities: tuple[Part, ...] | None
    anonymous: str
    edge: Edge | None
    workers: Any
    state_dir: str
