"""Wrap data keys with the primary key, so that older keys are not needed any more."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.base.pace import Pace
from giftless.interfaces import IEncryptedStore, ListedObject
from giftless.lfs.objects import ObjectKey
from giftless.usecases.recoding.walking import Reason, Seen


class Rotation:
    """The work on each object; see :class:`giftless.usecases.recoding.walking.Work`.

    :param store: the store.
    :param pace: bounds how fast objects are copied, where heads cannot be replaced in place.
    """

    def __init__(self, store: IEncryptedStore, pace: Pace) -> None:
        self._store = store
        self._pace = pace

    async def look(self, keys: Sequence[ObjectKey]) -> Sequence[Seen]:
        """Return the ids of the keys that have sealed objects."""
        seals: Sequence[Seen] = await self._store.seals(keys)
        return seals

    async def judge(self, listed: ListedObject, seen: str) -> Reason | None:
        """See :meth:`giftless.usecases.recoding.walking.Work.judge`."""
        if not seen:
            return "other"
        return "before" if seen == await self._store.keys.primary() else None

    async def do(self, listed: ListedObject) -> bool:
        """See :meth:`giftless.usecases.recoding.walking.Work.do`."""
        if not self._store.rewraps_in_place:
            await self._pace.take(listed.size)
        done: bool = await self._store.rewrap(listed.key)
        return done
