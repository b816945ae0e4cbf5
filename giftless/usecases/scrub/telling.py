"""Tell everybody what the scrub has found: log, events, metrics, and what pages show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from twisted.logger import Logger

from giftless.base.units import duration_in_words, size_in_words
from giftless.errors import ConfigError
from giftless.interfaces import IMarking, ObjectFaulty, ScrubEnded
from giftless.lfs.objects import ObjectKey, owner_of
from giftless.monitoring.scrubbing import ScrubFacts, ScrubFinding
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.fsck.mending import Quarantine, advise
from giftless.usecases.locks import By
from giftless.usecases.scrub.context import Context

_log = Logger()

#: How many findings pages show.
MAX_TOLD: Final = 50

#: Who does it, in events and in the log.
BY: Final = By("giftless (scrub)")


class Teller:
    """Tells what has been found.

    :param context: the parts that the scrub uses.
    :param quarantines: whether objects with wrong bytes are marked as damaged.
    :raises ConfigError: if the store cannot mark any.
    """

    def __init__(self, context: Context, quarantines: bool) -> None:
        self._context = context
        self._quarantine: Quarantine | None = None
        if quarantines:
            if not IMarking.providedBy(context.store):
                raise ConfigError("scrub.quarantine", "this storage cannot mark objects as damaged")
            self._quarantine = Quarantine(context.store, context.events, BY)

    async def tell(self, facts: ScrubFacts, key: ObjectKey, size: int, finding: Finding) -> None:
        """Tell that an object is not well, and mark it if that is wanted.

        :param facts: notes it.
        :param size: of the object, in bytes.
        """
        context, outcome, problem = self._context, finding.outcome.value, finding.problem
        marked = finding.marked or await self._mark(key, finding)
        steps = await self._steps(key, finding, marked)
        if (owner := owner_of(key.repo)) is not None:
            key, problem = ObjectKey(owner, key.oid), f"in the trash: {problem}"
        _log.error(
            "the scrub found a {outcome} object: {key}: {problem}{steps}",
            outcome=outcome,
            key=key.path,
            problem=problem,
            steps="".join(f"; {step}" for step in steps),
        )
        context.events.publish(ObjectFaulty(key, size, outcome, problem, BY.name))
        if context.metrics is not None:
            context.metrics.scrub_findings.add((outcome,))
        findings = facts.running.findings
        findings[outcome] = findings.get(outcome, 0) + 1
        now = context.wall_clock()
        told = ScrubFinding(now, key.repo.path, str(key.oid), size, outcome, problem, marked)
        facts.findings = [told, *facts.findings][:MAX_TOLD]

    def end(self, facts: ScrubFacts) -> None:
        """Tell that a pass is at its end.

        :param facts: notes it.
        """
        context, counts = self._context, facts.running
        counts.ended_at = context.wall_clock()
        facts.last = msgspec.structs.replace(counts)
        facts.passes += 1
        if context.metrics is not None:
            context.metrics.scrub_passes.add(())
        seconds = counts.ended_at - counts.began_at
        context.events.publish(
            ScrubEnded(counts.objects, counts.size, counts.read, counts.findings, seconds, BY.name)
        )
        _log.info(
            "the scrub has examined {objects} objects ({size}) in {duration}; {found} are not well",
            objects=counts.objects,
            size=size_in_words(counts.size),
            duration=duration_in_words(seconds),
            found=sum(counts.findings.values()),
        )
        if counts.ended_at > facts.due_at:
            _log.warn("the scrub took longer than scrub.period: raise that, or scrub.rate")

    async def _mark(self, key: ObjectKey, finding: Finding) -> bool:
        """Mark an object if that is wanted; return whether it was done."""
        if self._quarantine is None or finding.outcome is not Outcome.WRONG:
            return False
        problem = await self._quarantine.mark(key, finding.problem)
        if problem:
            _log.error("{key} cannot be marked: {problem}", key=key.path, problem=problem)
        return not problem

    async def _steps(self, key: ObjectKey, finding: Finding, marked: bool) -> Sequence[str]:
        """Say how to bring an object back."""
        if finding.outcome is Outcome.UNKNOWN:
            return ()
        steps = await advise(self._context.store, finding, True)
        if finding.outcome is Outcome.WRONG and not marked:
            return (f"giftless fsck --read-data --quarantine {key.repo}", *steps)
        return steps
