"""Where a request really comes from, and what the server is called there.

``X-Forwarded-*`` headers count only if the connection comes from a trusted
proxy; anybody else could write anything into them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from giftless.errors import BadRequest
from giftless.web.framing import HOST

if TYPE_CHECKING:
    from twisted.web.server import Request

#: How ``trusted_proxies`` names peers on unix sockets.
UNIX: Final = "unix"


class Proxies:
    """The proxies whose ``X-Forwarded-*`` headers are believed.

    :param trusted: addresses, networks (``10.0.0.0/8``), or ``unix`` for
        peers on unix sockets.
    :raises ValueError: if one of them is none of these.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._unix = UNIX in trusted
        self._networks = tuple(
            ipaddress.ip_network(text, strict=False) for text in trusted if text != UNIX
        )

    def trusts(self, host: str) -> bool:
        """Whether the peer at ``host`` (empty for a unix socket) is a proxy."""
        if not host:
            return self._unix
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def forwards(self, request: Request) -> bool:
        """Whether a request comes from one of the proxies."""
        return self.trusts(network_of(request.client))

    def client(self, request: Request) -> str:
        """Return the address of the client itself, for the log and for limits."""
        host = host_of(request.client)
        if not self.trusts(host):
            return host
        hops = _values(request, b"x-forwarded-for")
        # The last hop that is not one of ours is the only one that is certain.
        for hop in reversed(hops):
            host = hop
            if not self.trusts(hop):
                break
        return host

    def base_url(self, request: Request) -> str:
        """Build the URL of the server's root as the client sees it.

        :returns: ``scheme://host[:port]``, without a slash at the end.
        :raises BadRequest: if the headers name no usable host.
        """
        scheme = "https" if request.isSecure() else "http"
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        if self.trusts(host_of(request.client)):
            schemes = _values(request, b"x-forwarded-proto")
            hosts = _values(request, b"x-forwarded-host")
            ports = _values(request, b"x-forwarded-port")
            if schemes and schemes[-1].lower() in ("http", "https"):
                scheme = schemes[-1].lower()
            if hosts:
                host = hosts[-1]
                if ports and ports[-1].isdigit() and not re.search(r":[0-9]+$", host):
                    host = f"{host}:{ports[-1]}"
        if not HOST.fullmatch(host.encode()):
            raise BadRequest("the request does not say which host it is for")
        return f"{scheme}://{host}"


def host_of(address: Any) -> str:
    """Return the IP address of a peer; empty for a unix socket.

    :param address: an ``IAddress``.
    """
    return str(getattr(address, "host", "") or "")


def network_of(address: Any) -> str:
    """Return the network that a peer's connections are counted for.

    It is the IP address itself, or its /64 network for IPv6; empty for a unix
    socket.

    :param address: an ``IAddress``.
    """
    host = host_of(address)
    if ":" not in host:
        return host
    ip = ipaddress.IPv6Address(host.partition("%")[0])
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, 64), strict=False).network_address)


def _values(request: Request, name: bytes) -> list[str]:
    lines = request.requestHeaders.getRawHeaders(name, [])
    values = [part.strip() for line in lines for part in line.decode("latin-1").split(",")]
    return [value for value in values if value]
