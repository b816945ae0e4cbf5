"""Look at all that a store has, without reading it: names, sizes, modes, and the catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, closing
from typing import Final

import msgspec

from giftless.errors import LFSError, ObjectUnreadable
from giftless.interfaces import (
    Entry,
    EntryQuery,
    IBlocking,
    ICatalogue,
    IObjectStore,
    ListedObject,
    Oddity,
    State,
    WallClock,
)
from giftless.lfs.objects import ObjectKey, in_trash, owner_of
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.fsck.places import Place, Places
from giftless.usecases.fsck.selection import Selection
from giftless.usecases.seen import Seen

#: What changed within so many last seconds may still be needed by somebody.
SETTLED: Final = 86_400.0

#: What is stored may be unknown to the catalogue for so many seconds.
_UNKNOWN_YET: Final = 60.0

#: How many entries of the catalogue are compared at once.
_TOGETHER: Final = 1000

#: Is told of what was found.
Report = Callable[[Finding], Awaitable[None]]


class Totals(msgspec.Struct):
    """How much there is.

    :ivar objects: how many objects are stored.
    :ivar size: how many bytes these have.
    :ivar trashed: how many are in the trash.
    :ivar trashed_size: how many bytes these have.
    :ivar unrecorded: how many of all these the catalogue does not know.
    :ivar wrong_size: of how many good ones it has another size.
    :ivar wrong_place: how many it has in the trash that are stored.
    """

    objects: int = 0
    size: int = 0
    trashed: int = 0
    trashed_size: int = 0
    unrecorded: int = 0
    wrong_size: int = 0
    wrong_place: int = 0


class Structure:
    """Compares a store's list with what it should be, and with the catalogue.

    :param store: where the objects are.
    :param catalogue: what is known of them; ``None`` if nothing is.
    :param examiner: examines what the list says, and reads an object whose size is another
        than the catalogue's.
    :param places: what is looked at.
    :param blocking: keeps what was listed in a temporary file.
    :param wall_clock: tells what is too young to be judged.
    :param report: is told what was found.
    :param passed: is told how many more objects were listed.
    :ivar totals: how much there is.
    """

    def __init__(
        self,
        store: IObjectStore,
        catalogue: ICatalogue | None,
        examiner: Examiner,
        places: Places,
        blocking: IBlocking,
        wall_clock: WallClock,
        report: Report,
        passed: Callable[[int], None],
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._examiner = examiner
        self._places = places
        self._blocking = blocking
        self._wall_clock = wall_clock
        self._report = report
        self._passed = passed
        self._told: set[tuple[str, str]] = set()
        self.totals = Totals()

    async def run(self, selection: Selection) -> int:
        """Look at everything.

        :param selection: narrowed by how much there is.
        :returns: how many bytes it has chosen.
        """
        sizes = 0
        with closing(Seen()) as seen:
            for place in self._places.all:
                try:
                    sizes += await self._list(place, selection, seen)
                except LFSError as error:
                    problem = f"objects could not be listed: {error.message}"
                    await self._report(Finding(Outcome.UNKNOWN, problem))
            await self._find_leftovers()
            for state in (State.STORED, State.TRASHED):
                await self._with_catalogue(self._find_missing, state, seen)
        await self._tell_drift()
        whole = self.totals.size + self.totals.trashed_size
        selection.narrow(whole)
        return sizes if selection.share == 1.0 else min(sizes, int(whole * selection.share))

    async def _list(self, place: Place, selection: Selection, seen: Seen) -> int:
        """Look at one place; returns how many bytes are chosen."""
        chosen = 0
        async with aclosing(self._places.pages(place)) as pages:
            async for page in pages:
                for listed in page.objects:
                    finding = await self._examiner.examine(listed, False)
                    if finding is not None:
                        await self._report(finding)
                    if selection.chooses(listed.key):
                        chosen += listed.size
                self._count(place, page.objects)
                await self._tell(page.oddities)
                if page.objects:
                    compare = self._compare_trash if place.trash else self._compare
                    await self._with_catalogue(compare, page.objects)
                    keys = [each.key for each in page.objects]
                    await self._blocking.run(seen.add, keys)
                self._passed(len(page.objects))
        return chosen

    def _count(self, place: Place, objects: Sequence[ListedObject]) -> None:
        totals, size = self.totals, sum(each.size for each in objects)
        if place.trash:
            totals.trashed += len(objects)
            totals.trashed_size += size
        else:
            totals.objects += len(objects)
            totals.size += size

    async def _tell(self, oddities: Sequence[Oddity]) -> None:
        for each in oddities:
            # What cannot be read is told once, whatever was tried.
            name = (each.path, each.problem if each.kind == "odd" else each.kind)
            if name not in self._told:
                self._told.add(name)
                marked = each.kind == "wrong"
                finding = Finding(Outcome(each.kind), each.problem, each.key, each.path, marked)
                await self._report(finding)

    async def _find_leftovers(self) -> None:
        try:
            await self._tell(await self._places.leftovers(self._wall_clock() - SETTLED))
        except LFSError as error:
            problem = f"leftovers could not be looked for: {error.message}"
            await self._report(Finding(Outcome.UNKNOWN, problem))

    # -- the catalogue

    async def _with_catalogue(
        self, work: Callable[..., Awaitable[None]], *arguments: object
    ) -> None:
        """Do something with the catalogue; go on without it once it has failed."""
        if self._catalogue is None:
            return
        try:
            await work(self._catalogue, *arguments)
        except LFSError as error:
            self._catalogue = None
            problem = f"the catalogue could not be compared: {error.message}"
            await self._report(Finding(Outcome.UNKNOWN, problem))

    async def _compare(self, catalogue: ICatalogue, objects: Sequence[ListedObject]) -> None:
        """Compare what is stored with the catalogue."""
        entries = await catalogue.look([each.key for each in objects])
        now = self._wall_clock()
        for listed, entry in zip(objects, entries, strict=True):
            if entry is None:
                self.totals.unrecorded += listed.modified < now - _UNKNOWN_YET
            elif entry.state is State.TRASHED:
                self.totals.wrong_place += 1
            elif entry.size != listed.size:
                # Which of the two is wrong only the bytes can tell.
                finding = await self._examiner.examine(listed, True)
                if finding is None:
                    self.totals.wrong_size += 1
                else:
                    words = f"{finding.problem}; the catalogue has {entry.size} bytes"
                    await self._report(msgspec.structs.replace(finding, problem=words))

    async def _compare_trash(self, catalogue: ICatalogue, objects: Sequence[ListedObject]) -> None:
        """Compare what is in the trash with the catalogue."""
        owners = [(owner_of(each.key.repo), each.key.oid) for each in objects]
        keys = [ObjectKey(repo, oid) for repo, oid in owners if repo is not None]
        self.totals.unrecorded += list(await catalogue.look(keys)).count(None)

    async def _find_missing(self, catalogue: ICatalogue, state: State, seen: Seen) -> None:
        """Find what the catalogue has in a state and the store has not."""
        repos = {place.repo for place in self._places.all}
        for repo in repos:
            cursor = None
            while True:
                states = frozenset({state})
                query = EntryQuery(repo=repo, states=states, cursor=cursor, limit=_TOGETHER)
                page = await catalogue.page(query)
                wanted = {
                    in_trash(each.key) if state is State.TRASHED else each.key: each
                    for each in page.entries
                    if each.key in self._places
                }
                for key in await self._blocking.run(seen.absent, list(wanted)):
                    await self._look_for(catalogue, key, wanted[key])
                cursor = page.next_cursor
                if cursor is None:
                    break

    async def _look_for(self, catalogue: ICatalogue, key: ObjectKey, known: Entry) -> None:
        """Look whether an object that was not listed is missing.

        :param key: the key that it has in the store.
        """
        try:
            (size,) = await self._store.sizes([key])
        except LFSError as error:
            size = error
        if isinstance(size, ObjectUnreadable):
            await self._report(Finding(Outcome.UNREADABLE, size.message, key))
        elif isinstance(size, LFSError) and size.code >= 500:
            await self._report(Finding(Outcome.UNKNOWN, size.message, key))
        elif size is None:
            # Somebody may have moved it just then.
            (entry,) = await catalogue.look([known.key])
            if entry is not None and entry.state is known.state:
                problem = f"the catalogue knows it, with {known.size} bytes, and it is not there"
                await self._report(Finding(Outcome.MISSING, problem, key))

    async def _tell_drift(self) -> None:
        totals = self.totals
        drift = {
            f"does not know {totals.unrecorded} objects": totals.unrecorded,
            f"has another size of {totals.wrong_size} good objects": totals.wrong_size,
            f"has {totals.wrong_place} stored objects in the trash": totals.wrong_place,
        }
        words = [text for text, count in drift.items() if count]
        if words:
            problem = f"the catalogue {', '.join(words)}"
            await self._report(Finding(Outcome.ODD, problem))
