"""Options of ``auth: [{type: ldap}]``, and what is wrong with some of them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from giftless.auth.grant_lists import GrantsOption
from giftless.base.addresses import nearness
from giftless.base.showing import file_name
from giftless.base.units import Duration
from giftless.errors import ConfigError

#: Where servers listen (RFC 4516 section 2); a Unix socket has no port.
_PORTS: Final = {"ldap": 389, "ldaps": 636, "ldapi": 0}

#: What ``nearness`` returns for this machine's own addresses.
_THIS_MACHINE: Final = 2


class LDAPOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: ldap}]``.

    :ivar urls: the servers of the directory, all with the same content.
    :ivar encryption: how connections to ``ldap://`` are protected.
    :ivar ca_file: the certificates of the authorities that servers are trusted by.
    :ivar bind_dn: the account that searches; empty to search without one.
    :ivar password: its password, from the environment.
    :ivar password_file: a file that holds it.
    :ivar bind_template: the DN of each user, with ``{user}`` in it, instead of a search.
    :ivar user_base: below which DN users are.
    :ivar user_filter: which of the entries there is a user's, with ``{user}`` in it.
    :ivar name_attribute: what people are called.
    :ivar id_attribute: what stands for a person for ever.
    :ivar group_base: below which DN groups are; empty if groups do not matter.
    :ivar group_filter: which of the entries there are groups of a user, with ``{dn}`` or
        ``{user}`` in it; empty to read ``memberOf`` of the user's entry.
    :ivar grants: what the members of each group may do.
    :ivar realm: what tells the people of this directory from those of another.
    :ivar cache_ttl: for how long it is remembered that a password is right, and in which
        groups its user is.
    :ivar connections: how many log-ins one process checks at once.
    :ivar connect_timeout: how long a server may take to be ready, in seconds.
    :ivar timeout: how long a server may take for all questions of one log-in, in seconds.
    """

    urls: Annotated[list[str], msgspec.Meta(min_length=1)]
    encryption: Literal["auto", "start_tls", "plaintext"] = "auto"
    ca_file: str = ""
    bind_dn: str = ""
    password: str = ""
    password_file: str = ""
    bind_template: str = ""
    user_base: str = ""
    user_filter: str = "(uid={user})"
    name_attribute: str = "uid"
    id_attribute: str = "entryUUID"
    group_base: str = ""
    group_filter: str = ""
    grants: GrantsOption = msgspec.field(default_factory=dict)
    realm: str = ""
    cache_ttl: Duration = Duration(300)
    connections: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    connect_timeout: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    timeout: Annotated[int, msgspec.Meta(ge=2, le=20)] = 10

    def __repr__(self) -> str:
        """Leave out everything: some of it is secret."""
        return "<LDAPOptions>"


class Server(msgspec.Struct, frozen=True):
    """One server of a directory.

    :ivar url: what it is called in the log.
    :ivar host: its name or address; the escaped path of a Unix socket.
    :ivar port: its port; 0 for a Unix socket.
    :ivar context: how TLS is spoken with it; ``None`` if not at all.
    :ivar start_tls: whether connections begin in plain text and go on in TLS.
    """

    url: str
    host: str
    port: int
    context: ssl.SSLContext | None = None
    start_tls: bool = False

    @property
    def near(self) -> bool:
        """Whether it is on this machine."""
        return not self.port or self.host == "localhost" or nearness(self.host) == _THIS_MACHINE


def servers_of(options: LDAPOptions) -> list[Server]:
    """Read the URLs.  Blocks.

    :raises ConfigError: if one is malformed, or ``ca_file`` cannot be used.
    """
    found = [_parse(f"urls.{index}", url) for index, url in enumerate(options.urls)]
    encrypted = [_encryption(server, options.encryption) for server in found]
    # It takes a moment to make.
    context = _context(options.ca_file) if options.ca_file or any(encrypted) else None
    return [
        msgspec.structs.replace(server, context=context, start_tls=how == "start_tls")
        if how
        else server
        for server, how in zip(found, encrypted, strict=True)
    ]


def _encryption(server: Server, wanted: str) -> str:
    """Say how connections to a server become TLS; empty if they do not."""
    scheme = server.url.partition(":")[0].lower()
    if scheme == "ldaps":
        return "tls"
    if scheme == "ldap" and (wanted == "start_tls" or (wanted == "auto" and not server.near)):
        return "start_tls"
    return ""


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        # Without a file, those that the system trusts.
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError:
        raise ConfigError("ca_file", f"{file_name(ca_file)}has no certificates") from None
    except OSError as error:
        raise ConfigError(
            "ca_file", f"{file_name(ca_file)}cannot be read: {error.strerror}"
        ) from None


def open_to_listeners(servers: list[Server]) -> Iterator[str]:
    """Yield the URLs of the servers to which passwords travel in plain text over a network."""
    for server in servers:
        if server.context is None and not server.near:
            yield server.url


def _parse(option: str, url: str) -> Server:
    """Read a URL.

    :raises ConfigError: if it is none of a server.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme != "ldapi":
            (host or "").encode("idna")
    except ValueError:
        parts, host, port = None, None, None
    plain = url.isascii() and url.isprintable() and not any(char in url for char in " @?#,")
    if (
        parts is None
        or not plain
        or parts.scheme not in _PORTS
        or not host
        or port == 0
        or parts.path not in ("", "/")
    ):
        # It is not shown: what was written instead may be a secret.
        raise ConfigError(
            option,
            "found something else than a server's URL, allowed is ldaps://host[:port],"
            " ldap://host[:port] or ldapi://%2Fpath, without user, path or query",
        )
    if parts.scheme == "ldapi":
        # The path of a socket: upper and lower case differ.
        return Server(url, parts.netloc, 0)
    return Server(url, host, port or _PORTS[parts.scheme])
