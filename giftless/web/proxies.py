"""Where a request really comes from, and what the server is called there.

``X-Forwarded-*`` headers count only if the connection comes from a trusted
proxy; anybody else could write anything into them.  ``Forwarded`` (RFC 7239)
never counts: most proxies that set the former pass on the latter as their
client has sent it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from giftless.base.networks import network_of_host
from giftless.base.urls import DEFAULT_PORTS
from giftless.errors import BadRequest
from giftless.web.framing import HOST

#: How ``trusted_proxies`` names peers on unix sockets.
UNIX: Final = "unix"

#: The port that a URL of the other scheme of the two need not name.
_OTHER_DEFAULTS: Final[Mapping[str, int]] = {"http": 443, "https": 80}

_MAX_PORT: Final = 65535

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Request(Protocol):
    """A request, of this server or of twisted.web, whose origin is looked up.

    :ivar client: where its connection comes from, an ``IAddress``.
    :ivar requestHeaders: its headers.
    """

    client: Any
    requestHeaders: Any

    def getHeader(self, key: bytes, /) -> bytes | None:
        """Return the last value of a header; ``None`` if there is none."""

    def isSecure(self) -> bool:
        """Whether its connection is encrypted."""


class Proxies:
    """The proxies whose ``X-Forwarded-*`` headers are believed.

    :param trusted: addresses, networks (``10.0.0.0/8``), or ``unix`` for
        peers on unix sockets.
    :param certificate_header: in which header they tell the client's certificate; empty
        if they do not.
    :raises ValueError: if one of them is none of these.
    :ivar certificate_header: the same, in lower case.
    """

    def __init__(self, trusted: Sequence[str], certificate_header: str = "") -> None:
        self.certificate_header = certificate_header.lower().encode()
        self._unix = UNIX in trusted
        self._networks = tuple(
            _plain(ipaddress.ip_network(text, strict=False)) for text in trusted if text != UNIX
        )

    def trusts(self, host: str) -> bool:
        """Whether the peer at ``host`` (empty for a unix socket) is a proxy."""
        if not host:
            return self._unix
        if not self._networks:
            return False
        address = _parse_address(host)
        return address is not None and any(address in network for network in self._networks)

    def forwards(self, request: Request) -> bool:
        """Whether a request comes from one of the proxies."""
        return self.trusts(host_of(request.client))

    def client(self, request: Request) -> str:
        """Return the address of the client itself, for the log and for limits.

        It is in its normal form, without a port, so that it is the same for each
        request of the client.
        """
        host = host_of(request.client)
        if not self.trusts(host):
            return host
        # The last hop that is not one of ours is the only one that is certain.
        for hop in reversed(_values(request, b"x-forwarded-for")):
            address = _hop_address(hop)
            if address is None:
                # The proxy that wrote this hides its client, and stands for it.
                break
            host = address
            if not self.trusts(host):
                break
        return host

    def base_url(self, request: Request) -> str:
        """Build the URL of the server's root from what a request tells.

        :returns: ``scheme://host[:port]``, without a slash at the end.
        :raises BadRequest: if the headers name no usable host.
        """
        scheme = "https" if request.isSecure() else "http"
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        if self.forwards(request):
            scheme, host = _outside(request, scheme, host)
        if not HOST.fullmatch(host.encode()):
            raise BadRequest("the request does not say which host it is for")
        return f"{scheme}://{host}"


class ServerURL:
    """The URL of the server's root, as clients are told it.

    :param proxies: whose word about it is taken.
    :param public_url: the URL itself; empty to build it from each request.
    """

    def __init__(self, proxies: Proxies, public_url: str) -> None:
        self._proxies = proxies
        self._public_url = public_url.rstrip("/")

    def for_client(self, request: Request) -> str:
        """Return the URL as the client of a request sees it, without a slash at the end.

        :raises BadRequest: if nothing tells it.
        """
        return self._public_url or self._proxies.base_url(request)

    def in_words(self, request: Request) -> str:
        """Return the same for people; with ``HOST`` in it if nothing tells it."""
        try:
            return self.for_client(request)
        except BadRequest:
            return "https://HOST"


def _plain(network: _Network) -> _Network:
    """Return a network of IPv4 as such if it is written inside IPv6, else as it is."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        inner = network.network_address.ipv4_mapped
        if inner is not None:
            return ipaddress.IPv4Network((inner, network.prefixlen - 96))
    return network


def _outside(request: Request, scheme: str, host: str) -> tuple[str, str]:
    """Return scheme and host as the client of a trusted proxy sees them.

    :param scheme: that of the proxy's connection.
    :param host: the ``Host`` header.
    :returns: the host has a port only if the scheme does not imply it.
    """
    hosts = _values(request, b"x-forwarded-host")
    name, own_port = _split_port(hosts[-1] if hosts else host)
    told = [_port(value) for value in reversed(_values(request, b"x-forwarded-port"))]
    # A port in X-Forwarded-Host is what the client wrote; that of Host may be of the
    # proxy's making.
    named = [own_port, *told] if hosts else [*told, own_port]
    ports = [port for port in named if port is not None]
    schemes = {value.lower() for value in _values(request, b"x-forwarded-proto")}
    # Behind TLS, the hops inside are often plain.
    if "https" in schemes:
        scheme = "https"
    elif "http" in schemes:
        scheme = "http"
    elif ports:
        scheme = next((s for s, port in DEFAULT_PORTS.items() if port == ports[0]), scheme)
    # A proxy behind the one that ends TLS tells its own port: nobody speaks https
    # to port 80, so the scheme is right and the port is not.
    port = next((port for port in ports if port != _OTHER_DEFAULTS[scheme]), None)
    if port is None or port == DEFAULT_PORTS[scheme]:
        return scheme, name
    return scheme, f"{name}:{port}"


def _split_port(host: str) -> tuple[str, int | None]:
    """Divide ``host[:port]``; a port that is none stays where it is."""
    name, colon, digits = host.rpartition(":")
    port = _port(digits) if colon else None
    return (host, None) if port is None else (name, port)


def _port(text: str) -> int | None:
    """Return the number of a port; ``None`` if it is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        return None
    number = int(text)
    return number if 0 < number <= _MAX_PORT else None


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address, without its zone; one of IPv4 inside IPv6 is IPv4.

    :returns: ``None`` if it is none.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _hop_address(hop: str) -> str | None:
    """Return the address in one item of X-Forwarded-For.

    :param hop: an address, or an address and a port; one of IPv6 may stand in
        brackets, and must if there is a port; all of it may stand in quotes.
    :returns: the address in its normal form; ``None`` if there is none.
    """
    text = hop.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = _parse_address(text)
    return None if address is None else str(address)


def host_of(address: Any) -> str:
    """Return the IP address of a peer in its normal form; empty for a unix socket.

    :param address: an ``IAddress``.
    """
    host = str(getattr(address, "host", "") or "")
    return str(_parse_address(host) or host) if ":" in host else host


def network_of(address: Any) -> str:
    """Return the network that a peer's connections are counted for.

    It is the IP address itself, or its /64 network for IPv6; empty for a unix
    socket.

    :param address: an ``IAddress``.
    """
    return network_of_host(host_of(address))


def _values(request: Request, name: bytes) -> list[str]:
    lines = request.requestHeaders.getRawHeaders(name, [])
    values = [part.strip() for line in lines for part in line.decode("latin-1").split(",")]
    return [value for value in values if value]
