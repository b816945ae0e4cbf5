"""Compress what was stored as it is, where that saves room."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.base.pace import Pace
from giftless.interfaces import ICompressingStore, ListedObject
from giftless.lfs.objects import ObjectKey
from giftless.usecases.recoding.anew import Anew
from giftless.usecases.recoding.walking import Reason, Seen


class Compressing:
    """The work on each object; see :class:`giftless.usecases.recoding.walking.Work`.

    What would not become smaller is left as it is.  Only its beginning is read to find that
    out, so that is not remembered.

    :param store: the store.
    :param pace: bounds how fast beginnings are read.
    :param anew: stores objects anew; ``None`` if nothing is to be done, but counted.
    """

    def __init__(self, store: ICompressingStore, pace: Pace, anew: Anew | None) -> None:
        self._store = store
        self._pace = pace
        self._anew = anew

    async def look(self, keys: Sequence[ObjectKey]) -> Sequence[Seen]:
        """Return what has compressed objects."""
        encodings: Sequence[Seen] = await self._store.compressions(keys)
        return encodings

    async def judge(self, listed: ListedObject, seen: str) -> Reason | None:
        """See :meth:`giftless.usecases.recoding.walking.Work.judge`.

        :raises LFSError: if its beginning cannot be read.
        """
        if seen:
            return "before"
        await self._pace.take(min(listed.size, self._store.tried_bytes))
        return None if await self._store.compression_pays(listed.key) else "other"

    async def do(self, listed: ListedObject) -> bool:
        """See :meth:`giftless.usecases.recoding.walking.Work.do`, and :meth:`Anew.store`."""
        return self._anew is None or await self._anew.store(listed.key)
