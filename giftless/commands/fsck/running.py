"""The steps of ``giftless fsck`` in their order."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from giftless.app.config import Config
from giftless.base.pace import Pace
from giftless.commands import CommandError, who
from giftless.commands.fsck.reports import STATUS, FoundReport, Summary
from giftless.commands.output import as_json_line, counted, write_lines
from giftless.commands.parts import discard_output
from giftless.commands.progress import Progress
from giftless.commands.units import span
from giftless.errors import BadRequest
from giftless.interfaces import Environment, IInspector, ListedObject
from giftless.lfs.objects import ObjectKey
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.fsck.journal import Busy, Journal
from giftless.usecases.fsck.mending import BROKEN, Quarantine, advise
from giftless.usecases.fsck.places import Places
from giftless.usecases.fsck.reading import Reading
from giftless.usecases.fsck.selection import Selection, Subset
from giftless.usecases.fsck.structure import Structure, Totals
from giftless.usecases.locks import By
from giftless.usecases.space import Space

#: How many objects are read at once of a store over a network: each takes its time to begin.
_REMOTE_JOBS = 8

#: A run that began longer ago, in seconds, is not gone on with: too much may have changed.
_FORGOTTEN = 30 * 86_400


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants.

    :ivar patterns: which repositories; empty for all.
    :ivar subset: what is read; ``None`` if nothing is.
    :ivar rate: how many bytes are read in a second at most; ``None`` if there is no bound.
    :ivar jobs: how many objects are read at once; ``None`` for what suits the store.
    :ivar quarantines: whether what is wrong is marked as damaged.
    :ivar trusting: whether the store's own checksums count.
    :ivar restarts: whether not to go on with a run that was interrupted.
    """

    patterns: Sequence[str]
    subset: Subset | None
    rate: float | None
    jobs: int | None
    quarantines: bool
    trusting: bool
    restarts: bool
    as_json: bool


