"""Which addresses a request may be sent to: public ones, and networks that are allowed.

Whoever chooses a URL, or answers for its name in the DNS, must not make the server reach
what only the server can reach: itself, its network, its cloud's metadata.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Public addresses of IPv6 are in here; what is outside leads back to some IPv4, or nowhere.
_PUBLIC6: Final = ipaddress.IPv6Network("2000::/3")

#: Networks in which addresses of IPv4 are hidden: translators (NAT64) and tunnels (6to4,
#: Teredo).  A translator's are judged by what they hide, those of tunnels are refused.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_TUNNELS: Final = tuple(map(ipaddress.IPv6Network, ("2001::/32", "2002::/16")))

#: What some versions of Python take for public, and is not: assignments of protocols (with
#: Oracle's metadata), Azure's platform, and relays of 6to4.
_NOT_PUBLIC4: Final = tuple(
    map(ipaddress.IPv4Network, ("192.0.0.0/24", "168.63.129.16/32", "192.88.99.0/24"))
)


def parse_network(text: str) -> Network:
    """Read a network, or an address that stands for itself.

    :raises ValueError: if it is neither.
    """
    return ipaddress.ip_network(text, strict=False)


def may_dial(address: str, networks: Sequence[Network]) -> bool:
    """Whether a connection may be made to an address.

    :param address: of IPv4 or IPv6, perhaps with a zone.
    :param networks: where it may be although that is not public.
    """
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return False
    meant = _hidden_in(given) or given
    if any(each in network for network in networks for each in (given, meant)):
        return True
    return _is_public(meant)


def _hidden_in(address: Address) -> ipaddress.IPv4Address | None:
    """Return the address of IPv4 that one of IPv6 stands for, if it stands for one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC4)
    return address in _PUBLIC6 and not any(address in tunnel for tunnel in _TUNNELS)
