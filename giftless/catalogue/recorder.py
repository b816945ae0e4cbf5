"""Tell the catalogue of objects that were stored, behind the requests that have stored them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from giftless.errors import LFSError, ServiceUnavailable
from giftless.interfaces import (
    Arrival,
    Entry,
    Event,
    ICatalogue,
    IObjectStore,
    IObserver,
    ISharing,
    ObjectStored,
    WallClock,
)
from giftless.lfs.objects import ObjectKey

#: How long objects are gathered before they are recorded, in seconds: a transaction costs
#: much more than an object, and most at the beginning of a push, when uploads sync the same
#: disk.
TOGETHER: Final = 1.0

#: The most objects of one transaction, so that none takes long.
MAX_TOGETHER: Final = 2000

#: When the database is tried again after it has failed, in seconds: at first, and at last.
_RETRY: Final = (2.0, 30.0)

#: How many objects wait in memory while the database fails.
MAX_WAITING: Final = 100_000

#: How many objects wait to share their bytes with equal ones.
_MAX_SHARING: Final = 10_000


#: How objects arrive whose bytes were compared with their oid on the way.
_VERIFIED: Final = frozenset({Arrival.STREAMED, Arrival.COMMITTED, Arrival.IMPORTED})


@implementer(IObserver)
class Recorder(Service):
    """Records the arrivals of objects, many in one transaction.

    :param store: may let equal objects share their bytes.
    :param clock: tells when it is time.
    :param wall_clock: dates the arrivals.
    """

    log = Logger()

    def __init__(
        self,
        catalogue: ICatalogue,
        store: IObjectStore,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._catalogue = catalogue
        self._sharer: ISharing | None = store if ISharing.providedBy(store) else None
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: deque[tuple[ObjectStored, float]] = deque()
        self._lost = 0
        self._retry = _RETRY[0]
        self._timer: IDelayedCall | None = None
        self._busy = False
        self._recording: Deferred[None] = succeed(None)
        self._to_share: deque[tuple[ObjectKey, Sequence[ObjectKey]]] = deque()
        self._shares = False
        self._sharing: Deferred[None] = succeed(None)

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        if not isinstance(event, ObjectStored):
            return
        self._waiting.append((event, self._wall_clock()))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._lost += 1
        if self._timer is None and not self._busy:
            self._wait(TOGETHER)

    async def stopService(self) -> None:
        """Record what waits; called when no request is left."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._recording
        while self._waiting and await self._record():
            pass
        if self._waiting:
            self._tell_lost(self._lost + len(self._waiting))
        self._to_share.clear()
        await self._sharing

    def _wait(self, delay: float) -> None:
        self._timer = self._clock.callLater(delay, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._busy = True
        self._recording = Deferred.fromCoroutine(self._record_some())

    async def _record_some(self) -> None:
        delay = self._retry
        if await self._record():
            delay = TOGETHER if len(self._waiting) < MAX_TOGETHER else 0
            self._retry = _RETRY[0]
        else:
            self._retry = min(2 * self._retry, _RETRY[1])
        self._busy = False
        if self._waiting and self.running:
            self._wait(delay)

    async def _record(self) -> bool:
        """Record the objects that have waited longest.

        :returns: whether that could be done.
        """
        some = list(islice(self._waiting, MAX_TOGETHER))
        entries = [
            Entry(event.key, event.size, at, at, event.who, event.principal, event.filename)
            for event, at in some
        ]
        lost = self._lost
        equal: Mapping[ObjectKey, Sequence[ObjectKey]] = {}
        try:
            equal = await self._catalogue.record(entries)
        except ServiceUnavailable:
            return False  # has been logged
        except Exception:
            # Whatever it is about these, the next ones must not wait behind them.
            self.log.failure("{count} stored objects cannot be recorded", count=len(some))
        # What was dropped meanwhile was among these.
        dropped = min(self._lost - lost, len(some))
        self._lost -= dropped
        for _ in range(len(some) - dropped):
            self._waiting.popleft()
        if self._lost:
            self._tell_lost(self._lost)
            self._lost = 0
        if equal and self._sharer is not None:
            self._share({event.key for event, _ in some if event.arrival in _VERIFIED}, equal)
        return True

    def _tell_lost(self, count: int) -> None:
        self.log.error(
            "{count} objects that were stored while the catalogue's database failed are not in"
            " it; 'giftless catalogue rebuild' adds them",
            count=count,
        )

    def _share(
        self, verified: set[ObjectKey], equal: Mapping[ObjectKey, Sequence[ObjectKey]]
    ) -> None:
        """Let equal objects share the bytes of those that were just verified."""
        for key, others in equal.items():
            if key in verified and len(self._to_share) < _MAX_SHARING:
                self._to_share.append((key, others))
        if self._to_share and not self._shares:
            self._shares = True
            self._sharing = Deferred.fromCoroutine(self._share_each())

    async def _share_each(self) -> None:
        assert self._sharer is not None
        try:
            while self._to_share:
                key, others = self._to_share.popleft()
                try:
                    await self._sharer.share(key, others)
                except LFSError as error:
                    self.log.warn(
                        "{key} cannot share its bytes with equal objects: {error}",
                        key=key.path,
                        error=error.message,
                    )
        except Exception:
            self.log.failure("equal objects cannot share their bytes")
        finally:
            self._shares = False
