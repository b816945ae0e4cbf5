"""Values that expire and are expensive to get: credentials above all.

The current value is returned at once, for as long as it is good.  A while before
it expires, the next caller starts to fetch a new one in the background.  Callers
wait only if no value is good, and then all of them for the same fetch.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.interfaces import IBlocking, WallClock

T = TypeVar("T")

#: After a failed fetch in the background, the next waits for so many seconds.
RETRY_DELAY: Final = 30.0

#: How often credentials that never expire are looked up again, in seconds:
#: somebody may have replaced them in their file.
LOOK_AGAIN: Final = 900.0


@dataclass(frozen=True, slots=True)
class Expiring(Generic[T]):
    """A value and how long it is good.

    :ivar value: the value.
    :ivar expiry: when it stops to be good, in seconds since the epoch;
        ``None`` if never.
    :ivar renewal: from when on a new one should be fetched in the background;
        ``None`` if never.
    """

    value: T
    expiry: float | None = None
    renewal: float | None = None

    def __repr__(self) -> str:
        """Leave out the value: it is usually a secret."""
        return f"<Expiring until {self.expiry}>"


class Refreshing(Generic[T]):
    """Keeps a value that expires fresh.

    :param fetch: gets a new one; it must not block.  At most one fetch runs
        at a time.
    :param clock: tells how much time has gone by.
    :param wall_clock: is compared with the dates of values.
    :param what: what the value is called in the log.
    """

    log = Logger()

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Expiring[T]]],
        clock: IReactorTime,
        wall_clock: WallClock,
        what: str,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._wall_clock = wall_clock
        #: What the wall clock was ahead of the other at the last fetch, in seconds.
        self._ahead = -math.inf
        self._what = what
        self._current: Expiring[T] | None = None
        self._waiting: list[Deferred[Expiring[T]]] = []
        self._fetching = False
        self._not_before = -math.inf

    async def get(self) -> Expiring[T]:
        """Return a value that is good now.

        :raises Exception: what the fetch raised, if there is none.
        """
        # A wall clock that has been set back since must not lengthen the value's life.
        elapsed = self._clock.seconds()
        now = max(self._wall_clock(), elapsed + self._ahead)
        current = self._current
        if current is not None and (current.expiry is None or now < current.expiry):
            due = current.renewal is not None and now >= current.renewal
            if due and elapsed >= self._not_before:
                self._start()
            return current
        # Each who waits may stop waiting without disturbing the others.
        waiter: Deferred[Expiring[T]] = Deferred()
        self._waiting.append(waiter)
        self._start()
        return await waiter

    def _start(self) -> None:
        if not self._fetching:
            self._fetching = True
            Deferred.fromCoroutine(self._refresh())

    async def _refresh(self) -> None:
        failure = None
        try:
            self._current = fetched = await self._fetch()
            self._ahead = self._wall_clock() - self._clock.seconds()
        except Exception as error:
            failure = Failure()
            self.log.warn("{what}: {error}", what=self._what, error=str(error) or repr(error))
        # A failure, or an unchanged value, is not asked about again at once.
        self._not_before = self._clock.seconds() + RETRY_DELAY
        self._fetching = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if waiter.called:
                continue
            if failure is not None:
                waiter.errback(failure)
            else:
                waiter.callback(fetched)


def unchanging(value: T, clock: IReactorTime, what: str) -> Refreshing[T]:
    """Keep a value that never expires, such as a key in the configuration.

    :param what: what the value is called in the log.
    """

    async def fetch() -> Expiring[T]:
        return Expiring(value)

    # Which time of day it is does not matter to a value without expiry.
    return Refreshing(fetch, clock, clock.seconds, what)


def looked_up(
    find: Callable[[], tuple[T, float | None]],
    blocking: IBlocking,
    clock: IReactorTime,
    wall_clock: WallClock,
    what: str,
    early: float,
    late: float = 0.0,
) -> Refreshing[T]:
    """Keep a value fresh that is looked up in a thread.

    :param find: returns the value, and when it expires, in seconds since the
        epoch; ``None`` if never.  It may block.
    :param what: what the value is called in the log.
    :param early: how long before it expires a new one is fetched, in seconds;
        at most half of its life.
    :param late: how long before it expires it is not used any more, in
        seconds; at most a tenth of its life.
    """

    async def fetch() -> Expiring[T]:
        running: Awaitable[tuple[T, float | None]] = blocking.run(find)
        value, expiry = await running
        now = wall_clock()
        if expiry is None:
            return Expiring(value, None, now + LOOK_AGAIN)
        left = expiry - now
        return Expiring(value, expiry - min(late, left / 10), expiry - min(early, left / 2))

    return Refreshing(fetch, clock, wall_clock, what)
