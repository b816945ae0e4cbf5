"""Which addresses count as one client."""

from __future__ import annotations

import ipaddress
from collections import Counter


class NetworkCounts(Counter[str]):
    """How many of something each network has; one that has none takes no memory."""

    def drop(self, network: str) -> None:
        """Count one less.  Harmless if the network has none."""
        if self[network] > 1:
            self[network] -= 1
        else:
            self.pop(network, None)


def network_of_host(host: str) -> str:
    """Return the network that limits on one client hold for.

    It is the address itself, or its /64 network for IPv6, which one customer has.

    :param host: an IP address, perhaps with a zone; empty for a unix socket.
    :returns: the network's first address; any other text as it is.
    """
    if ":" not in host:
        return host
    try:
        ip = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, 64), strict=False).network_address)
