"""Where a server that is not trusted may lead its client.

A server chooses the URLs of its actions and redirects.  It must not make a machine inside a
network send requests there for it: so it may lead to addresses that are as public as its own
or more so, and to others only if the operator allows them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IStreamClientEndpoint

from giftless.base.addresses import Network, is_within, nearness
from giftless.base.dialling import CheckedEndpoint, Lookup

#: How long the making of one connection may take, in seconds.
_CONNECT_TIMEOUT: Final = 30

#: How many names are remembered: a server may lead to as many as it likes.
_MOST_NAMES: Final = 1000

#: An address so near may only be reached if it is the server's own.
_NEVER: Final = 3


class Reach:
    """Connects where a server may lead to.

    :param reactor: the reactor that connects.
    :param lookup: resolves names.
    :param networks: what else the operator allows.
    :param option: what an operator can set to allow more, in words.
    :param keep: for how many seconds it is remembered what a name stands for.
    """

    def __init__(
        self,
        reactor: Any,
        lookup: Lookup,
        networks: Sequence[Network] = (),
        option: str = "--network",
        keep: float = math.inf,
    ) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._networks = networks
        self._option = option
        self._keep = keep
        self._nearness = 0
        self._own: frozenset[str] = frozenset()
        #: What names stand for, and until when: nobody can change it meanwhile.
        self._found: dict[str, tuple[float, Sequence[str]]] = {}
        self._looking = DeferredLock()

    async def begin_at(self, host: str) -> bool:
        """Find out how near the server itself is: whoever names it trusts it so far.

        :param host: its name or address.
        :returns: whether its name is known here.
        """
        try:
            found = await self._resolve(host)
        except OSError:
            # Behind a proxy, names may be known to that alone.
            return False
        self._nearness = min(map(nearness, found), default=0)
        if self._nearness == _NEVER:
            self._own = frozenset(found)
        return True

    def dial(self, host: str, port: int) -> IStreamClientEndpoint:
        """Make the endpoint of a host."""
        refusal = (
            f"{host} has no address that this server may lead to; if it may, allow its"
            f" {self._option}"
        )
        return CheckedEndpoint(
            self._reactor, self._resolve, self._may, refusal, host, port, _CONNECT_TIMEOUT
        )

    async def _resolve(self, host: str) -> Sequence[str]:
        await self._looking.acquire()
        try:
            now = self._reactor.seconds()
            until, found = self._found.get(host, (-math.inf, ()))
            if until <= now:
                found = await self._lookup(host)
                while len(self._found) >= _MOST_NAMES:
                    del self._found[next(iter(self._found))]
                self._found[host] = self._reactor.seconds() + self._keep, found
            return found
        finally:
            self._looking.release()

    def _may(self, address: str) -> bool:
        if address in self._own or is_within(address, self._networks):
            return True
        near = nearness(address)
        return near < _NEVER and near <= self._nearness
