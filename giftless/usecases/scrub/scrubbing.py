"""Examine every object once in a period, in one worker at a time, and tell what is not well."""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec
from twisted.internet.task import deferLater
from twisted.logger import Logger

from giftless.base.pace import SLACK
from giftless.base.repeated import Repeated
from giftless.errors import BadRequest, ConfigError, LFSError
from giftless.interfaces import (
    EntryQuery,
    IListing,
    IReadableStore,
    ListedObject,
    ObjectPage,
    State,
)
from giftless.lfs.objects import ObjectKey
from giftless.monitoring.health import ABSENT
from giftless.monitoring.scrubbing import ScrubCounts, ScrubFacts
from giftless.storage.quiet import quiet_store
from giftless.storage.wrapping import without_copies
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.scrub.comparing import lost_of, missing
from giftless.usecases.scrub.context import Context
from giftless.usecases.scrub.journal import Journal, Phase, ScrubState, mark_of
from giftless.usecases.scrub.options import ScrubOptions
from giftless.usecases.scrub.pacing import GentlePace, slot
from giftless.usecases.scrub.telling import Teller

_log = Logger()

#: How often a worker looks whether nobody scrubs any more, in seconds.
LOOKED: Final = 60.0

#: The longest that a worker waits without a sign of life, in seconds.
LONGEST_WAIT: Final = 300.0

#: How often it is written down at most what was examined, in seconds: that much is lost by
#: a crash.
NOTED: Final = 30.0

#: How many objects a page has, and for how many seconds what it says is believed.
PAGE: Final = 1000
BELIEVED: Final = 3600.0

#: How many objects of the catalogue are looked up together.
TOGETHER: Final = 100

_STORED: Final = frozenset({State.STORED})

#: How often it is tried in all to look at an object, and for how many seconds it is waited
#: before the next time.
ATTEMPTS: Final = 3
RETRIED: Final = 60.0


