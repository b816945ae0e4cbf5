"""Seal what is stored as it is, or only compressed: it is read, verified and stored again."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any, Final

from giftless.errors import LFSError, ObjectDamaged, ObjectUnreadable, StorageUnavailable
from giftless.interfaces import IEncryptedStore, ISharing, ListedObject
from giftless.lfs.objects import ObjectKey, Oid
from giftless.usecases.migration.copier import Copier, Outcome
from giftless.usecases.resealing.walking import Reason

#: How many objects are remembered that were sealed, some hundred bytes each.
_REMEMBERED: Final = 100_000


class Encrypting:
    """The work on each object; see :class:`giftless.usecases.resealing.walking.Work`.

    Equal objects of several repositories may be one file.  Each becomes a file of its own,
    and then they share the first one again, where the store can do that.

    :param store: the store.
    :param copier: copies an object of it onto itself, and verifies it on the way; ``None`` if
        nothing is to be done, but counted.
    """

    def __init__(self, store: IEncryptedStore, copier: Copier | None) -> None:
        self._store: Any = store
        self._copier = copier
        self._sealed: OrderedDict[Oid, ObjectKey] = OrderedDict()

    async def judge(self, seal: str) -> Reason | None:
        """See :meth:`giftless.usecases.resealing.walking.Work.judge`."""
        return "before" if seal else None

    async def do(self, listed: ListedObject) -> bool:
        """See :meth:`giftless.usecases.resealing.walking.Work.do`.

        :raises ObjectDamaged: if its bytes are not those that its oid names.
        :raises ObjectUnreadable: if they cannot be had.
        :raises ServiceUnavailable: if the store fails.
        """
        if self._copier is None:
            return True
        outcome, problem = await self._copier.copy(listed.key)
        if outcome is Outcome.GONE:
            return False
        if outcome is not Outcome.COPIED:
            raise _error(outcome, problem)
        await self._store.drop_copy(listed.key)
        await self._share(listed.key)
        return True

    async def _share(self, key: ObjectKey) -> None:
        """Let an object share the bytes of an equal one that was sealed before."""
        first = self._sealed.setdefault(key.oid, key)
        if len(self._sealed) > _REMEMBERED:
            self._sealed.popitem(last=False)
        if first != key and ISharing.providedBy(self._store):
            # It takes more room otherwise, and nothing else.
            with contextlib.suppress(LFSError):
                await self._store.share(first, [key])


def _error(outcome: Outcome, problem: str) -> LFSError:
    if outcome in (Outcome.DAMAGED, Outcome.WRONG):
        return ObjectDamaged(problem)
    if outcome is Outcome.UNREADABLE:
        return ObjectUnreadable(problem, 0)
    return StorageUnavailable(problem, 0)
