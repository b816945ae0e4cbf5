"""What ``giftless fsck`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from giftless.commands.harmless import harmless
from giftless.commands.output import counted
from giftless.commands.units import size, span
from giftless.lfs.objects import owner_of
from giftless.usecases.fsck.findings import Finding, Outcome

#: What the command ends with if this is the worst that was found, from the worst on.
STATUS: Final = {
    Outcome.WRONG: 2,
    Outcome.MISSING: 2,
    Outcome.UNREADABLE: 3,
    Outcome.UNKNOWN: 4,
    Outcome.ODD: 5,
}

#: How each outcome is called for people.
_NAMES: Final = {
    Outcome.WRONG: "wrong bytes",
    Outcome.MISSING: "missing",
    Outcome.UNREADABLE: "unreadable",
    Outcome.UNKNOWN: "could not look",
    Outcome.ODD: "odd",
}


class FoundReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding.

    :ivar trash: whether the object is in the trash of the repository.
    :ivar path: where it is, as the store calls it.
    :ivar quarantined: whether it is marked as damaged now.
    :ivar not_quarantined: why it could not be marked.
    :ivar bring_back: how to bring the object back, one step after the other.
    """

    outcome: Outcome
    problem: str
    repo: str = ""
    oid: str = ""
    trash: bool = False
    path: str = ""
    quarantined: bool = False
    not_quarantined: str = ""
    bring_back: Sequence[str] = ()

    @classmethod
    def of(
        cls, finding: Finding, quarantined: bool, not_quarantined: str, steps: Sequence[str]
    ) -> FoundReport:
        """Make the report of a finding."""
        key = finding.key
        owner = None if key is None else owner_of(key.repo)
        return cls(
            finding.outcome,
            finding.problem,
            "" if key is None else (owner or key.repo).path,
            "" if key is None else str(key.oid),
            owner is not None,
            finding.path,
            quarantined,
            not_quarantined,
            steps,
        )

    def lines(self) -> list[str]:
        """Write it for people."""
        what = []
        if self.oid and self.oid not in self.path:
            what.append(f"{self.repo} {self.oid}{' (in the trash)' if self.trash else ''}")
        if self.path:
            what.append(self.path)
        text = f"{_NAMES[self.outcome]}: {': '.join([*what, self.problem])}"
        lines = [harmless(text)]
        if self.quarantined:
            lines.append("    marked as damaged: clients are asked for it again")
        elif self.not_quarantined:
            lines.append(harmless(f"    could not be marked as damaged: {self.not_quarantined}"))
        lines += [f"    {harmless(step)}" for step in self.bring_back]
        return lines


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done and found.

    :ivar size: how many bytes the stored objects have.
    :ivar unrecorded: how many objects the catalogue does not know.
    :ivar read: how many objects were read, by this run and those that it has gone on with.
    :ivar read_size: how many bytes these have.
    :ivar compared: for how many of them the store's own checksum was compared.
    :ivar resumed: how many of them earlier runs have read.
    :ivar quarantined: how many were marked as damaged.
    :ivar complete: whether everything was looked at that was to be.
    :ivar status: what the command ends with.
    """

    objects: int
    size: int
    trashed: int
    trashed_size: int
    unrecorded: int
    read: int
    read_size: int
    compared: int
    resumed: int
    wrong: int
    missing: int
    unreadable: int
    unknown: int
    odd: int
    quarantined: int
    complete: bool
    status: int
    seconds: float

    def lines(self) -> list[str]:
        """Write it for people."""
        stored = f"{counted(self.objects, 'object')}, {size(self.size)}"
        trashed = f"{counted(self.trashed, 'object')}, {size(self.trashed_size)}"
        lines = [f"stored: {stored}; in the trash: {trashed}"]
        if self.read:
            before = f", {self.resumed:,} of them by earlier runs" if self.resumed else ""
            compared = f"; {self.compared:,} by the store's checksum" if self.compared else ""
            read = f"{counted(self.read, 'object')}, {size(self.read_size)}"
            lines.append(f"compared: {read}{before}{compared}")
        counts = {name: getattr(self, outcome.value) for outcome, name in _NAMES.items()}
        words = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        lines.append(f"found: {words or 'nothing that is wrong'} ({span(self.seconds)})")
        if self.quarantined:
            lines.append(f"marked as damaged: {counted(self.quarantined, 'object')}")
        return lines
