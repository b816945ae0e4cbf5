"""Gather everything that operators see at one glance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from giftless import __version__
from giftless.base.metrics.tally import Tally
from giftless.monitoring.overview import Overview, WorkerFacts
from giftless.runtime.admin.doctor import Doctor
from giftless.runtime.admin.gathering import INTERVAL as GATHERING
from giftless.runtime.admin.gathering import Gatherer, wait_for
from giftless.runtime.admin.history import INTERVAL, History
from giftless.runtime.admin.processes import figures_of
from giftless.runtime.questions import ACTIVITY
from giftless.runtime.supervision.supervisor import Supervisor


class DaemonFacts(msgspec.Struct, frozen=True):
    """What the daemon says of itself.

    :ivar began: when it was started, by the reactor's clock.
    :ivar url: where clients find it.
    :ivar endpoints: where it listens for clients.
    :ivar admin_endpoints: where it listens for operators.
    :ivar reloads: how many reloads have ``succeeded`` and ``failed``.
    :ivar reload_problem: why the last one has failed; empty if it has not.
    """

    began: float
    url: str
    endpoints: list[str]
    admin_endpoints: list[str]
    reloads: dict[str, int]
    reload_problem: str


class Reporter:
    """Gathers what there is to tell.

    :param reactor: tells the time, of a clock that nobody can set.
    :param wall_clock: tells the date, in seconds since the epoch.
    :param tally: what workers count.
    :param supervisor: what workers there are.
    :param ssh: what processes of the SSH listener there are.
    :param doctor: knows the health.
    :param daemon: returns what the daemon says of itself.
    """

    def __init__(
        self,
        reactor: Any,
        wall_clock: Callable[[], float],
        tally: Tally,
        supervisor: Supervisor,
        ssh: Supervisor,
        doctor: Doctor,
        daemon: Callable[[], DaemonFacts],
    ) -> None:
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._supervisor = supervisor
        self._ssh = ssh
        self._doctor = doctor
        self._daemon = daemon
        self._history = History(tally.sums, reactor)
        self._gatherer = Gatherer(supervisor.ask_all, lambda: supervisor.pids, reactor)
        supervisor.answers[ACTIVITY] = self._gatherer.told
        self._reading = LoopingCall(self._read)
        self._reading.clock = reactor

    def start(self) -> None:
        """Gather, until :meth:`stop`.  Harmless when repeated."""
        if not self._reading.running:
            self._reading.start(INTERVAL)

    def stop(self) -> None:
        """Gather nothing any more.  Harmless when repeated."""
        if self._reading.running:
            self._reading.stop()

    async def look(self) -> Overview:
        """Ask the workers what they do, and return everything as it is then."""
        if self._doctor.last is None:
            await wait_for(Deferred.fromCoroutine(self._doctor.report()), self._reactor)
        await self._gatherer.gather()
        return self.overview()

    def overview(self) -> Overview:
        """Return everything as it is now, or was when the workers answered last."""
        self._doctor.look()
        self._gatherer.ask()
        history = self._history
        history.look()
        transfers, running = self._gatherer.uploads()
        now = self._wall_clock()
        ahead: float = now - self._reactor.seconds()

        def date(moment: float) -> float:
            return moment + ahead

        def facts_of(supervisor: Supervisor) -> list[WorkerFacts]:
            return [_facts(each.pid, each.state, date(each.began)) for each in supervisor.processes]

        daemon, supervisor, looked_at = self._daemon(), self._supervisor, self._doctor.looked_at
        return Overview(
            version=__version__,
            url=daemon.url,
            started_at=date(daemon.began),
            now=now,
            endpoints=daemon.endpoints,
            admin_endpoints=daemon.admin_endpoints,
            workers=facts_of(supervisor),
            started=supervisor.started,
            died=supervisor.died,
            reloads=dict(daemon.reloads),
            reload_problem=daemon.reload_problem,
            health=self._doctor.last,
            health_at=None if looked_at is None else date(looked_at),
            rates=history.rates,
            uploads_in_progress=history.uploads,
            hour=history.hour(now),
            day=history.day(now),
            totals=history.totals,
            causes=history.causes(),
            repositories=self._gatherer.repositories(),
            transfers=transfers,
            running_total=running,
            events=self._gatherer.events(),
            ssh_processes=facts_of(self._ssh),
            ssh_started=self._ssh.started,
            ssh_died=self._ssh.died,
        )

    def _read(self) -> None:
        self._history.read()
        self._gatherer.ask(GATHERING)


def _facts(pid: int, state: str, started_at: float) -> WorkerFacts:
    figures = figures_of([pid])
    return WorkerFacts(
        pid, state, figures.cpu_seconds, figures.memory_bytes, figures.descriptors, started_at
    )
