"""Connections to the receivers of webhooks: to addresses that are allowed, with TLS."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates

from giftless.base.addresses import Network, may_dial
from giftless.base.certificates import certificates_in
from giftless.base.dialling import CheckedEndpoint, Lookup
from giftless.base.urls import DEFAULT_PORTS
from giftless.errors import ConfigError

#: How long the making of one connection may take, in seconds.
_CONNECT_TIMEOUT: Final = 5

#: Why a host is not connected to.
_REFUSAL: Final = "the host has no public address; if it may have others, allow their 'networks'"


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
    may = partial(may_dial, networks=networks)
    endpoint: IStreamClientEndpoint = CheckedEndpoint(
        reactor, lookup, may, _REFUSAL, host, port, _CONNECT_TIMEOUT
    )
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
