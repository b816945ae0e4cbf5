"""Read what was chosen, several objects at the same time, and go on where a run broke off."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.concurrency import settle
from giftless.errors import LFSError
from giftless.interfaces import IBlocking, ListedObject
from giftless.lfs.objects import ObjectKey
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.fsck.journal import Journal
from giftless.usecases.fsck.places import Place, Places
from giftless.usecases.fsck.selection import Selection
from giftless.usecases.fsck.structure import Report

#: How often what was noted is made durable, in seconds.
SYNCED: Final = 2.0

#: After how many objects in a row that could not be looked at reading ends.
GIVEN_UP: Final = 20


class Reading:
    """Reads objects, in the order of the store's list.

    :param examiner: reads each.
    :param places: what is looked at.
    :param selection: chooses what is read of that.
    :param journal: is told what was read.
    :param report: is told what was found.
    :param known: what was reported before, and need not be read.
    :param blocking: makes the journal durable.
    :param clock: tells when that is due.
    :param most: how many bytes may be read in all; ``None`` if there is no bound.
    :ivar complete: whether all was read that was chosen.
    """

    def __init__(
        self,
        examiner: Examiner,
        places: Places,
        selection: Selection,
        journal: Journal,
        report: Report,
        known: Collection[ObjectKey],
        blocking: IBlocking,
        clock: IReactorTime,
        most: int | None,
    ) -> None:
        self._examiner = examiner
        self._places = places
        self._selection = selection
        self._journal = journal
        self._report = report
        self._known = known
        self._blocking = blocking
        self._clock = clock
        self._most = most
        self._synced = clock.seconds()
        #: What could not be looked at of this page, and how many in a row could not.
        self._away: list[tuple[ListedObject, Finding]] = []
        self._failures = 0
        #: How many bytes all have that were chosen.
        self._begun = journal.size
        self.complete = False

    async def run(self, jobs: int) -> None:
        """Read all that was chosen and is not in the journal.

        :param jobs: how many objects are read at the same time.
        """
        first, cursor = self._journal.place, self._journal.cursor
        for number in range(first, len(self._places.all)):
            begin = cursor if number == first else None
            try:
                if not await self._read_place(number, begin, jobs):
                    return
            except LFSError as error:
                problem = f"objects could not be listed: {error.message}"
                await self._report(Finding(Outcome.UNKNOWN, problem))
                return
        self.complete = True

    async def _read_place(self, number: int, cursor: str | None, jobs: int) -> bool:
        """Read what was chosen in a place; returns whether that was done."""
        place: Place = self._places.all[number]
        async with aclosing(self._places.pages(place, cursor)) as pages:
            async for page in pages:
                rest = iter(self._chosen(page.objects))
                await settle(self._read(rest) for _ in range(jobs))
                if self._failures >= GIVEN_UP:
                    problem = (
                        f"reading has ended: {GIVEN_UP} objects in a row could not be looked at;"
                        " when the store answers again, the same command goes on"
                    )
                    await self._report(Finding(Outcome.UNKNOWN, problem))
                    return False
                self._note_away()
                if page.next_cursor is None:
                    self._journal.turn(number + 1, None)
                else:
                    self._journal.turn(number, page.next_cursor)
        return True

    def _chosen(self, objects: Sequence[ListedObject]) -> Iterator[ListedObject]:
        """Choose, as late as possible, what is read of a page."""
        done = frozenset(self._journal.done)
        for listed in objects:
            if self._failures >= GIVEN_UP:
                return
            if not self._selection.chooses(listed.key) or listed.key.path in done:
                continue
            if listed.key in self._known:
                continue
            if self._most is None or self._begun + listed.size <= self._most:
                self._begun += listed.size
                yield listed

    async def _read(self, rest: Iterator[ListedObject]) -> None:
        for listed in rest:
            finding = await self._examiner.examine(listed, True)
            if finding is not None and finding.outcome is Outcome.UNKNOWN:
                # If reading ends here, the next run asks for it again.
                self._away.append((listed, finding))
                self._failures += 1
            else:
                self._failures = 0
                self._note_away()
                self._journal.note(listed.key, listed.size, finding)
            if finding is not None:
                await self._report(finding)
            if self._clock.seconds() - self._synced >= SYNCED:
                self._synced = self._clock.seconds()
                await self._blocking.run(self._journal.sync)

    def _note_away(self) -> None:
        away, self._away = self._away, []
        for listed, finding in away:
            self._journal.note(listed.key, listed.size, finding)
