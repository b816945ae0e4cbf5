"""Look at how stored objects begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import DeferredSemaphore

from giftless.base.concurrency import each
from giftless.errors import LFSError
from giftless.interfaces import Glimpse, IPeeking, IReadableStore, IStoredObject
from giftless.lfs.objects import ObjectKey
from giftless.storage.coded.head import HEAD_SIZE
from giftless.storage.coded.views import read_exactly

#: How many objects are opened at once, only to see how they begin.
_OPENED_AT_ONCE: Final = 16


class Glimpses:
    """Tells the size of stored objects, and what would be their heads.

    :param store: where objects are stored; each is opened if it cannot peek.
    """

    def __init__(self, store: IReadableStore) -> None:
        self._store: Any = store
        self._places = DeferredSemaphore(_OPENED_AT_ONCE)

    async def of(self, keys: Sequence[ObjectKey]) -> Sequence[Glimpse | LFSError | None]:
        """Look at objects; see :meth:`giftless.interfaces.IPeeking.peek`."""
        if IPeeking.providedBy(self._store):
            found: Sequence[Glimpse | LFSError | None] = await self._store.peek(keys, HEAD_SIZE)
            return found
        return await each(self._one, keys)

    async def _one(self, key: ObjectKey) -> Glimpse | None:
        await self._places.acquire()
        try:
            stored: IStoredObject | None = await self._store.open(key)
            if stored is None:
                return None
            try:
                start = await read_exactly(stored, 0, min(HEAD_SIZE, stored.size))
                return Glimpse(stored.size, start)
            finally:
                stored.close()
        finally:
            self._places.release()
