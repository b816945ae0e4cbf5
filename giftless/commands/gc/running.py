"""The steps of a run, in the order that makes it safe (:mod:`giftless.usecases.collection`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.commands.gc.jobs import Job
from giftless.commands.gc.reports import Report, RepositoryReport
from giftless.commands.progress import Progress
from giftless.errors import LFSError
from giftless.interfaces import IBlocking, WallClock
from giftless.lfs.objects import Repo
from giftless.observers.rendering import time_text
from giftless.references.errors import NoReferences
from giftless.references.gathering import Bounds, Gathering
from giftless.references.git import Git
from giftless.references.records import Record, Records
from giftless.usecases.collection import Collector, Survey
from giftless.usecases.presence import OFFER_RESOLUTION

#: How often the refs are fetched again after objects were moved, while they change.
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a run goes about it.

    :ivar really: whether objects are moved, and not only counted.
    :ivar grace: for how long what was offered stays, in seconds.
    :ivar bounds: which sets of what is kept are refused.
    :ivar ignored: patterns of refs that do not count.
    :ivar reflogs: whether reflogs do.
    :ivar as_json: whether progress is shown in a terminal only.
    """

    really: bool
    grace: float
    bounds: Bounds
    ignored: Sequence[str]
    reflogs: bool
    as_json: bool


class Run:
    """Collects one job after the other.

    :param collector: finds and moves.
    :param records: what was found last time; held by this run.
    :param git: clones.
    :param blocking: where it may block.
    :param clock: waits.
    :param wall_clock: tells when clones begin.
    :param shown: is given each repository's report when it is complete, and what was offered
        since when stays, in seconds since the epoch.
    """

    def __init__(
        self,
        policy: Policy,
        collector: Collector,
        records: Records,
        git: Git,
        blocking: IBlocking,
        clock: IReactorTime,
        wall_clock: WallClock,
        shown: Callable[[RepositoryReport, float], None],
    ) -> None:
        self._policy = policy
        self._collector = collector
        self._records = records
        self._git = git
        self._blocking = blocking
        self._clock = clock
        self._wall_clock = wall_clock
        self._shown = shown
        self.report = Report(really=policy.really, began_at=time_text(wall_clock()))

    async def collect(self, jobs: Sequence[Job], directory: Path) -> None:
        """Do all jobs; one that fails does not hold up the others.

        :param directory: for clones.
        """
        if self._policy.really:
            # So that without grace all goes that was offered before the run was started.
            await deferLater(self._clock, OFFER_RESOLUTION)
        for number, job in enumerate(jobs):
            await self._do(job, directory / str(number))

    async def _do(self, job: Job, directory: Path) -> None:
        policy = self._policy
        began = self._wall_clock()
        since = began - policy.grace - OFFER_RESOLUTION
        gathering = Gathering(
            self._git, job.sources, job.lists, directory, policy.ignored, policy.reflogs
        )
        problem = job.problem
        try:
            if not problem:
                problem = await self._gather(gathering)
            for repo in job.repos:
                report = RepositoryReport(
                    repo=repo.path,
                    sources=dict(gathering.counts),
                    named=len(gathering.keep),
                    notes=list(gathering.complaints),
                    problem=problem,
                )
                survey = None if problem else await self._collect(repo, gathering, since, report)
                if policy.really:
                    self._collector.end(repo, survey, report.problem)
                self.report.repositories.append(report)
                self._shown(report, since)
        finally:
            await self._blocking.run(gathering.close)

    async def _gather(self, gathering: Gathering) -> str:
        """Find what is needed; returns why that cannot be told, if it cannot."""
        try:
            await self._blocking.run(gathering.gather)
        except NoReferences as error:
            return str(error)
        return ""

    async def _collect(
        self, repo: Repo, gathering: Gathering, since: float, report: RepositoryReport
    ) -> Survey | None:
        """Collect a repository, and write down what came of it."""
        policy, collector, keep = self._policy, self._collector, gathering.keep
        survey = None
        try:
            before = self._records.load(repo)
            gathering.judge(before, policy.bounds)
            with self._progress(None, f"listing {repo}") as progress:
                survey = await collector.survey(repo, keep, since, policy.really, progress.add)
            if not survey.kept.objects and survey.garbage.objects and not policy.bounds.allow_empty:
                raise NoReferences(
                    "nothing of what the refs lead to is stored here, so these may be other"
                    " repositories; say --allow-empty if that is right"
                )
            await collector.bring_back(survey, keep, policy.really)
            self._remember(repo, gathering, before)
            if policy.really:
                await self._move(survey, gathering, since)
        except (NoReferences, LFSError) as error:
            report.problem = str(error)
        if survey is not None:
            report.take(survey)
        return survey

    async def _move(self, survey: Survey, gathering: Gathering, since: float) -> None:
        collector, keep = self._collector, gathering.keep
        if survey.garbage.objects:
            # Much may have been pushed while objects were listed.
            await self._blocking.run(gathering.look_again)
        with self._progress(survey.garbage.objects, f"moving objects of {survey.repo}") as progress:
            await collector.move(survey, keep, since, progress.add)
        if survey.trashed.objects:
            for _ in range(_LOOKS):
                if not await self._blocking.run(gathering.look_again):
                    break
                await collector.bring_back(survey, keep, True)
        if survey.failures:
            raise NoReferences(
                "; ".join(
                    f"{count} objects could not be moved: {words}"
                    for words, count in survey.failures.items()
                )
            )

    def _remember(self, repo: Repo, gathering: Gathering, before: Record | None) -> None:
        """Note what was found, for the next run; a dry run never makes it less."""
        record = Record(
            repo=repo.path,
            at=self._wall_clock(),
            objects=len(gathering.keep),
            sources=dict(gathering.counts),
        )
        grown = before is None or (
            record.objects >= before.objects and before.sources.keys() <= record.sources.keys()
        )
        if self._policy.really or grown:
            self._records.save(record)

    def _progress(self, total: int | None, what: str) -> Progress:
        return Progress(total, "objects", what, quiet=self._policy.as_json)
