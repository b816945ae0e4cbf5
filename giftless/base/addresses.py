"""Which addresses a request may be sent to: public ones, and networks that are allowed.

Whoever chooses a URL, or answers for its name in the DNS, must not make the server reach
what only the server can reach: itself, its network, its cloud's metadata.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from giftless.base.showing import describe
from giftless.errors import ConfigError

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

#: The networks that organisations use inside: RFC 1918, RFC 6598 and RFC 4193.
_PRIVATE: Final[tuple[Network, ...]] = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)


def parse_network(text: str) -> Network:
    """Read a network, or an address that stands for itself.

    :raises ValueError: if it is neither.
    """
    return ipaddress.ip_network(text, strict=False)


def parse_networks(option: str, texts: Sequence[str]) -> Sequence[Network]:
    """Read an option that holds networks.

    :param option: what it is called.
    :raises ConfigError: at the first item that is none.
    """
    found = []
    for index, text in enumerate(texts):
        try:
            found.append(parse_network(text))
        except ValueError:
            raise ConfigError(
                f"{option}.{index}",
                f"found {describe(text)}, allowed is an address or a network such as 10.0.0.0/8",
            ) from None
    return found


def may_dial(address: str, networks: Sequence[Network]) -> bool:
    """Whether a connection may be made to an address.

    :param address: of IPv4 or IPv6, perhaps with a zone.
    :param networks: where it may be although that is not public.
    """
    return is_within(address, networks) or nearness(address) == 0


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address, or the one that it stands for, is in one of some networks."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return False
    meant = _hidden_in(given) or given
    return any(each in network for network in networks for each in (given, meant))


def nearness(address: str) -> int:
    """Tell how near an address is, and so how few can reach it.

    :returns: 0 for public ones, 1 for those of private networks, 2 for those of this machine,
        3 for those that nobody should be led to: a cloud's metadata, links, many hosts.
    """
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return 3
    meant = _hidden_in(given) or given
    if meant.is_loopback:
        return 2
    if _is_public(meant):
        return 0
    far = meant.is_link_local or meant.is_multicast or meant.is_unspecified or meant.is_reserved
    # What Python calls private has test networks and assignments of protocols in it, too.
    return 3 if far or not any(meant in network for network in _PRIVATE) else 1


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
