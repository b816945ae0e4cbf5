"""Look at how stored objects begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import DeferredSemaphore

from giftless.base.concurrency import each
from giftless.errors import LFSError
from giftless.interfaces import Glimpse, IPeeking, IReadableStore, IStoredObject
from giftless.lfs.objects import ObjectKey
from giftless.storage.coded.head import HEAD_SIZE, Head, parse_head
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

    async def of_any(self, keys: Sequence[ObjectKey]) -> Sequence[Glimpse | LFSError | None]:
        """Look at objects, some of which may be empty.

        :returns: as :meth:`of` does; what is too short for a head has no ``start``.
        """
        found: list[Any] = [
            Glimpse(size, b"") if isinstance(size, int) else size
            for size in await self._store.sizes(keys)
        ]
        places = [
            place
            for place, glimpse in enumerate(found)
            if isinstance(glimpse, Glimpse) and glimpse.size >= HEAD_SIZE
        ]
        if places:
            glimpses = await self.of([keys[place] for place in places])
            for place, glimpse in zip(places, glimpses, strict=True):
                found[place] = glimpse
        return found

    async def heads(
        self, keys: Sequence[ObjectKey], tell: Callable[[Head | None], str]
    ) -> Sequence[str | LFSError | None]:
        """Look at the heads of objects.

        :param tell: says something of a head; ``None`` stands for that of plaintext.
        :returns: one entry per key, in order: what ``tell`` says; ``None`` if the object is
            certainly absent; or an error (not raised).
        :raises ServiceUnavailable: if nothing can be told now.
        """
        glimpses = await self.of_any(keys)
        return [_told(key, glimpse, tell) for key, glimpse in zip(keys, glimpses, strict=True)]

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


def _told(
    key: ObjectKey, glimpse: Glimpse | LFSError | None, tell: Callable[[Head | None], str]
) -> str | LFSError | None:
    if not isinstance(glimpse, Glimpse):
        return glimpse
    try:
        return tell(parse_head(glimpse.start[:HEAD_SIZE], key.oid))
    except LFSError as error:
        return error