class Run:
    """One run of the command.

    :ivar status: what it ends with; ``None`` until it has ended.
    """

    def __init__(
        self, plan: Plan, settings: Config, environment: Environment, space: Space
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._environment = environment
        self._space = space
        self._began = time.monotonic()
        self._counts = dict.fromkeys(Outcome, 0)
        self._known: set[ObjectKey] = set()
        self._quarantined = 0
        self._progress = self._show(None, "objects", "looking")
        self._quarantine: Quarantine | None = None
        self.status: int | None = None
        if plan.quarantines:
            by = By(who("giftless fsck"))
            self._quarantine = Quarantine(space.store, space.events, by)
        try:
            self._places = Places(space.store, plan.patterns)
        except (ValueError, BadRequest) as error:
            raise CommandError(f"REPO is no path or pattern of repositories: {error}") from None
        clock = environment.reactor
        self._examiner = Examiner(
            space.store,
            environment.blocking,
            Pace(plan.rate, clock),
            clock,
            trusting=plan.trusting,
            passed=self._passed,
        )
        #: Whether what passes is counted: what was chosen is read, and nothing else.
        self._reads = False

    async def work(self) -> None:
        """Look at everything, read what is to be read, and say what was found."""
        journal = None if self._plan.subset is None else self._open_journal(self._plan.subset)
        try:
            selection = Selection(self._plan.subset or Subset(), journal.seed if journal else "")
            totals, chosen = await self._look(selection)
            complete, resumed = True, 0
            if journal is not None:
                resumed = journal.read
                complete = await self._read(journal, selection, chosen)
            self._summarise(totals, journal, resumed, complete)
        finally:
            if journal is not None:
                journal.close()

    def _open_journal(self, subset: Subset) -> Journal:
        kind = [
            msgspec.to_builtins(self._settings.storage),
            sorted(self._plan.patterns),
            msgspec.to_builtins(subset),
            self._plan.trusting,
        ]
        name = hashlib.sha256(msgspec.json.encode(kind, order="deterministic")).hexdigest()[:32]
        directory = os.path.join(self._settings.state_dir, "fsck")
        journal = Journal(directory, name)
        try:
            journal.open()
            now = time.time()
            if not journal.seed or self._plan.restarts or now - journal.began > _FORGOTTEN:
                journal.begin(secrets.token_hex(8), now)
        except Busy:
            raise CommandError(
                "another 'giftless fsck' reads the same objects; wait until it has ended"
            ) from None
        except OSError as error:
            raise CommandError(f"{directory} cannot be used: {error.strerror}") from None
        if journal.read:
            ago = span(time.time() - journal.began)
            self._say(
                f"going on with a run that began {ago} ago and has read"
                f" {counted(journal.read, 'object')} (--restart begins anew)"
            )
        return journal

    async def _look(self, selection: Selection) -> tuple[Totals, int]:
        """Look at all without reading it; returns how many bytes are to be read, too."""
        structure = Structure(
            self._space.store,
            self._space.catalogue,
            self._examiner,
            self._places,
            self._environment.blocking,
            self._environment.wall_clock,
            self._report,
            self._progress.add,
        )
        with self._progress:
            chosen = await structure.run(selection)
        return structure.totals, chosen

    async def _read(self, journal: Journal, selection: Selection, chosen: int) -> bool:
        """Read what was chosen; returns whether all was."""
        selection.share = journal.fix(selection.share)
        self._progress = self._show(chosen, "bytes", "reading", journal.size)
        jobs = self._plan.jobs
        if jobs is None:
            jobs = _REMOTE_JOBS if IInspector.providedBy(self._space.store) else 1
        assert self._plan.subset is not None, "something is to be read"
        reading = Reading(
            self._examiner,
            self._places,
            selection,
            journal,
            self._report,
            self._known,
            self._environment.blocking,
            self._environment.reactor,
            self._plan.subset.most,
        )
        with self._progress:
            for finding in journal.findings[:]:
                await self._report_again(finding)
            self._reads = True
            await reading.run(jobs)
        if reading.complete:
            journal.finish()
        return reading.complete

    async def _report_again(self, finding: Finding) -> None:
        """Report what an earlier run has found, unless it was mended or deleted meanwhile."""
        if finding.key in self._known:
            return
        if finding.key is not None:
            again = await self._examiner.examine(ListedObject(finding.key, -1, 0.0), True)
            if again is None:
                return
            finding = again
        await self._report(finding)

    # -- reporting

    async def _report(self, finding: Finding) -> None:
        key, marked, problem = finding.key, finding.marked, ""
        if marked and key in self._known:
            # This run has marked it.
            return
        self._counts[finding.outcome] += 1
        if key is not None and finding.outcome in BROKEN:
            self._known.add(key)
            if self._quarantine is not None and not marked:
                problem = await self._quarantine.mark(key, finding.problem)
                marked = not problem
                self._quarantined += marked
        steps = await advise(self._space.store, finding, marked)
        report = FoundReport.of(finding, marked, problem, steps)
        self._print([as_json_line(report)] if self._plan.as_json else report.lines())

    def _summarise(
        self, totals: Totals, journal: Journal | None, resumed: int, complete: bool
    ) -> None:
        found = [outcome for outcome, count in self._counts.items() if count]
        self.status = min((STATUS[outcome] for outcome in found), default=0)
        summary = Summary(
            objects=totals.objects,
            size=totals.size,
            trashed=totals.trashed,
            trashed_size=totals.trashed_size,
            unrecorded=totals.unrecorded,
            read=0 if journal is None else journal.read,
            read_size=0 if journal is None else journal.size,
            compared=self._examiner.counts.compared,
            resumed=resumed,
            **{outcome.value: count for outcome, count in self._counts.items()},
            quarantined=self._quarantined,
            complete=complete,
            status=self.status,
            seconds=round(time.monotonic() - self._began, 3),
        )
        if self._plan.as_json:
            self._print([as_json_line(_Last(summary))])
        else:
            self._print(summary.lines())

    def _print(self, lines: Sequence[str]) -> None:
        """Print lines; that nobody reads them must not end what is being done."""
        self._progress.clear()
        try:
            write_lines(lines)
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()

    def _say(self, text: str) -> None:
        if not self._plan.as_json:
            print(f"giftless: {text}", file=sys.stderr)

    def _passed(self, count: int) -> None:
        if self._reads:
            self._progress.add(count)

    def _show(
        self, total: int | None, unit: Literal["objects", "bytes"], what: str, before: int = 0
    ) -> Progress:
        quiet = self._plan.as_json
        return Progress(total, unit, what, quiet=quiet, summary=False, before=before)


class _Last(msgspec.Struct, frozen=True):
    """The last line of JSON."""

    summary: Summary
