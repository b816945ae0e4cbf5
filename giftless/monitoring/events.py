"""Count what events tell: a built-in observer, which is always there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zope.interface import implementer

from giftless.interfaces import (
    Arrival,
    BatchAnswered,
    Event,
    IObserver,
    LockCreated,
    LockForced,
    LockReleased,
    ObjectDeleted,
    ObjectMarked,
    ObjectRestored,
    ObjectServed,
    ObjectStored,
    ObjectTrashed,
    Refused,
)
from giftless.monitoring.metrics import Metrics

#: What the ways are called by which clients' objects arrive.
TRANSFERS: Final = {
    Arrival.STREAMED: "basic",
    Arrival.COMMITTED: "multipart",
    Arrival.CONFIRMED: "direct",
}


@implementer(IObserver)
class EventCounter:
    """Counts events.

    :param metrics: where they are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._uploaded = {
            arrival: (
                metrics.bytes.place(("upload", transfer)),
                metrics.sizes.place((transfer,)),
            )
            for arrival, transfer in TRANSFERS.items()
        }
        self._served = metrics.bytes.place(("download", "basic"))
        self._count: dict[type, Callable[[Any], None]] = {
            ObjectStored: self._stored,
            ObjectServed: self._sent,
            BatchAnswered: self._batch,
            Refused: lambda event: metrics.refusals.add((event.cause,)),
            LockCreated: lambda _: metrics.locks.add(("created",)),
            LockReleased: lambda _: metrics.locks.add(("released",)),
            LockForced: lambda _: metrics.locks.add(("forced",)),
            ObjectDeleted: lambda _: metrics.deleted.add(()),
            ObjectTrashed: lambda _: metrics.trashed.add(()),
            ObjectRestored: lambda _: metrics.restored.add(()),
            ObjectMarked: lambda _: metrics.marked.add(()),
        }

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        count = self._count.get(type(event))
        if count is not None:
            count(event)

    def _stored(self, event: ObjectStored) -> None:
        places = self._uploaded.get(event.arrival)
        if places is None:
            return  # no client has sent it
        metrics = self._metrics
        transferred, size = places
        metrics.bytes.values[transferred] += event.size
        metrics.sizes.observe_at(size, event.size)

    def _sent(self, event: ObjectServed) -> None:
        self._metrics.bytes.values[self._served] += event.sent
        if not event.complete:
            self._metrics.incomplete.add(())

    def _batch(self, event: BatchAnswered) -> None:
        metrics, operation = self._metrics, event.operation.value
        metrics.batches.add((operation, event.transfer))
        objects = metrics.batch_objects
        objects.add((operation, "transfer"), event.actions)
        objects.add((operation, "present"), event.present)
        objects.add((operation, "refused"), sum(event.refused.values()))
