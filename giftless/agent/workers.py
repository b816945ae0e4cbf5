"""Threads that work on the pieces of one object."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from giftless.agent.errors import Cancelled, Outdated
from giftless.agent.slots import Slots

Piece = TypeVar("Piece")


class Workers:
    """One worker at least, and more as long as there are slots.

    :param limit: the most that work on one object.
    :param slots: what all but the first need one of.
    """

    def __init__(self, limit: int, slots: Slots) -> None:
        self._limit = limit
        self._slots = slots

    def run(self, pieces: Iterable[Piece], work: Callable[[Piece, Crew[Piece]], None]) -> None:
        """Work on all pieces, some of them at the same time.

        :param work: does one.  It calls :meth:`Crew.under_way` as soon as it
            goes well, and :meth:`Crew.check` now and then.
        :raises Exception: what the first piece ended with that failed.  None is
            begun after that; those that were are ended, or given up if it was
            more than that the plan is outdated.
        """
        Crew(self._limit, self._slots, pieces, work).run()


class Crew(Generic[Piece]):
    """The workers of one object; see :class:`Workers`."""

    def __init__(
        self,
        limit: int,
        slots: Slots,
        pieces: Iterable[Piece],
        work: Callable[[Piece, Crew[Piece]], None],
    ) -> None:
        self._limit = limit
        self._slots = slots
        self._pieces = deque(pieces)
        self._work = work
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Work, and wait for the others."""
        self._go_on()
        for thread in self._threads:
            # The last one may hire another only while it works.
            thread.join()
        if self._error is not None:
            raise self._error

    def check(self) -> None:
        """Raise an error unless the work is to go on.

        :raises Cancelled: if there is none.
        """
        if self._cancelled.is_set():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        """Wait.

        :raises Cancelled: as soon as there is no reason to.
        """
        self._cancelled.wait(seconds)
        self.check()

    def under_way(self) -> None:
        """Start one more worker, if pieces are left and a slot is free.

        It is called when a piece goes well, so nobody is alone in finding out
        that the server is not there, or that it serves no ranges.
        """
        with self._lock:
            if not self._pieces or self._error or len(self._threads) + 1 >= self._limit:
                return
            slot = self._slots.take()
            if slot is None:
                return
            thread = threading.Thread(target=self._help_out, args=(slot,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _help_out(self, slot: int) -> None:
        try:
            self._go_on()
        finally:
            self._slots.give_back(slot)

    def _go_on(self) -> None:
        while True:
            with self._lock:
                if not self._pieces or self._error:
                    return
                piece = self._pieces.popleft()
            try:
                self._work(piece, self)
            except Cancelled:
                return
            except Exception as error:
                self._fail(error)
                return

    def _fail(self, error: Exception) -> None:
        with self._lock:
            # What is worse than an outdated plan counts more.
            if self._error is None or isinstance(self._error, Outdated):
                self._error = error
        if not isinstance(error, Outdated):
            self._cancelled.set()
