"""Remove what was deleted just while it was copied, without losing what came back.

What such a copy would be taken for, a client may upload at that moment.  So nothing is
deleted here but by the rules of :mod:`giftless.usecases.claims`: an object goes into the
trash, where whoever asks for it finds it, and what is in the trash is deleted only if the
catalogue has forgotten it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.interfaces import Entry, State
from giftless.lfs.objects import ObjectKey, owner_of
from giftless.usecases.locks import By
from giftless.usecases.trash import Trash

#: How long it takes until the catalogue knows what clients have uploaded, in seconds.
RECORDED_AFTER: Final = 5.0

#: Why such an object is in the trash, if the catalogue does not say.
_REASON: Final = "it was deleted while it was moved to another storage"


class Resurfaced:
    """Removes copies of what is deleted.

    :param trash: over both stores, as clients see them.
    :param by: who does it, if nobody knows who has deleted an object.
    :param clock: waits.
    """

    def __init__(self, trash: Trash, by: By, clock: IReactorTime) -> None:
        self._trash = trash
        self._by = by
        self._clock = clock

    async def remove(self, keys: Sequence[ObjectKey]) -> None:
        """Remove what is there and should not be.

        :param keys: of objects whose sources are gone, up to 1000.
        :raises ServiceUnavailable: if the catalogue or a store fails.
        """
        if not keys:
            return
        await deferLater(self._clock, RECORDED_AFTER)
        owners = {key: owner_of(key.repo) for key in keys}
        await self._discard([key for key, owner in owners.items() if owner is None])
        await self._purge(
            [ObjectKey(owner, key.oid) for key, owner in owners.items() if owner is not None]
        )

    async def _discard(self, keys: Sequence[ObjectKey]) -> None:
        """Move objects into the trash, unless somebody has stored them again."""
        entries = await self._trash.claims.settled(keys)
        for key, entry in zip(keys, entries, strict=True):
            if entry is None:
                await self._trash.discard([key], _REASON, self._by)
            elif entry.state is State.TRASHED:
                await self._trash.discard([key], entry.reason, By(entry.moved_by))

    async def _purge(self, keys: Sequence[ObjectKey]) -> None:
        """Delete from the trash what was deleted from there, by the catalogue's word."""
        entries = await self._trash.claims.settled(keys)
        forgotten = [key for key, entry in zip(keys, entries, strict=True) if entry is None]
        now = self._trash.wall_clock()
        await self._trash.catalogue.merge(
            [Entry(key, 0, now, now, state=State.TRASHED, moved_at=now) for key in forgotten]
        )
        await self._trash.purge(forgotten, self._by)
