"""Wrap data keys with the primary key, so that older keys are not needed any more."""

from __future__ import annotations

from giftless.base.pace import Pace
from giftless.interfaces import IEncryptedStore, ListedObject
from giftless.usecases.resealing.walking import Reason


class Rotation:
    """The work on each object; see :class:`giftless.usecases.resealing.walking.Work`.

    :param store: the store.
    :param pace: bounds how fast objects are copied, where heads cannot be replaced in place.
    """

    def __init__(self, store: IEncryptedStore, pace: Pace) -> None:
        self._store = store
        self._pace = pace

    async def judge(self, seal: str) -> Reason | None:
        """See :meth:`giftless.usecases.resealing.walking.Work.judge`."""
        if not seal:
            return "other"
        return "before" if seal == await self._store.keys.primary() else None

    async def do(self, listed: ListedObject) -> bool:
        """See :meth:`giftless.usecases.resealing.walking.Work.do`."""
        if not self._store.rewraps_in_place:
            await self._pace.take(listed.size)
        done: bool = await self._store.rewrap(listed.key)
        return done
