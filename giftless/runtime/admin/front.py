"""Serve the admin endpoints, in the parent itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IListeningPort

from giftless.base.metrics.tally import Tally
from giftless.runtime.admin.exposition import Exposition, Facts
from giftless.runtime.admin.site import AdminSite, Doctor
from giftless.runtime.sockets.adopting import adopt
from giftless.runtime.sockets.endpoints import Listening
from giftless.runtime.supervision.supervisor import Supervisor


class AdminFront:
    """Listens on the admin endpoints.

    :param reactor: the reactor.
    :param tally: what workers count.
    :param supervisor: what workers there are.
    :param reloads: returns how many reloads succeeded and failed.
    """

    def __init__(
        self,
        reactor: Any,
        tally: Tally,
        supervisor: Supervisor,
        reloads: Callable[[], dict[str, int]],
    ) -> None:
        self._reactor = reactor
        doctor = Doctor(supervisor.ask, reactor)

        def facts() -> Facts:
            return Facts(
                supervisor.states,
                supervisor.pids,
                supervisor.started,
                supervisor.died,
                reloads(),
                doctor.last,
            )

        exposition = Exposition(tally.sums, facts)
        self._site = AdminSite(exposition, doctor, lambda: supervisor.answering, reactor)
        self._ports: list[IListeningPort] = []

    async def listen(self, endpoints: Sequence[Listening], descriptors: Sequence[int]) -> None:
        """Serve these endpoints, and no others any more.

        :param descriptors: the socket of each, in their order; they stay open.
        :raises ConfigError: if an endpoint cannot be made; nothing changes then.
        """
        ports: list[IListeningPort] = []
        try:
            for endpoint, descriptor in zip(endpoints, descriptors, strict=True):
                duplicate = os.dup(descriptor)
                ports.append(await adopt(self._reactor, duplicate, endpoint, self._site, True))
        except BaseException:
            await _stop(ports)
            raise
        before, self._ports = self._ports, ports
        await _stop(before)

    async def stop(self) -> None:
        """Stop listening."""
        ports, self._ports = self._ports, []
        await _stop(ports)


async def _stop(ports: Sequence[IListeningPort]) -> None:
    for port in ports:
        stopped = port.stopListening()
        if stopped is not None:
            await stopped
