"""Connections to a server that is mirrored, and to where it may lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from giftless.base.addresses import Network
from giftless.base.dialling import Lookup
from giftless.base.reaching_client import ReachingClient
from giftless.storage.remote.client import StoreClient


class Connection(ReachingClient):
    """Connects to one server and to where it leads, also for large bodies.

    :param timeout: how long a silence may last, in seconds.
    :ivar client: sends requests with large bodies.
    """

    def __init__(
        self, reactor: Any, url: str, lookup: Lookup, networks: Sequence[Network], timeout: float
    ) -> None:
        super().__init__(reactor, url, lookup, networks)
        self.clock: IReactorTime = reactor
        self.client = StoreClient(self.http, reactor, timeout, 1)
        self.client.stall_timeout = timeout
