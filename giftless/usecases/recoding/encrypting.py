"""Seal what is stored as it is, or only compressed."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.interfaces import IEncryptedStore, ListedObject
from giftless.lfs.objects import ObjectKey
from giftless.usecases.recoding.anew import Anew
from giftless.usecases.recoding.walking import Reason, Seen


class Encrypting:
    """The work on each object; see :class:`giftless.usecases.recoding.walking.Work`.

    :param store: the store.
    :param anew: stores objects anew; ``None`` if nothing is to be done, but counted.
    """

    def __init__(self, store: IEncryptedStore, anew: Anew | None) -> None:
        self._store = store
        self._anew = anew

    async def look(self, keys: Sequence[ObjectKey]) -> Sequence[Seen]:
        """Return the ids of the keys that have sealed objects."""
        seals: Sequence[Seen] = await self._store.seals(keys)
        return seals

    async def judge(self, listed: ListedObject, seen: str) -> Reason | None:
        """See :meth:`giftless.usecases.recoding.walking.Work.judge`."""
        return "before" if seen else None

    async def do(self, listed: ListedObject) -> bool:
        """See :meth:`giftless.usecases.recoding.walking.Work.do`, and :meth:`Anew.store`."""
        return self._anew is None or await self._anew.store(listed.key)
