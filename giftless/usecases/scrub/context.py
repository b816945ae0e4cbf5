"""Hold the parts that the scrub uses."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from giftless.interfaces import IBlocking, ICatalogue, IObjectStore, WallClock
from giftless.monitoring.metrics import Metrics
from giftless.usecases.events import Events


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that the scrub uses.

    :ivar store: what is examined.
    :ivar catalogue: says what must be there; ``None`` if nothing does.
    :ivar events: where findings are published.
    :ivar metrics: where it is counted; ``None`` if nobody is told.
    :ivar blocking: reads and writes the journal.
    :ivar quiet: reads objects, in one thread.
    :ivar clock: waits.
    :ivar wall_clock: tells the time of day.
    :ivar identity: tells this store from others.
    """

    store: IObjectStore
    catalogue: ICatalogue | None
    events: Events
    metrics: Metrics | None
    blocking: IBlocking
    quiet: IBlocking
    clock: IReactorTime
    wall_clock: WallClock
    identity: str
