"""Make a catalogue anew of what the store has, while both are in use.

What is not known is learned, what differs is corrected, and what the store has not is
forgotten; nothing in the store changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from typing import Final

import msgspec

from giftless.errors import ConfigError
from giftless.interfaces import (
    MAX_PAGE,
    Entry,
    EntryQuery,
    IBlocking,
    ICatalogue,
    IListing,
    IObjectStore,
    ListedObject,
    State,
    WallClock,
)
from giftless.lfs.objects import ObjectKey, in_trash, owner_of
from giftless.usecases.seen import Seen

#: How many objects are looked up at once.
_TOGETHER: Final = 1000

_STORED: Final = frozenset({State.STORED})
_TRASHED: Final = frozenset({State.TRASHED})


class Drift(msgspec.Struct):
    """How a catalogue differed from its store.

    :ivar listed: how many objects the store has.
    :ivar trashed: how many it has in the trash.
    :ivar missing: how many of all these the catalogue did not know.
    :ivar wrong_size: of how many it had another size.
    :ivar wrong_place: how many it had in the trash that were stored, or the other way.
    :ivar surplus: how many it knew that the store has not.
    """

    listed: int = 0
    trashed: int = 0
    missing: int = 0
    wrong_size: int = 0
    wrong_place: int = 0
    surplus: int = 0


class Rebuilding:
    """Compares a catalogue with its store, and corrects it.

    :param wall_clock: tells when what nobody has dated counts as offered, and as moved.
    :param blocking: keeps what was listed in a temporary file.
    :param corrects: whether the catalogue is corrected, or only compared.
    :param done: told how many more objects have been looked at.
    :raises ConfigError: if the store cannot list its objects.
    """

    def __init__(
        self,
        store: IObjectStore,
        catalogue: ICatalogue,
        wall_clock: WallClock,
        blocking: IBlocking,
        corrects: bool = True,
        done: Callable[[int], None] = lambda count: None,
    ) -> None:
        if not IListing.providedBy(store):
            raise ConfigError("storage", "cannot list its objects, so nothing can be compared")
        self._store: IListing = store
        self._catalogue = catalogue
        self._wall_clock = wall_clock
        self._blocking = blocking
        self._corrects = corrects
        self._done = done
        self._drift = Drift()

    async def run(self) -> Drift:
        """Compare the catalogue with the store, and correct it if that is wanted.

        Memory does not grow with the number of objects.

        :raises ServiceUnavailable: if the store or the catalogue fails; what has been
            learned so far stays, and nothing was forgotten of what was not looked up.
        """
        with closing(Seen()) as seen:
            for trash in (False, True):
                cursor = None
                while True:
                    page = await self._store.list(None, cursor, MAX_PAGE, trash)
                    for objects in _parts(page.objects):
                        await (self._learn_trashed if trash else self._learn)(objects)
                        await self._blocking.run(seen.add, [each.key for each in objects])
                        self._done(len(objects))
                    cursor = page.next_cursor
                    if cursor is None:
                        break
            await self._forget(seen, _STORED)
            await self._forget(seen, _TRASHED)
        return self._drift

    async def _learn(self, objects: Sequence[ListedObject]) -> None:
        """Compare what the store has with what is known of that."""
        self._drift.listed += len(objects)
        now = self._wall_clock()
        entries = await self._catalogue.look([each.key for each in objects])
        moved = [
            each.key
            for each, entry in zip(objects, entries, strict=True)
            if entry is not None and entry.state is State.TRASHED
        ]
        present = await self._present(moved)
        changed = []
        for each, entry in zip(objects, entries, strict=True):
            if entry is None:
                self._drift.missing += 1
                # Nobody knows when it was offered: so it is as if it were now.
                changed.append(Entry(each.key, each.size, each.modified, now))
            elif entry.state is State.TRASHED and each.key in present:
                self._drift.wrong_place += 1
                changed.append(Entry(each.key, each.size, entry.stored_at, entry.offered_at))
            elif entry.state is State.STORED and entry.size != each.size:
                self._drift.wrong_size += 1
                changed.append(Entry(each.key, each.size, entry.stored_at, entry.offered_at))
        await self._merge(changed)

    async def _learn_trashed(self, objects: Sequence[ListedObject]) -> None:
        """Compare what is in the trash with what is known of that."""
        now = self._wall_clock()
        owned = {}
        for each in objects:
            repo = owner_of(each.key.repo)
            if repo is not None:
                owned[ObjectKey(repo, each.key.oid)] = each
        self._drift.trashed += len(owned)
        keys = list(owned)
        entries = dict(zip(keys, await self._catalogue.look(keys), strict=True))
        # A copy of what is stored does not make it trashed.
        odd = [
            key for key in keys if (entry := entries[key]) is None or entry.state is State.STORED
        ]
        present = await self._present(odd)
        changed = []
        for key in odd:
            if key not in present:
                each, entry = owned[key], entries[key]
                self._drift.missing += entry is None
                self._drift.wrong_place += entry is not None
                stored_at = each.modified if entry is None else entry.stored_at
                changed.append(
                    Entry(key, each.size, stored_at, stored_at, state=State.TRASHED, moved_at=now)
                )
        await self._merge(changed)

    async def _forget(self, seen: Seen, states: frozenset[State]) -> None:
        """Forget what is known, and is not there."""
        trashed = states == _TRASHED
        cursor = None
        while True:
            query = EntryQuery(states=states, cursor=cursor, limit=_TOGETHER)
            page = await self._catalogue.page(query)
            places = {in_trash(each.key) if trashed else each.key: each for each in page.entries}
            absent = await self._blocking.run(seen.absent, list(places))
            # What came behind the list is there, and what cannot be looked at may be.
            gone = await self._absent(absent)
            self._drift.surplus += len(gone)
            if gone and self._corrects:
                await self._catalogue.forget([places[key].key for key in gone], states)
                # Somebody may have stored one just then.
                back = await self._present(gone)
                await self._merge([places[key] for key in gone if key in back])
            self._done(0)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _merge(self, entries: Sequence[Entry]) -> None:
        if entries and self._corrects:
            await self._catalogue.merge(entries)

    async def _present(self, keys: Sequence[ObjectKey]) -> frozenset[ObjectKey]:
        """Return those of some objects that are certainly there."""
        sizes = await self._store.sizes(keys) if keys else ()
        return frozenset(
            key for key, size in zip(keys, sizes, strict=True) if isinstance(size, int)
        )

    async def _absent(self, keys: Sequence[ObjectKey]) -> Sequence[ObjectKey]:
        """Return those of some objects that are certainly not there."""
        sizes = await self._store.sizes(keys) if keys else ()
        return [key for key, size in zip(keys, sizes, strict=True) if size is None]


def _parts(objects: Sequence[ListedObject]) -> list[list[ListedObject]]:
    rest = iter(objects)
    parts = []
    while part := list(islice(rest, _TOGETHER)):
        parts.append(part)
    return parts
