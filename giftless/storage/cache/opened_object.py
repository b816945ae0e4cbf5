"""Objects that are open: those that are on the disk, and those that come to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Final

from zope.interface import implementer

from giftless.base.page_cache import read_now
from giftless.errors import InsufficientStorage, LFSError, StorageUnavailable
from giftless.interfaces import (
    CacheCounts,
    FillOutcome,
    IBlocking,
    IBody,
    ICounted,
    IGrowingFile,
    IStoredObject,
)
from giftless.lfs.objects import Extras
from giftless.storage.cache.context import Context, Source, opened
from giftless.storage.cache.growth import Growth
from giftless.storage.local.failures import RETRY_AFTER
from giftless.storage.local.opened_object import LocalObject

#: How much a download that the kernel cannot send reads at a time, in bytes.
READ_SIZE: Final = 256 * 1024


@implementer(ICounted)
class KeptObject(LocalObject):
    """An open entry.

    :param fd: its file, which is closed with it.
    """

    def __init__(
        self, fd: int, size: int, extras: Extras, blocking: IBlocking, counts: CacheCounts
    ) -> None:
        super().__init__(fd, size, extras, blocking)
        self._counts = counts

    def sent(self, count: int) -> None:
        """See :meth:`giftless.interfaces.caching.ICounted.sent`."""
        self._counts.cache_read("disk", count)


@implementer(IGrowingFile, ICounted)
class ComingObject:
    """An open object that is not in the cache yet.

    Reading all of it lets it come.  A part is read where the object is kept, at once, unless
    it is coming already and has reached the part.

    :param growth: the file that it comes to.
    :param size: how many bytes it has.
    :param source: opens it where it is kept.
    :param context: what the cache works with.
    :param wanted: is told how many bytes a part has; returns whether it pays to let all of
        the object come.
    """

    def __init__(
        self,
        growth: Growth,
        size: int,
        extras: Extras,
        source: Source,
        context: Context,
        wanted: Callable[[int], bool],
    ) -> None:
        self.size = size
        self.extras = extras
        self._growth = growth
        self._source = source
        self._context = context
        self._wanted = wanted
        self._opened: list[IStoredObject] = []
        self._fetched = 0
        self._closed = False
        growth.join()

    async def grown(self, offset: int) -> int:
        """See :meth:`giftless.interfaces.caching.IGrowingFile.grown`."""
        self._growth.begin(self._source)
        return max(offset, await self._growth.grown(offset))

    async def come(self) -> None:
        """Wait until all of it is on the disk.

        :raises InsufficientStorage: if there is no room for it.
        :raises StorageUnavailable: if it cannot be had, or not be written.
        """
        reached = 0
        while (grown := await self.grown(reached)) > reached:
            reached = grown
        if reached < self.size:
            raise _problem(self._growth.outcome)

    def fileno(self) -> int:
        """See :meth:`giftless.interfaces.caching.IGrowingFile.fileno`."""
        return self._growth.fd

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        growth = self._growth
        whole = (start, end) == (0, self.size)
        if whole or (growth.running and self._wanted(end - start)):
            growth.begin(self._source)
        follows = whole or (growth.begun and growth.reached > start)
        return _ComingBody(self, start, end, follows)

    def sent(self, count: int) -> None:
        """See :meth:`giftless.interfaces.caching.ICounted.sent`."""
        self._context.counts.cache_read("disk", max(0, count - self._fetched))

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        for stored in self._opened:
            stored.close()
        if not self._closed:
            self._closed = True
            self._growth.leave()

    async def piece(self, start: int, end: int) -> bytes | None:
        """Read some bytes of the file, if it has any of these.

        :returns: never none of them; ``None`` if they are to be read where the object is kept.
        :raises LFSError: if the file has turned out not to be the object.
        """
        reached = await self._growth.grown(start)
        end = min(end, reached, start + READ_SIZE)
        if end <= start:
            return None
        data = read_now(self._growth.fd, start, end)
        if data is None:
            try:
                count = end - start
                data = await self._context.blocking.run(os.pread, self._growth.fd, count, start)
            except OSError:
                # The object itself is elsewhere.
                return None
        if not data:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        return data

    async def elsewhere(self, start: int, end: int) -> IBody:
        """Read where the object is kept.

        :raises LFSError: if that cannot be done.
        """
        stored = self._growth.take() or await opened(self._source)
        self._opened.append(stored)
        if self._closed:
            stored.close()
        return stored.read(start, end)

    def fetched(self, count: int) -> None:
        """Count bytes that were read where the object is kept."""
        self._fetched += count
        self._context.counts.cache_read("store", count)


@implementer(IBody)
class _ComingBody:
    """Part of an object that may come to a file meanwhile.

    :param follows: whether to read it from the file, as far as that goes.
    """

    def __init__(self, stored: ComingObject, start: int, end: int, follows: bool) -> None:
        self._stored = stored
        self._offset = start
        self._end = end
        self._follows = follows
        self._rest: IBody | None = None

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        if self._offset == self._end:
            return []
        if self._follows:
            data = await self._stored.piece(self._offset, self._end)
            if data is not None:
                self._offset += len(data)
                return [data]
            self._follows = False
        if self._rest is None:
            self._rest = await self._stored.elsewhere(self._offset, self._end)
        chunks = await self._rest.read()
        count = sum(map(len, chunks))
        self._stored.fetched(count)
        self._offset += count
        return chunks


def _problem(outcome: FillOutcome | None) -> LFSError:
    """Say why an object was not copied."""
    if outcome == "full":
        return InsufficientStorage("the cache has no room for this object")
    if outcome == "disk":
        return StorageUnavailable("the disk of the cache fails; see the log", RETRY_AFTER)
    return StorageUnavailable("the store did not send this object; try again later", RETRY_AFTER)
