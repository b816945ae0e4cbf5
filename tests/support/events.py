"""Observers for tests."""

from __future__ import annotations

from typing import TypeVar

from zope.interface import implementer

from giftless.interfaces import Event, IObserver
from giftless.usecases.events import Events

T = TypeVar("T")


@implementer(IObserver)
class Recorder:
    """Keeps every event that it is told of.

    :ivar seen: the events, in order.
    """

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        self.seen.append(event)

    def of(self, kind: type[T]) -> list[T]:
        """Return the events of one type."""
        return [event for event in self.seen if isinstance(event, kind)]

    def take(self) -> list[Event]:
        """Return the events, and forget them."""
        seen, self.seen = self.seen, []
        return seen


@implementer(IObserver)
class Broken:
    """Fails at every event.

    :param error: what it raises.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        raise self.error


def events_to(*observers: IObserver) -> Events:
    """Return what publishes to these observers."""
    return Events({f"observers.{index}": each for index, each in enumerate(observers)})
