"""The open connections of a front, and their end when service ends."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Abortable(Protocol):
    """A connection that can be closed at once."""

    def abort(self) -> None:
        """Close at once, whatever is under way."""


C = TypeVar("C", bound=Abortable)


class OpenConnections(Generic[C]):
    """Connections, and what waits until none is left.

    Who inherits adds to :attr:`_open`, takes away from it, and calls :meth:`_check_over` then.

    :param clock: tells the time.
    :ivar clock: the same.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self._open: set[C] = set()
        self._waiting: list[Deferred[None]] = []

    def _is_over(self) -> bool:
        """Whether nothing is left that service waits for."""
        return not self._open

    def _over(self) -> Deferred[None]:
        """Return what fires when nothing is left."""
        over = Deferred[None]()
        self._waiting.append(over)
        self._check_over()
        return over

    def _over_within(self, timeout: float) -> Deferred[None]:
        """Return what fires when nothing is left.

        :param timeout: after so many seconds the connections that are left are cut off.
        """
        abort = self.clock.callLater(timeout, self._abort)

        def cancel_abort(result: None) -> None:
            if abort.active():
                abort.cancel()

        return self._over().addCallback(cancel_abort)

    def _check_over(self) -> None:
        """Tell those who wait if nothing is left."""
        if self._is_over():
            waiting, self._waiting = self._waiting, []
            for over in waiting:
                over.callback(None)

    def _abort(self) -> None:
        for connection in list(self._open):
            connection.abort()