class Scrubbing(Repeated):
    """Goes through the store again and again, unless another worker does.

    :param options: how fast, and what is done with what is found.
    :param journal: remembers how far it is.
    :param context: the parts that it uses.
    :raises ConfigError: if the store cannot be examined.
    """

    def __init__(self, options: ScrubOptions, journal: Journal, context: Context) -> None:
        super().__init__(self.scrub, LOOKED, context.clock)
        assert options.period is not None, "it is switched on"
        store = context.store
        if not IListing.providedBy(store) or not IReadableStore.providedBy(store):
            raise ConfigError(
                "scrub.period", "this storage lets the daemon list or read no objects"
            )
        self._period = float(options.period)
        self._teller = Teller(context, options.quarantine)
        self._journal = journal
        self._context = context
        self._clock = context.clock
        self._store: IListing = store
        self._pace = GentlePace(options.rate, context.clock)
        quiet = quiet_store(without_copies(store), context.quiet)
        self._examiner = Examiner(quiet, context.quiet, self._pace, context.clock)
        if context.metrics is not None:
            for outcome in Outcome:
                # An alert sees a number grow only if there was one before.
                context.metrics.scrub_findings.place((outcome.value,))
        self._state = self._fresh()
        self._noted = float("-inf")

    async def scrub(self) -> None:
        """Go through the store for as long as this worker serves, unless another one does."""
        held = await self._context.blocking.run(self._journal.take)
        if held is None:
            return
        try:
            found = await self._context.blocking.run(self._journal.read)
            if found is None or found.store != self._context.identity:
                found = self._fresh()
            found.facts.period = self._period
            self._state = found
            try:
                while True:
                    await self._pass()
            finally:
                await self._note()
        finally:
            held.release()

    def _fresh(self) -> ScrubState:
        """Return the state at the beginning of the first pass."""
        now = self._context.wall_clock()
        return ScrubState(self._context.identity, ScrubFacts(self._period, now, ScrubCounts(now)))

    async def _pass(self) -> None:
        """Go on with a pass, and wait until the next one is to begin."""
        state = self._state
        now = self._context.wall_clock()
        # A clock that was set back does not stop it.
        state.facts.running.began_at = min(state.facts.running.began_at, now)
        if state.phase is not Phase.ENDED:
            await self._expect()
            await self._list(Phase.STORED, Phase.TRASHED)
            await self._list(Phase.TRASHED, Phase.KNOWN)
            await self._compare()
            await self._end()
        await self._wait(state.facts.due_at - self._context.wall_clock())
        facts = state.facts
        facts.running = ScrubCounts(self._context.wall_clock())
        self._turn(Phase.STORED)
        await self._note()

    def _turn(self, phase: Phase, cursor: str | None = None) -> None:
        """Go on to another page or phase."""
        self._state.phase, self._state.cursor, self._state.done = phase, cursor, []

    async def _expect(self) -> None:
        """Learn how much there is to do: as much as last time, or what the catalogue knows.

        If neither tells, the store is listed once more.
        """
        facts, catalogue = self._state.facts, self._context.catalogue
        objects, size = facts.expected_objects, facts.expected_size
        if facts.last is not None:
            objects, size = facts.last.objects, facts.last.size
        if catalogue is not None:
            # The store tells as well, if its database does not answer.
            with contextlib.suppress(LFSError):
                total = (await catalogue.usage("org", limit=1)).total
                objects = max(objects, total.objects + total.trashed)
                size = max(size, total.size + total.trashed_size)
        if not objects:
            objects, size = await self._count()
        facts.expected_objects, facts.expected_size = objects, size

    async def _count(self) -> tuple[int, int]:
        """Return how many objects the store has, and how many bytes these have."""
        objects = size = 0
        for trash in (False, True):
            cursor: str | None = None
            while True:
                page = await self._page(cursor, trash)
                objects += len(page.objects)
                size += sum(listed.size for listed in page.objects)
                cursor = page.next_cursor
                if cursor is None:
                    break
        return objects, size

    async def _list(self, phase: Phase, following: Phase) -> None:
        """Examine all objects that the store lists."""
        state = self._state
        while state.phase is phase:
            listed_at = self._clock.seconds()
            page = await self._page(state.cursor, phase is Phase.TRASHED)
            done = set(state.done)
            for listed in page.objects:
                if mark_of(listed.key) in done:
                    continue
                await self._object(listed)
                if self._clock.seconds() - listed_at >= BELIEVED:
                    break
            else:
                last = page.next_cursor is None
                self._turn(following if last else phase, page.next_cursor)
                await self._wait(0)

    async def _page(self, cursor: str | None, trash: bool) -> ObjectPage:
        self._pace.begin(0, 0)
        try:
            page: ObjectPage = await self._store.list(None, cursor, PAGE, trash)
        except BadRequest:
            # The store's cursors have another form now: it begins at the beginning.
            page = await self._store.list(None, None, PAGE, trash)
        await self._pace.take(0)
        return page

    async def _object(self, listed: ListedObject) -> None:
        """Examine an object, and wait until it is time for the next one."""
        facts, clock = self._state.facts, self._clock
        counts = facts.running
        seconds = slot(facts, listed.size, self._context.wall_clock())
        until = clock.seconds() + seconds
        before = self._examiner.counts.bytes
        finding = await self._examine(listed, seconds)
        read = self._examiner.counts.bytes - before
        counts.objects += 1
        counts.size += listed.size
        counts.read += read
        self._state.done.append(mark_of(listed.key))
        if (metrics := self._context.metrics) is not None:
            metrics.scrub_objects.add(())
            metrics.scrub_bytes.add((), read)
        if finding is not None:
            await self._tell(listed.key, listed.size, finding)
        await self._wait(until - clock.seconds())

    async def _examine(self, listed: ListedObject, seconds: float) -> Finding | None:
        """Examine an object, and again after a while if it is not well.

        :raises ServiceUnavailable: if it is not this object alone that cannot be looked at.
        """
        finding: Finding | None = None
        before: Finding | None = None
        for _ in range(ATTEMPTS):
            before = finding
            if before is not None:
                await deferLater(self._clock, RETRIED)
            self._pace.begin(listed.size, seconds)
            finding = await self._examiner.examine(listed, True)
            await self._pace.take(0)
            if finding is None or (before is not None and before.outcome is finding.outcome):
                break
            (size,) = await self._store.sizes([ABSENT])
            if isinstance(size, LFSError):
                raise size
        if finding is None and before is not None:
            _log.warn(
                "{key} was {outcome} ({problem}), and is well now: look at disk and memory",
                key=listed.key.path,
                outcome=before.outcome.value,
                problem=before.problem,
            )
        return finding

    async def _compare(self) -> None:
        """Look for what the catalogue knows and the store has not."""
        state, catalogue = self._state, self._context.catalogue
        while catalogue is not None and state.phase is Phase.KNOWN:
            self._pace.begin(0, 0)
            query = EntryQuery(states=_STORED, cursor=state.cursor, limit=TOGETHER)
            page = await catalogue.page(query)
            for entry in await lost_of(page.entries, self._store, catalogue):
                await self._tell(entry.key, entry.size, missing(entry.key))
            await self._pace.take(0)
            if page.next_cursor is None:
                return
            self._turn(Phase.KNOWN, page.next_cursor)
            await self._wait(0)

    async def _tell(self, key: ObjectKey, size: int, finding: Finding) -> None:
        await self._teller.tell(self._state.facts, key, size, finding)
        await self._note()

    async def _end(self) -> None:
        self._turn(Phase.ENDED)
        self._teller.end(self._state.facts)
        await self._note()

    async def _wait(self, seconds: float) -> None:
        """Wait, and write down now and then that all is well."""
        until = self._clock.seconds() + seconds
        while True:
            self._state.facts.active_at = self._context.wall_clock()
            if self._clock.seconds() - self._noted >= NOTED:
                await self._note()
            left = until - self._clock.seconds()
            if left < SLACK:
                return
            await deferLater(self._clock, min(left, LONGEST_WAIT))

    async def _note(self) -> None:
        """Write down how far it is."""
        self._noted = self._clock.seconds()
        await self._context.blocking.run(self._journal.write, msgspec.json.encode(self._state))
