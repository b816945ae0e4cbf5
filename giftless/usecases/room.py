"""Ask how much a repository may still take, and divide that among the objects of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from giftless.errors import LFSError
from giftless.interfaces import ICapacity, IFusedCapacity, IObjectStore, Room
from giftless.lfs.objects import ObjectKey, Repo


class RoomLeft:
    """What is left while the objects of one batch are given their room.

    :param rooms: what there was before the batch.
    """

    def __init__(self, rooms: Iterable[Room]) -> None:
        self._rooms = list(rooms)
        self._taken = 0

    def take(self, size: int) -> str | None:
        """Set room apart for an object.

        :param size: its size in bytes.
        :returns: ``None`` if there is room everywhere; otherwise what the client
            is told, in the words of the first that has none, and nothing is
            taken.
        """
        total = self._taken + size
        for room in self._rooms:
            if total > room.bytes:
                return room.problem
        self._taken = total
        return None


class Capacities:
    """All that bound what a repository may take.

    :param store: where objects are; it is asked first if it knows its room.
    :param others: who bounds it beside the store, such as a quota.
    """

    def __init__(self, store: IObjectStore, others: Sequence[ICapacity]) -> None:
        self._store = store
        self._fused: IFusedCapacity | None = None
        self._others = list(others)
        if IFusedCapacity.providedBy(store):
            self._fused = store
        elif ICapacity.providedBy(store):
            self._others.insert(0, store)

    async def sizes_and_room(
        self, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[int | LFSError | None], RoomLeft]:
        """Ask for the sizes of objects, and for the room of their repository.

        :returns: what :meth:`giftless.interfaces.IObjectStore.sizes` returns,
            and the room.
        :raises ServiceUnavailable: if one of them cannot tell now.
        """
        rooms: list[Room] = []
        if self._fused is not None:
            sizes, room = await self._fused.sizes_and_room(keys, repo)
            rooms.append(room)
        else:
            sizes = await self._store.sizes(keys)
        for capacity in self._others:
            rooms.append(await capacity.room(repo))
        return sizes, RoomLeft(rooms)
