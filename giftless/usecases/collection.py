"""Garbage collection: what no ref leads to is moved into the trash.

The order of things is what makes it safe beside clients that push:

1. Clones of all git repositories that share a repository of this server are made.  What a
   client was told to be stored after they began stays: the catalogue knows when that was,
   and :meth:`giftless.usecases.trash.Trash.discard` asks it again before each move.
2. The whole repository is listed before anything is moved, so a list that breaks off moves
   nothing.
3. Afterwards the refs are looked at again: a client that has an object in its clone does not
   always offer it, for instance when it restores a branch that was deleted.  What a ref leads
   to by then is brought back, and so is what an earlier run has moved too early.

A run that is killed has moved less, and the next one moves the rest.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from giftless.errors import ObjectDamaged
from giftless.interfaces import (
    CollectionEnded,
    Entry,
    EntryQuery,
    ICatalogue,
    IListing,
    ListedObject,
    State,
)
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.references.keepset import KeepSet
from giftless.usecases.events import Events
from giftless.usecases.listing import listed
from giftless.usecases.locks import By
from giftless.usecases.trash import Trash

#: Why objects are moved: what whoever asks for one of them is told.
REASON: Final = "no ref leads to it"

#: How many objects are looked at, and moved, at once.
_PAGE: Final = 1000

_DIGEST: Final = 32

#: Is told of progress: how many objects more.
Tell = Callable[[int], None]


@dataclass(slots=True)
class Amount:
    """Some objects, and how many bytes they have together."""

    objects: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count one object more."""
        self.objects += 1
        self.size += size


@dataclass(slots=True)
class Survey:
    """What a repository has, compared with what is needed of it.

    :ivar kept: what a ref leads to.
    :ivar recent: what no ref leads to and was offered or stored lately.
    :ivar garbage: what no ref leads to, and nobody has offered for long.
    :ivar trashed: what has been moved into the trash.
    :ivar restored: what was in the trash although a ref leads to it, and was brought back;
        in a dry run, what would be.
    :ivar removed: what is in the trash although a ref leads to it, and stays there, because
        somebody has removed it on purpose.
    :ivar damaged: how many objects stay because they are marked as damaged.
    :ivar failures: why objects could not be moved, with their number.
    """

    repo: Repo
    kept: Amount = field(default_factory=Amount)
    recent: Amount = field(default_factory=Amount)
    garbage: Amount = field(default_factory=Amount)
    trashed: Amount = field(default_factory=Amount)
    restored: Amount = field(default_factory=Amount)
    removed: Amount = field(default_factory=Amount)
    damaged: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    _digests: bytearray = field(default_factory=bytearray, repr=False)
    _sizes: array[int] = field(default_factory=lambda: array("Q"), repr=False)

    def condemn(self, item: ListedObject) -> None:
        """Note an object that is to be moved: in 40 bytes."""
        self.garbage.add(item.size)
        self._digests += bytes.fromhex(item.key.oid)
        self._sizes.append(item.size)

    def condemned(self) -> Iterator[Sequence[tuple[bytes, int]]]:
        """Yield the digests and sizes of what is to be moved, some at a time."""
        for first in range(0, len(self._sizes), _PAGE):
            yield [
                (bytes(self._digests[n * _DIGEST : (n + 1) * _DIGEST]), self._sizes[n])
                for n in range(first, min(first + _PAGE, len(self._sizes)))
            ]


