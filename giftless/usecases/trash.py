"""The trash: deleting is moving, and can be undone until the trash is emptied.

An object in the trash of ``acme/rocket`` is an object of another repository in the same
store, which no request can name (:func:`giftless.lfs.objects.trash_of`).  So moving is
copying and deleting, and every store that can do both has a trash.  Why no interruption
and no order of events loses an object is told in :mod:`giftless.usecases.claims`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from twisted.internet.interfaces import IReactorTime

from giftless.base.concurrency import each
from giftless.errors import LFSError
from giftless.errors import ObjectTrashed as IsTrashed
from giftless.interfaces import (
    Entry,
    ICatalogue,
    IObjectStore,
    ObjectRestored,
    ObjectTrashed,
    State,
    WallClock,
)
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.usecases.claims import CLAIMED
from giftless.usecases.emptying import Emptying, divided
from giftless.usecases.events import Events
from giftless.usecases.locks import By


@dataclass(frozen=True, slots=True)
class Discarded:
    """What has become of objects that were to be moved into the trash.

    :ivar moved: these are in the trash.
    :ivar spared: these are wanted: a client that pushes was told that they are stored, or
        somebody else moves them.
    :ivar absent: these are not stored.
    :ivar failed: these are left where they are, because they are damaged or the store
        has failed.
    """

    moved: Sequence[ObjectKey] = ()
    spared: Sequence[ObjectKey] = ()
    absent: Sequence[ObjectKey] = ()
    failed: Mapping[ObjectKey, LFSError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restored:
    """What has become of objects that were to be brought back.

    :ivar restored: these are stored.
    :ivar missing: these are neither stored nor in the trash.
    """

    restored: Sequence[ObjectKey]
    missing: Sequence[ObjectKey]


class Trash(Emptying):
    """Moves objects into the trash and back, and deletes what is in it.

    :param store: where the objects are.
    :param catalogue: what is known of them.
    :param events: where it is published what has happened.
    :param clock: measures and waits.
    :param wall_clock: tells the time of day.
    :param keep: for how long what is in the trash can be brought back, in seconds.
    :raises ConfigError: if the store cannot list, copy and delete.
    :ivar keep: as given.
    """

    def __init__(
        self,
        store: IObjectStore,
        catalogue: ICatalogue,
        events: Events,
        clock: IReactorTime,
        wall_clock: WallClock,
        keep: float,
    ) -> None:
        super().__init__(store, catalogue, events, clock, wall_clock)
        self.keep = keep

    # -- into the trash

    async def discard(
        self,
        keys: Sequence[ObjectKey],
        reason: str,
        by: By,
        not_offered_since: float | None = None,
    ) -> Discarded:
        """Move objects into the trash.

        :param keys: up to 1000.
        :param reason: why, in words for whoever asks for one of them.
        :param not_offered_since: leave alone what was stored, or offered to a client that
            pushes, at this time (seconds since the epoch) or later; ``None`` to take
            everything.
        :raises ServiceUnavailable: if the catalogue fails, or the store tells nothing.
            What was moved before stays moved.
        """
        sizes, absent, failed = await self._find(keys)
        copied = await each(self._put_in, sizes)
        ready = []
        for key, outcome in zip(sizes, copied, strict=True):
            if isinstance(outcome, LFSError):
                failed[key] = outcome
            elif outcome:
                ready.append(key)
            else:
                absent.append(key)
        moved: list[ObjectKey] = []
        for some in divided(ready, CLAIMED):
            chosen = {key: sizes[key] for key in some}
            moved += await self._move(chosen, reason, by, not_offered_since)
        done = frozenset((*moved, *failed))
        return Discarded(moved, [key for key in ready if key not in done], absent, failed)

    async def _find(
        self, keys: Sequence[ObjectKey]
    ) -> tuple[dict[ObjectKey, int], list[ObjectKey], dict[ObjectKey, LFSError]]:
        """Find out which objects are stored, and let the catalogue know those.

        :returns: their sizes; which are absent; and those of which nothing good is told.
        """
        # In this order: what is in the trash by the catalogue's word, and then stored by
        # the store's, has come back.
        entries = await self.catalogue.look(keys)
        found: dict[ObjectKey, int] = {}
        absent: list[ObjectKey] = []
        failed: dict[ObjectKey, LFSError] = {}
        unknown: list[Entry] = []
        now = self.wall_clock()
        for key, entry, size in zip(keys, entries, await self.copying.sizes(keys), strict=True):
            if size is None:
                absent.append(key)
            elif isinstance(size, LFSError):
                failed[key] = size
            else:
                found[key] = size
                if entry is None or entry.state is State.TRASHED:
                    unknown.append(Entry(key, size, now, now))
        if unknown:
            await self.catalogue.merge(unknown)
        return found, absent, failed

    async def _move(
        self, sizes: Mapping[ObjectKey, int], reason: str, by: By, not_offered_since: float | None
    ) -> Sequence[ObjectKey]:
        """Delete objects that have a copy in the trash; returns which have been moved."""
        began, at = self.clock.seconds(), self.wall_clock()
        keys = list(sizes)
        claimed = await self.catalogue.claim(keys, not_offered_since, at, reason, by.name)
        if not claimed:
            return ()
        try:
            # Only now nobody else deletes the copies.
            copies = await self.copying.sizes(list(map(in_trash, claimed)))
        except LFSError:
            await self.claims.settle(claimed, State.LEAVING, State.STORED)
            raise
        safe = {key: key for key, copy in zip(claimed, copies, strict=True) if copy == sizes[key]}
        deleted, late = await self.claims.delete(safe, began)
        moved = await self.claims.settle(deleted, State.LEAVING, State.TRASHED)
        kept = [*late, *(key for key in claimed if key not in safe)]
        await self.claims.settle(kept, State.LEAVING, State.STORED)
        lost = [key for key in deleted if key not in moved]
        if lost:
            moved |= await self._give_back(lost)
        for key in moved:
            self.events.publish(
                ObjectTrashed(
                    key, sizes[key], by.name, reason, by.principal, by.address, by.request_id
                )
            )
        return [key for key in deleted if key in moved]

    async def _give_back(self, keys: Sequence[ObjectKey]) -> frozenset[ObjectKey]:
        """Undo deletions whose claims somebody has ended meanwhile; tells which stand."""
        entries = await self.catalogue.look(keys)
        stands = {
            key
            for key, entry in zip(keys, entries, strict=True)
            if entry is not None and entry.state is State.TRASHED
        }
        for key in keys:
            if key not in stands:
                await self._take_out(key)
        return frozenset(stands)

    # -- out of the trash

    async def restore(self, keys: Sequence[ObjectKey], by: By) -> Restored:
        """Bring objects back.

        :param keys: up to 1000.
        :raises ServiceUnavailable: if the catalogue fails, or the store fails for some of
            them.  What was brought back before stays so.
        """
        entries = await self.claims.settled(keys)
        back = await self._bring_back(dict(zip(keys, entries, strict=True)), by)
        for outcome in back.values():
            if isinstance(outcome, LFSError):
                raise outcome
        return Restored(
            [key for key in keys if key in back], [key for key in keys if key not in back]
        )

    async def recall(
        self, keys: Sequence[ObjectKey], may_write: bool, by: By
    ) -> Mapping[ObjectKey, int | LFSError]:
        """Bring back what a client asks for and the store does not have.

        Whoever may write gets everything.  Others get what was never moved as a whole: by
        the catalogue's word, it is not in the trash.

        :param keys: of objects that are absent.
        :param may_write: whether the client may write to their repository.
        :returns: the sizes of those that are back, and why others are not; objects that
            are just absent are left out.
        :raises ServiceUnavailable: if nothing can be told now.
        """
        answers: dict[ObjectKey, int | LFSError] = {}
        back: dict[ObjectKey, Entry | None] = {}
        for key, entry in zip(keys, await self.claims.settled(keys), strict=True):
            if entry is None:
                continue
            if entry.state is State.TRASHED and not may_write:
                answers[key] = IsTrashed.because(entry.reason)
            else:
                back[key] = entry
        if back:
            answers.update(await self._bring_back(back, by))
        return answers

    async def confirm(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """Find out what is stored, of what the catalogue has as leaving or in the trash.

        :returns: as :meth:`giftless.interfaces.IObjectStore.sizes` does, once nobody moves
            any of them.
        :raises ServiceUnavailable: if that cannot be told now.
        """
        entries = await self.claims.settled(keys)
        # In this order, as above: the catalogue is wrong about these.
        sizes = await self.copying.sizes(keys)
        await self.claims.settle(
            [
                key
                for key, entry, size in zip(keys, entries, sizes, strict=True)
                if size is not None and entry is not None and entry.state is State.TRASHED
            ],
            State.TRASHED,
            State.STORED,
        )
        return sizes

    async def _bring_back(
        self, entries: Mapping[ObjectKey, Entry | None], by: By
    ) -> Mapping[ObjectKey, int | LFSError]:
        """Copy objects out of the trash, where the copies stay until they are swept.

        Deleting them needs a claim, and whoever asks for such an object then would wait.

        :returns: the size of each that is stored then, or what has failed.
        """
        keys = list(entries)
        copied = await each(self._take_out, keys)
        # What has no copy any more may have been brought back by somebody else.
        sizes = await self.copying.sizes(keys)
        back: dict[ObjectKey, int | LFSError] = {}
        for key, outcome, size in zip(keys, copied, sizes, strict=True):
            if size is not None:
                back[key] = size
            elif isinstance(outcome, LFSError):
                back[key] = outcome
        stored = {key: size for key, size in back.items() if isinstance(size, int)}
        restored = await self.claims.settle(list(stored), State.TRASHED, State.STORED)
        now = self.wall_clock()
        told = [
            _as_stored(entries[key], key, size, now)
            for key, size in stored.items()
            if key not in restored
        ]
        if told:
            await self.catalogue.merge(told)
        for key in restored:
            self.events.publish(
                ObjectRestored(key, stored[key], by.name, by.principal, by.address, by.request_id)
            )
        return back

    async def _put_in(self, key: ObjectKey) -> bool:
        return await self.copying.copy(key, in_trash(key))

    async def _take_out(self, key: ObjectKey) -> bool:
        return await self.copying.copy(in_trash(key), key)


def _as_stored(entry: Entry | None, key: ObjectKey, size: int, now: float) -> Entry:
    if entry is None:
        return Entry(key, size, now, now)
    return msgspec.structs.replace(
        entry, size=size, offered_at=now, state=State.STORED, moved_at=0.0, reason="", moved_by=""
    )
