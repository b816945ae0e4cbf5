"""Hold the parts with which a cache fills its files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from twisted.internet.defer import DeferredLock, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from giftless.errors import NotFound
from giftless.interfaces import CacheCounts, IBlocking, IStoredObject
from giftless.storage.cache.ceiling import Ceiling
from giftless.storage.cache.checks import Checks
from giftless.storage.cache.entries import Entries

T = TypeVar("T")

#: Opens an object where it is kept; ``None`` if it is absent there.  It is called when bytes
#: are needed: once for each transfer that is begun.
Source = Callable[[], Awaitable[IStoredObject | None]]

#: How many files a process fills at once.
MAX_FILLS: Final = 64


async def opened(source: Source) -> IStoredObject:
    """Open an object where it is kept.

    :raises NotFound: if it is not there.
    """
    stored = await source()
    if stored is None:
        raise NotFound("the object was deleted meanwhile; ask for a new batch")
    return stored


@dataclass(frozen=True, slots=True)
class Context:
    """The parts with which a cache fills its files.

    :ivar entries: the directory.
    :ivar ceiling: makes room.
    :ivar checks: is told which entries are good.
    :ivar blocking: does everything that touches the disk.
    :ivar clock: waits.
    :ivar counts: counts what is done.
    :ivar turns: lets :data:`MAX_FILLS` go on at once.
    """

    entries: Entries
    ceiling: Ceiling
    checks: Checks
    blocking: IBlocking
    clock: IReactorTime
    counts: CacheCounts
    turns: DeferredSemaphore = field(default_factory=lambda: DeferredSemaphore(MAX_FILLS))
    _counting: DeferredLock = field(default_factory=DeferredLock)

    async def reserve(self, size: int, place: str) -> bool:
        """Make room for an entry; see :meth:`Ceiling.reserve`."""
        before = self.ceiling.evicted
        reserved = await self.count(self.ceiling.reserve, size, place)
        if self.ceiling.evicted > before:
            self.counts.cache_removed("evicted", self.ceiling.evicted - before)
        return reserved

    async def count(self, function: Callable[..., T], *args: Any) -> T:
        """Call a method of the ceiling; only one thread at a time waits for other processes."""
        await self._counting.acquire()
        try:
            return await self.blocking.run(function, *args)
        finally:
            self._counting.release()
