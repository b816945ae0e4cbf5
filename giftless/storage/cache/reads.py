"""Open objects by way of a cache: from its disk if they are there, else from where they are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from giftless.interfaces import IBlocking, IStoredObject
from giftless.lfs.objects import Extras, ObjectKey, Repo
from giftless.storage.cache.entries import Entries
from giftless.storage.local.opened_object import LocalObject

#: Opens an object where it is kept; ``None`` if it is absent there.  It is called when bytes
#: are needed, and once for each transfer that is begun.
Source = Callable[[], Awaitable[IStoredObject | None]]


def _nothing() -> None:
    """Free nothing."""


class CachedReads:
    """Objects' bytes on a local disk, whoever keeps the objects themselves.

    :param directory: where they are; see :mod:`giftless.storage.cache.entries`.
    :param limit: the most bytes that they may have together.
    :param blocking: does everything that touches the disk.
    :param clock: waits.
    """

    def __init__(
        self, directory: str, limit: int, blocking: IBlocking, clock: IReactorTime
    ) -> None:
        self.entries = Entries(directory)
        self._limit = limit
        self._blocking = blocking
        self._clock = clock

    async def open(
        self,
        key: ObjectKey,
        size: int,
        extras: Extras,
        source: Source,
        release: Callable[[], None] = _nothing,
    ) -> IStoredObject:
        """Open an object that is known to exist, and may be read by whoever asks.

        :param size: how many bytes it has.
        :param extras: what the open object says of itself.
        :param source: opens it where it is kept, if that is needed.
        :param release: called once, when the source is not needed any more: by now, or when
            the open object is closed.
        """
        fd = await self._blocking.run(self.entries.open, key, size)
        if fd is not None:
            release()
            return LocalObject(fd, size, extras, self._blocking)
        stored = await source()
        assert stored is not None
        release()
        return stored if size > self._limit else await self._fill(key, stored, extras)

    async def _fill(self, key: ObjectKey, stored: IStoredObject, extras: Extras) -> IStoredObject:
        path = os.path.join(self.entries.root, secrets.token_hex(16))
        digest = hashlib.sha256()
        body = stored.read(0, stored.size)
        with open(path, "xb") as file:
            while chunks := await body.read():
                for chunk in chunks:
                    digest.update(chunk)
                await self._blocking.run(file.writelines, chunks)
        if digest.hexdigest() != key.oid:
            os.unlink(path)
            return stored
        stored.close()
        with self.entries.enter(key.repo, make=True) as directory:
            os.rename(path, key.oid, dst_dir_fd=directory)
        fd = self.entries.open(key, stored.size)
        assert fd is not None
        return LocalObject(fd, stored.size, extras, self._blocking)

    async def has(self, key: ObjectKey, size: int) -> bool:
        """Whether there is an entry of this length; its digest is compared when it is opened."""
        return await self.sizes([key]) == [size]

    async def sizes(self, keys: Sequence[ObjectKey]) -> list[int | None]:
        """Return how many bytes entries have; ``None`` for each that is not there."""
        return await self._blocking.run(lambda: [self.entries.size_of(key) for key in keys])

    async def keys_of(self, repo: Repo) -> list[ObjectKey]:
        """List the entries of a repository."""
        return await self._blocking.run(self.entries.keys_of, repo)

    async def drop(self, keys: Sequence[ObjectKey]) -> int:
        """Remove entries.

        :returns: how many there were.
        """
        with contextlib.suppress(OSError):
            return await self._blocking.run(lambda: sum(map(self.entries.remove, keys)))
        return 0
