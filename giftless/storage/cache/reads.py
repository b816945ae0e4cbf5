"""Open objects by way of a cache: from its disk if they are there, else while they come to it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.bodies import collect
from giftless.interfaces import (
    CacheCounts,
    CacheHoldings,
    CountLookup,
    IBlocking,
    ICaching,
    IStoredObject,
)
from giftless.interfaces.caching import NO_COUNTS
from giftless.interfaces.environment import count_nothing
from giftless.lfs.objects import Extras, ObjectKey, Oid, Repo
from giftless.storage.cache.ceiling import Ceiling, Holdings
from giftless.storage.cache.checks import Checks, Found
from giftless.storage.cache.context import Context, Source, opened
from giftless.storage.cache.entries import Entries
from giftless.storage.cache.growth import Growth
from giftless.storage.cache.opened_object import ComingObject, KeptObject
from giftless.storage.coded.head import HEAD_SIZE

#: What looks into the cache are counted as.
CACHE: Final = "objects"

#: Of how many objects it is remembered how much was asked for in parts.
_MOST: Final = 10_000

_log = Logger(namespace="giftless.cache")


@implementer(ICaching)
class CachedReads(Service):
    """Objects' bytes on a local disk, whoever keeps the objects themselves.

    :param path: where they are; see :mod:`giftless.storage.cache.entries`.
    :param limit: the most bytes that they may have together.
    :param blocking: does everything that touches the disk.
    :param clock: waits.
    :param count_lookup: counts what was found.
    :param counts: counts what is done.
    """

    def __init__(
        self,
        path: str,
        limit: int,
        blocking: IBlocking,
        clock: IReactorTime,
        count_lookup: CountLookup = count_nothing,
        counts: CacheCounts = NO_COUNTS,
    ) -> None:
        self.path = path
        self.entries = Entries(path)
        self._count_lookup = count_lookup
        self._blocking = blocking
        self._ceiling = Ceiling(self.entries, limit)
        self._checks = Checks(self.entries, blocking, clock, counts)
        self._context = Context(self.entries, self._ceiling, self._checks, blocking, clock, counts)
        self._growing: dict[tuple[ObjectKey, int], Growth] = {}
        #: How many bytes were asked for in parts, of objects that are not here.
        self._wanted: OrderedDict[ObjectKey, int] = OrderedDict()

    # -- with the daemon

    def startService(self) -> None:
        """Remove what nobody fills any more, and what is above the limit."""
        super().startService()
        Deferred.fromCoroutine(self._settle())

    def stopService(self) -> Deferred[None]:
        """End what is being filled; whoever reads it goes on without."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _settle(self) -> None:
        try:
            await self._context.count(self._ceiling.settle)
        except OSError as error:
            _log.warn(
                "the cache {path!r} cannot be looked at: {problem}", path=self.path, problem=error
            )

    async def _stop(self) -> None:
        for growth in list(self._growing.values()):
            await growth.stop()

    # -- objects

    async def open(
        self, key: ObjectKey, size: int, extras: Extras, source: Source
    ) -> IStoredObject:
        """Open an object that is known to exist, and may be read by whoever asks.

        :param size: how many bytes it has.
        :param extras: what the open object says of itself.
        :param source: opens it where it is kept.  It is called, and its errors are raised
            here, unless the object is kept here or is coming already; later again if what it
            has opened breaks off.
        :raises NotFound: if it turns out that the object is not there.
        """
        if not size:
            # Nothing is less than what it costs to keep it.
            return await opened(source)
        growth = self._growing.get((key, size))
        if growth is None or not growth.begun:
            found = await self._checks.find(key, size)
            if found is not None and await self._is_current(key, found, source):
                self._count_lookup(CACHE, "hit")
                return KeptObject(found.fd, size, extras, self._blocking, self._context.counts)
            growth = await self._join(key, size, source)
        self._count_lookup(CACHE, "shared" if growth.begun else "miss")
        wanted = partial(self._is_wanted, key, size)
        return ComingObject(growth, size, extras, source, self._context, wanted)

    async def warm(self, key: ObjectKey, size: int, source: Source) -> int:
        """Copy an object, unless there is a copy.

        :param size: how many bytes it has.
        :param source: opens it where it is kept.
        :returns: how many bytes were copied.
        :raises InsufficientStorage: if there is no room for it.
        :raises StorageUnavailable: if it cannot be copied for another reason.
        :raises LFSError: what opening it raises.
        """
        if not size or await self.has(key, size):
            return 0
        stored = await self.open(key, size, {}, source)
        try:
            if isinstance(stored, ComingObject):
                await stored.come()
        finally:
            stored.close()
        return size

    async def _is_current(self, key: ObjectKey, found: Found, source: Source) -> bool:
        """Compare the head of a coded entry with that of the object: its keys may be others now.

        :returns: whether the entry is of use; its file is closed if not.
        """
        if found.plain:
            return True
        is_same = False
        try:
            stored = await opened(source)
            try:
                head = await collect(stored.read(0, min(HEAD_SIZE, stored.size)), HEAD_SIZE)
            finally:
                stored.close()
            is_same = head == await self._blocking.run(os.pread, found.fd, HEAD_SIZE, 0)
            if not is_same:
                await self._blocking.run(self.entries.remove, key)
        finally:
            if not is_same:
                os.close(found.fd)
        return is_same

    async def _join(self, key: ObjectKey, size: int, source: Source) -> Growth:
        """Return the file that an object comes to; its maker has opened the object."""
        while (growth := self._growing.get((key, size))) is not None:
            if not growth.opening:
                return growth
            # It may fail for who asks there, and not for who asks here.
            await growth.opened()
        keeps = not self._checks.compares(key)
        growth = Growth(key, size, self._context, partial(self._forget, key, size), keeps)
        self._growing[key, size] = growth
        try:
            await growth.open(source)
        except BaseException:
            self._forget(key, size, growth)
            raise
        return growth

    def _forget(self, key: ObjectKey, size: int, growth: Growth) -> None:
        if self._growing.get((key, size)) is growth:
            del self._growing[key, size]

    def _is_wanted(self, key: ObjectKey, size: int, count: int) -> bool:
        """Note that a part was asked for.

        :returns: whether as much was asked for by now as the object has.
        """
        total = self._wanted.pop(key, 0) + count
        if total >= size:
            return True
        self._wanted[key] = total
        if len(self._wanted) > _MOST:
            self._wanted.popitem(last=False)
        return False

    # -- what there is

    async def has(self, key: ObjectKey, size: int) -> bool:
        """Whether there is an entry of this length; its digest is compared when it is opened."""
        return await self.sizes([key]) == [size]

    async def sizes(self, keys: Sequence[ObjectKey]) -> list[int | None]:
        """Return how many bytes entries have; ``None`` for each that is not there."""
        return await self._blocking.run(lambda: [self.entries.size_of(key) for key in keys])

    async def keys_of(self, repo: Repo) -> list[ObjectKey]:
        """List the entries of a repository."""
        return await self._blocking.run(self.entries.keys_of, repo)

    async def holdings(self) -> CacheHoldings:
        """See :meth:`giftless.interfaces.caching.ICaching.holdings`."""
        return self._told(await self._blocking.run(self._ceiling.look))

    async def recount(self) -> CacheHoldings:
        """See :meth:`giftless.interfaces.caching.ICaching.recount`."""
        return self._told(await self._context.count(self._ceiling.recount))

    async def drop(self, repo: Repo | None, oids: Sequence[Oid] = ()) -> int:
        """See :meth:`giftless.interfaces.caching.ICaching.drop`."""
        removed = await self._blocking.run(self.entries.remove_all, repo, oids)
        await self._context.count(self._ceiling.recount)
        return removed

    def _told(self, holdings: Holdings) -> CacheHoldings:
        return CacheHoldings(
            path=self.path,
            bytes=holdings.bytes,
            entries=holdings.entries,
            limit=self._ceiling.limit,
        )
