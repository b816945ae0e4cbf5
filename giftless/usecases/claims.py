"""Claims on objects: who may delete one, where, and for how long.

An object is in two places while it is moved, and nobody deletes one of the two unless a
claim (the state ``LEAVING`` in the catalogue) is its own.  Claims are made by one
transaction each, so of several processes one gets it.  Copying needs no claim: it takes
nothing away.

- Whoever has a claim looks whether the copy is there, and only then begins to delete,
  within :data:`HOLD` seconds.
- A claim that is older than :data:`LEASE` is dead: its process was killed, or hangs.
  Whoever meets it ends it as the store has it: an object that is stored is ``STORED``,
  one that is only in the trash is ``TRASHED``.
- Who finds, afterwards, that its claim was ended by somebody else, and that the object is
  to be stored, copies it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from giftless.base.concurrency import each
from giftless.errors import LFSError, ObjectDamaged, StorageUnavailable
from giftless.interfaces import (
    Entry,
    ICatalogue,
    IDeleting,
    ObjectTrashed,
    State,
    WallClock,
)
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.usecases.events import Events

_log = Logger()

#: For how long whoever has a claim may begin to delete, in seconds.
HOLD: Final = 10.0

#: How old a claim is when it is dead, in seconds: the time that deleting may take more.
LEASE: Final = 15.0

#: How often it is looked whether a claim has ended, in seconds.
POLL: Final = 0.25

#: The most objects that are claimed at once: so few that they are deleted before ``HOLD``.
CLAIMED: Final = 100

#: When a client may ask again for what is being moved all the while, in seconds.
_RETRY_AFTER: Final = 5


class Claims:
    """Ends claims: by waiting for whoever has them, or as the store says.

    :param store: where the objects are.
    :param catalogue: where the claims are.
    :param events: where it is published what is in the trash in the end.
    :param clock: waits.
    :param wall_clock: tells how old claims are.
    """

    def __init__(
        self,
        store: IDeleting,
        catalogue: ICatalogue,
        events: Events,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._events = events
        self._clock = clock
        self._wall_clock = wall_clock

    async def settled(self, keys: Sequence[ObjectKey]) -> Sequence[Entry | None]:
        """Return what is known of objects when nobody moves any of them.

        :returns: an entry for each, or ``None``, in order.
        :raises ServiceUnavailable: if that does not happen, or cannot be told.
        """
        began = self._clock.seconds()
        while True:
            entries = await self._catalogue.look(keys)
            leaving = _leaving(entries)
            if not leaving:
                return entries
            waited = self._clock.seconds() - began
            if waited >= 2 * LEASE:
                raise StorageUnavailable("the object is being moved; try again", _RETRY_AFTER)
            # Where clocks differ, a claim may seem to be made in the future.
            dead = leaving if waited >= LEASE else list(filter(self.is_dead, leaving))
            if dead:
                await self.end(dead)
            else:
                await deferLater(self._clock, POLL)

    def is_dead(self, entry: Entry) -> bool:
        """Whether the claim of an entry, which has one, is dead."""
        return self._wall_clock() - entry.moved_at >= LEASE

    async def end(self, entries: Sequence[Entry]) -> None:
        """End claims as the store says.

        :param entries: those whose claims are dead, or the caller's own.
        :raises ServiceUnavailable: if the store does not say it of some; the others are
            ended.
        """
        keys = [entry.key for entry in entries]
        sizes = await self._store.sizes(keys)
        copies = await self._store.sizes(list(map(in_trash, keys)))
        stored, trashed, gone = [], [], []
        problem: int | LFSError | None = None
        for entry, size, copy in zip(entries, sizes, copies, strict=True):
            if _is_there(size):
                stored.append(entry.key)
            elif isinstance(size, LFSError):
                problem = size
            elif copy is None:
                gone.append(entry.key)
            elif _is_there(copy):
                trashed.append(entry)
            else:
                problem = copy
        await self.settle(stored, State.LEAVING, State.STORED)
        moved = await self.settle([entry.key for entry in trashed], State.LEAVING, State.TRASHED)
        for entry in trashed:
            if entry.key in moved:
                self._events.publish(
                    ObjectTrashed(entry.key, entry.size, entry.moved_by, entry.reason)
                )
        if gone:
            await self._catalogue.forget(gone, frozenset({State.LEAVING}))
        if isinstance(problem, LFSError):
            raise problem

    async def settle(
        self, keys: Sequence[ObjectKey], found: State, state: State
    ) -> frozenset[ObjectKey]:
        """Change states as of now; see :meth:`giftless.interfaces.ICatalogue.settle`."""
        if not keys:
            return frozenset()
        return frozenset(await self._catalogue.settle(keys, found, state, self._wall_clock()))

    async def delete(
        self, places: Mapping[ObjectKey, ObjectKey], began: float
    ) -> tuple[list[ObjectKey], list[ObjectKey]]:
        """Delete objects that the caller has claimed.

        :param places: where, by the keys that are claimed.
        :param began: when the caller asked for the claims.
        :returns: the keys of those that are deleted, and of those for which it was too
            late.  The others may be deleted or not, and their claims have been ended or
            will be.
        """

        async def delete(place: ObjectKey) -> bool:
            if self._clock.seconds() - began > HOLD:
                return False
            await self._store.delete(place)
            return True

        outcomes = dict(zip(places, await each(delete, places.values()), strict=True))
        unknown = [key for key, outcome in outcomes.items() if isinstance(outcome, LFSError)]
        if unknown:
            await self._end_own(unknown, outcomes[unknown[0]])
        return (
            [key for key, outcome in outcomes.items() if outcome is True],
            [key for key, outcome in outcomes.items() if outcome is False],
        )

    async def _end_own(self, keys: Sequence[ObjectKey], problem: object) -> None:
        _log.error(
            "{count} objects could not be deleted: {problem}", count=len(keys), problem=problem
        )
        try:
            entries = await self._catalogue.look(keys)
            await self.end(_leaving(entries))
        except LFSError as error:
            _log.error("whether they are deleted will be found out later: {error}", error=error)


def _leaving(entries: Sequence[Entry | None]) -> list[Entry]:
    return [entry for entry in entries if entry is not None and entry.state is State.LEAVING]


def _is_there(size: int | LFSError | None) -> bool:
    """Whether an object is certainly there, whatever it is like."""
    return isinstance(size, int | ObjectDamaged)
