"""Read an object of a store that may fail for a moment: what was read is not read again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from giftless.errors import Conflict, ObjectSealed, ObjectUnreadable, ServiceUnavailable
from giftless.interfaces import IBody, IReadableStore, IStoredFile, IStoredObject
from giftless.lfs.objects import ObjectKey

#: How many times in a row reading may fail.
READ_ATTEMPTS: Final = 5

#: How long to wait before the next attempt, in seconds.
READ_DELAY: Final = 2.0


@implementer(IBody)
class WholeObject:
    """All bytes of an object.

    :param store: where it is.
    :param clock: waits before another attempt.
    :param fresh: whether a file is read from its disk, and not from the memory that the
        kernel keeps of it.
    :param stored: the object, if it has been opened already; it is closed here.
    """

    def __init__(
        self,
        store: IReadableStore,
        key: ObjectKey,
        clock: IReactorTime,
        fresh: bool = False,
        stored: IStoredObject | None = None,
    ) -> None:
        self._fresh = fresh
        self._store = store
        self._key = key
        self._clock = clock
        self._offset = 0
        self._failures = 0
        self._stored = stored
        self._body: IBody | None = None

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises Conflict: if the object is not there any more.
        :raises ServiceUnavailable: if it cannot be read, again and again.
        """
        while True:
            try:
                if self._body is None:
                    self._body = await self._open()
                chunks = await self._body.read()
            except (ObjectUnreadable, ObjectSealed):
                # To ask again would take long, and help nobody.
                raise
            except (ServiceUnavailable, OSError):
                self.close()
                self._failures += 1
                if self._failures == READ_ATTEMPTS:
                    raise
                await deferLater(self._clock, READ_DELAY)
                continue
            self._failures = 0
            self._offset += sum(map(len, chunks))
            return chunks

    async def _open(self) -> IBody:
        stored = self._stored
        if stored is None:
            stored = await self._store.open(self._key)
        if stored is None:
            raise Conflict("the object was deleted meanwhile; ask for a new batch")
        self._stored = stored
        if self._fresh and IStoredFile.providedBy(stored):
            file: IStoredFile = stored
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return stored.read(min(self._offset, stored.size), stored.size)

    def close(self) -> None:
        """Close what is open.  Harmless when repeated."""
        if self._stored is not None:
            self._stored.close()
        self._stored = self._body = None
