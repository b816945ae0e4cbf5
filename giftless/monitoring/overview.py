"""Everything that operators see at one glance, as values.

The daemon tells it as JSON at ``/overview.json``, which ``giftless top`` reads, and on its
pages.
"""

from __future__ import annotations

import msgspec

from giftless.monitoring.activity import Recent, RepositoryTraffic, Running
from giftless.monitoring.health import Report


class Totals(msgspec.Struct, frozen=True):
    """What has been done since the daemon was started.

    :ivar requests: HTTP requests.
    :ivar errors: those that failed: answered with a status of 5xx.
    :ivar refused: those that were refused: answered with one of 4xx, unless the client
        has left (499).
    :ivar uploaded_bytes: bytes of objects that were stored.
    :ivar downloaded_bytes: bytes of objects that were sent.
    :ivar objects: objects of batches that were answered.
    """

    requests: int = 0
    errors: int = 0
    refused: int = 0
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0
    objects: int = 0


class Rates(msgspec.Struct, frozen=True):
    """The same as in :class:`Totals`, for each second, lately."""

    requests: float = 0.0
    errors: float = 0.0
    refused: float = 0.0
    uploaded_bytes: float = 0.0
    downloaded_bytes: float = 0.0
    objects: float = 0.0


class Series(msgspec.Struct, frozen=True):
    """The same as in :class:`Totals`, by steps of time, the oldest first.

    :ivar step: how long a step is, in seconds.
    :ivar until: when the last one ends, in seconds since the epoch: it still runs.
    """

    step: int
    until: float
    requests: list[float]
    errors: list[float]
    refused: list[float]
    uploaded_bytes: list[float]
    downloaded_bytes: list[float]
    objects: list[float]


class CauseCount(msgspec.Struct, frozen=True):
    """How often something was refused or failed for one cause.

    :ivar hour: in the last hour.
    :ivar day: in the last day.
    :ivar total: since the daemon was started.
    """

    cause: str
    hour: int
    day: int
    total: int


class WorkerFacts(msgspec.Struct, frozen=True):
    """One worker, or one process of the SSH listener.

    :ivar state: ``starting``, ``serving`` or ``leaving``.
    :ivar cpu_seconds: how much of a processor it has used.
    :ivar memory_bytes: its resident memory; what processes share counts for each.
    :ivar open_fds: how many descriptors it has open.
    :ivar started_at: when it was started, in seconds since the epoch.
    """

    pid: int
    state: str
    cpu_seconds: float
    memory_bytes: int
    open_fds: int
    started_at: float


class Overview(msgspec.Struct, frozen=True):
    """The daemon at one moment.  Members may be added, and none is renamed.

    :ivar version: of giftless.
    :ivar url: where clients find it.
    :ivar started_at: when the daemon was started, in seconds since the epoch.
    :ivar now: when this was told, in seconds since the epoch.
    :ivar endpoints: where it listens for clients.
    :ivar admin_endpoints: where it listens for operators.
    :ivar workers: its processes, the oldest first.
    :ivar started: how many workers have been started.
    :ivar died: how many of them have failed while they served, or were killed at any time.
    :ivar reloads: how many reloads have ``succeeded`` and ``failed``.
    :ivar reload_problem: why the last one has failed; empty if it has not.
    :ivar health: what was found last of the parts; ``None`` if nobody has looked yet.
    :ivar health_at: when that was, in seconds since the epoch.
    :ivar rates: what was done in the last seconds.
    :ivar uploads_in_progress: objects and parts that are being stored.
    :ivar hour: the last hour, minute by minute.
    :ivar day: the last day, by quarters of an hour.
    :ivar totals: what was done since the daemon was started.
    :ivar causes: why something was refused or failed, the most frequent cause first.
    :ivar repositories: which repositories were busiest in the last hour: most bytes first.
    :ivar transfers: uploads that run.
    :ivar running_total: how many run, if they are too many to be told.
    :ivar events: what has happened, the newest first.
    :ivar ssh_processes: the processes of the SSH listener, the oldest first.
    :ivar ssh_started: how many of them have been started.
    :ivar ssh_died: how many have failed while they served, or were killed at any time.
    """

    version: str
    url: str
    started_at: float
    now: float
    endpoints: list[str]
    admin_endpoints: list[str]
    workers: list[WorkerFacts]
    started: int
    died: int
    reloads: dict[str, int]
    reload_problem: str
    health: Report | None
    health_at: float | None
    rates: Rates
    uploads_in_progress: int
    hour: Series
    day: Series
    totals: Totals
    causes: list[CauseCount]
    repositories: list[RepositoryTraffic]
    transfers: list[Running]
    running_total: int
    events: list[Recent]
    ssh_processes: list[WorkerFacts] = []
    ssh_started: int = 0
    ssh_died: int = 0
