"""Restore and delete what is in the trash when the parent asks for it, in a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from giftless.errors import NotFound
from giftless.interfaces import EntryQuery, ICatalogue, State
from giftless.lfs.objects import ObjectKey
from giftless.runtime.space_answers import answer_of, key_at, repo_at
from giftless.runtime.space_questions import TrashFacts, TrashOrder
from giftless.usecases.locks import By
from giftless.usecases.trash import Trash

#: How many objects are moved or deleted at once, and for how many seconds others follow
#: before it is told how many there were.
CHUNK: Final = 100
SECONDS: Final = 4.0

_TRASHED: Final = frozenset({State.TRASHED})

#: Restores or deletes some objects; returns how many, and how many were not there.
_Move = Callable[[Sequence[ObjectKey]], Awaitable[tuple[int, int]]]


class TrashAnswers:
    """Restores and deletes what is in the trash.

    :param catalogue: knows what is there; ``None`` if there is none.
    :param trash: restores and deletes; ``None`` if there is none.
    :param clock: tells how long it takes.
    """

    def __init__(
        self, catalogue: ICatalogue | None, trash: Trash | None, clock: IReactorTime
    ) -> None:
        self._catalogue = catalogue
        self._trash = trash
        self._clock = clock

    async def restore(self, question: bytes) -> bytes:
        """Move objects back from the trash; see :class:`TrashOrder`."""
        order = msgspec.json.decode(question, type=TrashOrder)

        async def restore(keys: Sequence[ObjectKey]) -> tuple[int, int]:
            moved = await self._bin.restore(keys, _by(order))
            return len(moved.restored), len(moved.missing)

        return await answer_of(lambda: self._change(order, restore), TrashFacts)

    async def purge(self, question: bytes) -> bytes:
        """Delete objects in the trash for good; see :class:`TrashOrder`."""
        order = msgspec.json.decode(question, type=TrashOrder)

        async def purge(keys: Sequence[ObjectKey]) -> tuple[int, int]:
            gone = await self._bin.purge(keys, _by(order))
            return gone, len(keys) - gone

        return await answer_of(lambda: self._change(order, purge), TrashFacts)

    @property
    def _bin(self) -> Trash:
        if self._trash is None:
            raise NotFound(
                "this server has no trash: it needs a catalogue, and a store that copies"
            )
        return self._trash

    async def _change(self, order: TrashOrder, move: _Move) -> TrashFacts:
        if self._catalogue is None:
            raise NotFound("this server has no catalogue of its objects (catalogue.type)")
        if order.oid:
            return TrashFacts(*await move([key_at(order.repo, order.oid)]))
        repo = repo_at(order.repo) if order.repo else None
        done = missing = 0
        cursor: str | None = None
        until = self._clock.seconds() + SECONDS
        while True:
            page = await self._catalogue.page(
                EntryQuery(repo=repo, states=_TRASHED, cursor=cursor, limit=CHUNK)
            )
            keys = [entry.key for entry in page.entries if entry.moved_at <= order.before]
            if keys:
                moved, absent = await move(keys)
                done, missing = done + moved, missing + absent
            cursor = page.next_cursor
            if cursor is None or self._clock.seconds() >= until:
                return TrashFacts(done, missing, cursor is not None)


def _by(order: TrashOrder) -> By:
    return By(order.name, order.principal, order.address, order.request_id)
