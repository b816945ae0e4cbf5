"""Ask how much room the store has left, and divide that among the objects of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from giftless.errors import LFSError
from giftless.interfaces import ICapacity, IFusedCapacity, IObjectStore, Room
from giftless.lfs.objects import ObjectKey, Repo

_BOUNDLESS: Final = Room(math.inf)


class RoomLeft:
    """The room that is left while the objects of one batch take theirs.

    :param room: what there was before the batch.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0

    def take(self, size: int) -> str | None:
        """Set room apart for an object.

        :param size: its size in bytes.
        :returns: ``None`` if there is room; otherwise what the client is told, and nothing
            is taken.
        """
        total = self._taken + size
        if total > self._room.bytes:
            return self._room.problem
        self._taken = total
        return None


class StoreRoom:
    """Asks a store for its room, if it knows that.

    :param store: where objects are.
    """

    def __init__(self, store: IObjectStore) -> None:
        self._store = store
        self._fused: IFusedCapacity | None = None
        self._capacity: ICapacity | None = None
        if IFusedCapacity.providedBy(store):
            self._fused = store
        elif ICapacity.providedBy(store):
            self._capacity = store

    async def sizes_and_room(
        self, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[int | LFSError | None], RoomLeft]:
        """Ask for the sizes of objects, and for the room of their repository.

        :returns: what :meth:`giftless.interfaces.IObjectStore.sizes` returns,
            and the room.
        :raises ServiceUnavailable: if the store cannot tell now.
        """
        if self._fused is not None:
            sizes, room = await self._fused.sizes_and_room(keys, repo)
            return sizes, RoomLeft(room)
        sizes = await self._store.sizes(keys)
        room = _BOUNDLESS if self._capacity is None else await self._capacity.room(repo)
        return sizes, RoomLeft(room)