class Collector:
    """Compares what is stored with what is needed, and moves what is not.

    :param store: where the objects are.
    :param catalogue: when each was offered last.
    :param trash: moves them.
    :param events: where it is published what has happened.
    :param by: who does it.
    """

    def __init__(
        self, store: IListing, catalogue: ICatalogue, trash: Trash, events: Events, by: By
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._trash = trash
        self._events = events
        self._by = by

    async def survey(
        self, repo: Repo, keep: KeepSet, since: float, really: bool, tell: Tell
    ) -> Survey:
        """List all of a repository, and find what is garbage.

        :param keep: what is needed.
        :param since: what was offered at or after this stays, in seconds since the epoch.
        :param really: whether the catalogue may learn of objects that it does not know.
        :raises LFSError: if the store or the catalogue fails: then nothing is known.
        """
        survey = Survey(repo)
        async for objects in listed(self._store, repo, _PAGE):
            unneeded = []
            for item in objects:
                if bytes.fromhex(item.key.oid) in keep:
                    survey.kept.add(item.size)
                else:
                    unneeded.append(item)
            if unneeded:
                await self._divide(survey, unneeded, since, really)
            tell(len(objects))
        return survey

    async def move(self, survey: Survey, keep: KeepSet, since: float, tell: Tell) -> None:
        """Move what is garbage into the trash.

        :param keep: what is needed, as of now.
        :raises LFSError: if the catalogue fails, or the store tells nothing; what was moved
            before is counted.
        """
        for some in survey.condemned():
            sizes = {
                ObjectKey(survey.repo, Oid(digest.hex())): size
                for digest, size in some
                if digest not in keep
            }
            for _ in range(len(some) - len(sizes)):
                tell(1)
            if sizes:
                await self._discard(survey, sizes, since)
                tell(len(sizes))

    async def bring_back(self, survey: Survey, keep: KeepSet, really: bool) -> None:
        """Bring back what is needed and was moved into the trash for want of a ref.

        What somebody has removed on purpose stays in the trash, and is counted.

        :raises LFSError: if the catalogue or the store fails.
        """
        survey.removed = Amount()
        if not really:
            survey.restored = Amount()
        wanted: list[ObjectKey] = []
        sizes: dict[ObjectKey, int] = {}
        async for entries in self._in_trash(survey.repo):
            for entry in entries:
                if bytes.fromhex(entry.key.oid) not in keep:
                    continue
                if _was_garbage(entry):
                    wanted.append(entry.key)
                    sizes[entry.key] = entry.size
                else:
                    survey.removed.add(entry.size)
        for first in range(0, len(wanted), _PAGE):
            keys: Sequence[ObjectKey] = wanted[first : first + _PAGE]
            if really:
                keys = (await self._trash.restore(keys, self._by)).restored
            for key in keys:
                survey.restored.add(sizes[key])

    def end(self, repo: Repo, survey: Survey | None, problem: str) -> None:
        """Publish that a run has ended, which was there to move objects.

        :param survey: what it has found, if it came so far.
        :param problem: why it did not come to its end; empty if it did.
        """
        found = survey or Survey(repo)
        self._events.publish(
            CollectionEnded(
                repo,
                self._by.name,
                found.kept.objects,
                found.recent.objects,
                found.trashed.objects,
                found.trashed.size,
                found.restored.objects,
                problem,
                self._by.principal,
            )
        )

    async def _in_trash(self, repo: Repo) -> AsyncIterator[Sequence[Entry]]:
        query = EntryQuery(repo=repo, states=frozenset({State.TRASHED}), limit=_PAGE)
        while True:
            page = await self._catalogue.page(query)
            yield page.entries
            if page.next_cursor is None:
                return
            query = EntryQuery(repo=repo, states=query.states, limit=_PAGE, cursor=page.next_cursor)

    async def _divide(
        self, survey: Survey, objects: Sequence[ListedObject], since: float, really: bool
    ) -> None:
        """Find out which of the objects without a ref were offered lately."""
        entries = await self._catalogue.look([item.key for item in objects])
        unknown = []
        for item, entry in zip(objects, entries, strict=True):
            if entry is None:
                unknown.append(Entry(item.key, item.size, item.modified, item.modified))
            offered_at = item.modified if entry is None else entry.offered_at
            if offered_at >= since or (entry is not None and entry.state is State.LEAVING):
                survey.recent.add(item.size)
            else:
                survey.condemn(item)
        if unknown and really:
            # Else the trash, which does not list, would take them for new.
            await self._catalogue.merge(unknown)

    async def _discard(self, survey: Survey, sizes: dict[ObjectKey, int], since: float) -> None:
        discarded = await self._trash.discard(list(sizes), REASON, self._by, since)
        for key in discarded.moved:
            survey.trashed.add(sizes[key])
        for key in discarded.spared:
            survey.recent.add(sizes[key])
        for error in discarded.failed.values():
            if isinstance(error, ObjectDamaged):
                survey.damaged += 1
                continue
            survey.failures[error.message] = survey.failures.get(error.message, 0) + 1


def _was_garbage(entry: Entry) -> bool:
    """Whether an object came into the trash by a collection, as far as anybody knows.

    What was found there when the catalogue was made anew has neither a reason nor a mover.
    """
    return entry.reason == REASON or not (entry.reason or entry.moved_by)
