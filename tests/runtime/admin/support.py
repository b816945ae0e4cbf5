"""A daemon without workers, for what operators see of it."""

from __future__ import annotations

from typing import Any

from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
from giftless.base.metrics.tally import Tally
from giftless.monitoring.metrics import Metrics
from giftless.runtime.admin.doctor import Doctor
from giftless.runtime.admin.exposition import Processes
from giftless.runtime.admin.overview import DaemonFacts, Reporter
from giftless.runtime.supervision.supervisor import Supervisor

#: What the daemon says of itself.
DAEMON = DaemonFacts(
    0.0,
    "https://lfs.example",
    ["tcp:8080"],
    ["tcp:9090:interface=127.0.0.1"],
    {"succeeded": 2, "failed": 1},
    "no such file",
)

#: No process of a kind.
NO_PROCESSES = Processes({}, [], 0, 0)

#: Some date, in seconds since the epoch.
DATE = 1_700_000_000.0


def supervisor(reactor: Any, tally: Tally) -> Supervisor:
    """Return one that has nothing to supervise."""
    return Supervisor("worker", reactor, ["worker"], {}, "/", lambda _: None, lambda: None, tally)


def reporter(reactor: Any, tally: Tally, doctor: Doctor) -> Reporter:
    """Return one that tells of :data:`DAEMON`."""
    workers, ssh = supervisor(reactor, tally), supervisor(reactor, tally)
    return Reporter(
        reactor, lambda: DATE + reactor.seconds(), tally, workers, ssh, doctor, lambda: DAEMON
    )


def metrics_of(tally: Tally) -> Metrics:
    """Let another process count."""
    return Metrics(Counts(Slab(tally.open().descriptor)))
