"""Hold what the connections and requests of one site share."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from giftless.base.client_memory import Memory
from giftless.monitoring.http import HTTPCounter
from giftless.usecases.events import Events
from giftless.web.connections import Connections
from giftless.web.cors import Cors
from giftless.web.errors import Challenge
from giftless.web.limits import Limits
from giftless.web.proxies import Proxies


@dataclass(frozen=True, slots=True)
class Context:
    """What a connection and its requests are given.

    :ivar limits: what clients may do.
    :ivar proxies: whose word about a client's address is taken.
    :ivar clock: tells the time.
    :ivar challenge: how clients are asked for a credential.
    :ivar cors: what pages of other origins may do.
    :ivar memory: what is held in memory for clients.
    :ivar connections: the open connections.
    :ivar events: where refusals are published.
    :ivar counter: counts requests; ``None`` if nobody is told.
    """

    limits: Limits
    proxies: Proxies
    clock: IReactorTime
    challenge: Challenge
    cors: Cors
    memory: Memory
    connections: Connections
    events: Events
    counter: HTTPCounter | None = None

    def count(self, status: int, route: str = "", method: bytes = b"", seconds: float = 0) -> None:
        """Count a request that has ended; see :meth:`HTTPCounter.finished`."""
        if self.counter is not None:
            self.counter.finished(route, method, status, seconds)
