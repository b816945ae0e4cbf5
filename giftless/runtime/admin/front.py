"""Serve the admin endpoints, and the pages to workers, in the parent itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import IResource

from giftless.base.metrics.tally import Tally
from giftless.base.pages import PAGE
from giftless.runtime.admin.doctor import Doctor
from giftless.runtime.admin.exposition import Exposition, Facts, Processes
from giftless.runtime.admin.overview import DaemonFacts, Reporter
from giftless.runtime.admin.page_maker import PageMaker
from giftless.runtime.admin.resources import Root
from giftless.runtime.admin.site import AdminSite
from giftless.runtime.sockets.adopting import adopt
from giftless.runtime.sockets.endpoints import Listening
from giftless.runtime.supervision.supervisor import Supervisor


class AdminFront:
    """Listens on the admin endpoints.

    :param reactor: the reactor.
    :param tally: what workers count.
    :param supervisor: what workers there are.
    :param ssh: what processes of the SSH listener there are.
    :param daemon: returns what the daemon says of itself.
    """

    def __init__(
        self,
        reactor: Any,
        tally: Tally,
        supervisor: Supervisor,
        ssh: Supervisor,
        daemon: Callable[[], DaemonFacts],
    ) -> None:
        self._reactor = reactor
        doctor = Doctor(supervisor.ask, reactor)

        def facts() -> Facts:
            return Facts(
                _processes(supervisor),
                _processes(ssh),
                daemon().reloads,
                doctor.recent,
            )

        exposition = Exposition(tally.sums, facts)
        self._reporter = Reporter(reactor, time.time, tally, supervisor, ssh, doctor, daemon)
        self._pages = PageMaker(self._reporter.look, supervisor.ask, reactor)
        self._supervisor = supervisor
        root = Root(
            exposition, doctor, lambda: supervisor.answering, self._pages.make, self._make_api
        )
        self._site = AdminSite(root, reactor)
        self._ports: list[IListeningPort] = []
        self._api: IResource | None = None

    async def listen(
        self,
        endpoints: Sequence[Listening],
        descriptors: Sequence[int],
        hosts: Collection[str] = (),
        public: bool = False,
    ) -> None:
        """Serve these endpoints, and no others any more.

        :param descriptors: the socket of each, in their order; they stay open.
        :param hosts: by what names they may be asked for pages, in lower case.
        :param public: whether workers may ask for pages.
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
        self._pages.hosts = hosts
        self._supervisor.answers.pop(PAGE, None)
        if public:
            self._supervisor.answers[PAGE] = self._pages.answer
        if ports or public:
            self._reporter.start()
        else:
            self._reporter.stop()
        await _stop(before)

    def _make_api(self) -> IResource:
        """Make what serves the administration's API, or return what was made before."""
        if self._api is None:
            # Not before: it takes memory.
            from giftless.runtime.admin.api_resource import ApiResource

            self._api = ApiResource(self._supervisor.ask, lambda: self._pages.hosts)
        return self._api

    async def stop(self) -> None:
        """Stop listening."""
        self._reporter.stop()
        ports, self._ports = self._ports, []
        await _stop(ports)


def _processes(supervisor: Supervisor) -> Processes:
    return Processes(supervisor.states, supervisor.pids, supervisor.started, supervisor.died)


async def _stop(ports: Sequence[IListeningPort]) -> None:
    for port in ports:
        stopped = port.stopListening()
        if stopped is not None:
            await stopped
