"""Store an object in the form that it would have now: it is read, verified and stored again."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any, Final

from giftless.errors import LFSError, ObjectDamaged, ObjectUnreadable, StorageUnavailable
from giftless.interfaces import ICodedStore, ISharing
from giftless.lfs.objects import ObjectKey, Oid
from giftless.usecases.migration.copier import Copier, Outcome

#: How many objects are remembered that were stored anew, some hundred bytes each.
_REMEMBERED: Final = 100_000


class Anew:
    """Stores objects anew.

    Equal objects of several repositories may be one file.  Each becomes a file of its own,
    and then they share the first one again, where the store can do that.

    :param store: the store.
    :param copier: copies an object of it onto itself, and verifies it on the way.
    """

    def __init__(self, store: ICodedStore, copier: Copier) -> None:
        self._store: Any = store
        self._copier = copier
        self._stored: OrderedDict[Oid, ObjectKey] = OrderedDict()

    async def store(self, key: ObjectKey) -> bool:
        """Store an object anew.

        :returns: whether that was done; ``False`` if it is gone.
        :raises ObjectDamaged: if its bytes are not those that its oid names.
        :raises ObjectUnreadable: if they cannot be had.
        :raises ServiceUnavailable: if the store fails.
        """
        outcome, problem = await self._copier.copy(key)
        if outcome is Outcome.GONE:
            return False
        if outcome is not Outcome.COPIED:
            raise _error(outcome, problem)
        await self._store.drop_copy(key)
        await self._share(key)
        return True

    async def _share(self, key: ObjectKey) -> None:
        """Let an object share the bytes of an equal one that was stored anew before."""
        first = self._stored.setdefault(key.oid, key)
        if len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)
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
