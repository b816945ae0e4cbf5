"""Delete what is in the trash, and what processes have left that were killed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from giftless.errors import ConfigError, LFSError
from giftless.interfaces import (
    Entry,
    EntryQuery,
    ICatalogue,
    ICopying,
    IDeleting,
    IListing,
    IObjectStore,
    ListedObject,
    ObjectDeleted,
    State,
    WallClock,
)
from giftless.lfs.objects import ObjectKey, Repo, in_trash, owner_of
from giftless.usecases.claims import CLAIMED, Claims
from giftless.usecases.events import Events
from giftless.usecases.locks import By

#: For how long a copy is left in the trash after its object was brought back, in seconds.
#: Whoever was moving that object then, and hangs, needs the copy when it goes on.
SWEPT_AFTER: Final = 86_400.0

#: How many objects are listed at once.
PAGE: Final = 1000

#: Why objects are deleted for good, in the words of an event.
_EMPTIED: Final = "it was in the trash, which was emptied"

_ABILITIES: Final = {IListing: "list", ICopying: "copy", IDeleting: "delete"}


class Emptying:
    """Deletes what is in the trash.

    :param store: where the objects are.
    :param catalogue: what is known of them.
    :param events: where it is published what has happened.
    :param clock: measures and waits.
    :param wall_clock: tells the time of day.
    :raises ConfigError: if the store cannot list, copy and delete.
    """

    def __init__(
        self,
        store: IObjectStore,
        catalogue: ICatalogue,
        events: Events,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        lacks = [does for kind, does in _ABILITIES.items() if not kind.providedBy(store)]
        if lacks:
            raise ConfigError(
                "storage", f"it cannot {' or '.join(lacks)} objects: so it has no trash"
            )
        everything: Any = store
        self.listing: IListing = everything
        self.copying: ICopying = everything
        self.deleting: IDeleting = everything
        self.catalogue = catalogue
        self.events = events
        self.clock = clock
        self.wall_clock = wall_clock
        self.claims = Claims(everything, catalogue, events, clock, wall_clock)

    async def purge(self, keys: Sequence[ObjectKey], by: By) -> int:
        """Delete objects that are in the trash, for good.

        :returns: how many there were.
        :raises ServiceUnavailable: if the catalogue fails.
        """
        count = 0
        for some in divided(keys, CLAIMED):
            began = self.clock.seconds()
            claimed = await self.claims.settle(some, State.TRASHED, State.LEAVING)
            places = {key: in_trash(key) for key in some if key in claimed}
            deleted, late = await self.claims.delete(places, began)
            await self.claims.settle(late, State.LEAVING, State.TRASHED)
            if not deleted:
                continue
            # Somebody may have brought it back just before.
            sizes = await self.copying.sizes(deleted)
            stored = [key for key, size in zip(deleted, sizes, strict=True) if size is not None]
            await self.claims.settle(stored, State.LEAVING, State.STORED)
            gone = [key for key, size in zip(deleted, sizes, strict=True) if size is None]
            await self.catalogue.forget(gone, frozenset({State.LEAVING, State.TRASHED}))
            for key in gone:
                self.events.publish(
                    ObjectDeleted(key, by.name, _EMPTIED, by.principal, by.address, by.request_id)
                )
            count += len(gone)
        return count

    async def purge_older(self, than: float, by: By, repo: Repo | None = None) -> int:
        """Delete what was moved into the trash before a time, for good.

        :param than: that time, in seconds since the epoch.
        :param repo: only what was deleted from exactly this repository; ``None`` for all.
        :returns: how many objects there were.
        :raises ServiceUnavailable: if the catalogue fails.
        """
        count = 0
        query = EntryQuery(repo=repo, states=frozenset({State.TRASHED}), order="moved", limit=PAGE)
        while True:
            page = await self.catalogue.page(query)
            old = [entry.key for entry in page.entries if entry.moved_at < than]
            count += await self.purge(old, by)
            if page.next_cursor is None:
                return count
            query = msgspec.structs.replace(query, cursor=page.next_cursor)

    async def rescue(self) -> int:
        """End the claims of processes that were killed; returns how many there were."""
        count = 0
        query = EntryQuery(states=frozenset({State.LEAVING}), order="moved", limit=PAGE)
        while True:
            page = await self.catalogue.page(query)
            dead = list(filter(self.claims.is_dead, page.entries))
            if dead:
                await self.claims.end(dead)
                count += len(dead)
            if page.next_cursor is None:
                return count
            query = msgspec.structs.replace(query, cursor=page.next_cursor)

    async def sweep(self, by: By) -> int:
        """Delete copies in the trash that objects have which are stored.

        Bringing an object back leaves its copy, and so does whoever is killed between
        copying and deleting.  What is in the trash and in no catalogue is entered there.

        :returns: how many copies there were.
        :raises ServiceUnavailable: if the catalogue fails, or the store lists nothing.
        """
        count, cursor = 0, None
        while True:
            page = await self.listing.list(None, cursor, PAGE, True)
            listed = {
                ObjectKey(owner, item.key.oid): item
                for item in page.objects
                if (owner := owner_of(item.key.repo)) is not None
            }
            for some in divided(await self._swept(listed), CLAIMED):
                count += await self._sweep(some, by)
            cursor = page.next_cursor
            if cursor is None:
                return count

    async def _swept(self, listed: Mapping[ObjectKey, ListedObject]) -> Sequence[ObjectKey]:
        """Choose whose copies are not needed, and enter what nobody knows."""
        keys = list(listed)
        entries = await self.catalogue.look(keys)
        unknown = [key for key, entry in zip(keys, entries, strict=True) if entry is None]
        if unknown:
            now = self.wall_clock()
            sizes = await self.copying.sizes(unknown)
            await self.catalogue.merge(
                [
                    _found(listed[key], key, now)
                    for key, size in zip(unknown, sizes, strict=True)
                    if size is None
                ]
            )
        before = self.wall_clock() - SWEPT_AFTER
        return [
            entry.key
            for entry in entries
            if entry is not None and entry.state is State.STORED and entry.offered_at < before
        ]

    async def _sweep(self, keys: Sequence[ObjectKey], by: By) -> int:
        began, at = self.clock.seconds(), self.wall_clock()
        claimed = await self.catalogue.claim(keys, at - SWEPT_AFTER, at, "", by.name)
        if not claimed:
            return 0
        try:
            # Only now nobody else deletes the objects.
            sizes = await self.copying.sizes(claimed)
        except LFSError:
            await self.claims.settle(claimed, State.LEAVING, State.STORED)
            raise
        safe = [key for key, size in zip(claimed, sizes, strict=True) if isinstance(size, int)]
        deleted, _ = await self.claims.delete({key: in_trash(key) for key in safe}, began)
        await self.claims.settle(claimed, State.LEAVING, State.STORED)
        return len(deleted)


def _found(item: ListedObject, key: ObjectKey, now: float) -> Entry:
    """Make the entry of what nobody knew to be in the trash: it is kept from now on."""
    return Entry(key, item.size, item.modified, item.modified, state=State.TRASHED, moved_at=now)


def divided(keys: Iterable[ObjectKey], size: int) -> Iterator[list[ObjectKey]]:
    """Divide keys into lists of at most ``size``."""
    rest = iter(keys)
    while some := list(islice(rest, size)):
        yield some
