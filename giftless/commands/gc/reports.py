"""What a run of ``giftless gc`` has found and done, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from giftless.base.units import size_in_words
from giftless.commands.harmless import harmless
from giftless.observers.rendering import time_text
from giftless.usecases.collection import Amount, Survey


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Some objects.

    :ivar size: how many bytes they have together.
    """

    objects: int = 0
    size: int = 0

    @classmethod
    def of(cls, amount: Amount) -> Counted:
        """Write an amount down."""
        return cls(objects=amount.objects, size=amount.size)


class RepositoryReport(msgspec.Struct, kw_only=True):
    """What was found and done in a repository; members as in ``docs/gc.rst``."""

    repo: str
    sources: Mapping[str, int] = {}
    named: int = 0
    kept: Counted = Counted()
    recent: Counted = Counted()
    garbage: Counted = Counted()
    trashed: Counted = Counted()
    restored: Counted = Counted()
    removed: Counted = Counted()
    notes: list[str] = []
    problem: str = ""

    def take(self, survey: Survey) -> None:
        """Write down what a survey has found."""
        self.kept, self.recent = Counted.of(survey.kept), Counted.of(survey.recent)
        self.garbage, self.trashed = Counted.of(survey.garbage), Counted.of(survey.trashed)
        if survey.damaged:
            self.notes.append(f"{survey.damaged} objects are damaged, and stay as they are")
        self.restored, self.removed = Counted.of(survey.restored), Counted.of(survey.removed)

    def lines(self, really: bool, since: float) -> Iterator[str]:
        """Yield it in words, one line each."""
        yield self.repo
        for name, count in self.sources.items():
            yield f"  {name} names {count:,} objects"
        if not self.problem or self.kept.objects:
            yield f"  kept: {_words(self.kept)}"
            yield f"  offered since {time_text(since)[:19]}Z, so kept: {_words(self.recent)}"
            if really:
                yield f"  moved into the trash: {_words(self.trashed)}"
            else:
                yield f"  would be moved into the trash: {_words(self.garbage)}"
        if self.restored.objects:
            verb = "brought back" if really else "would be brought back"
            yield f"  {verb} from the trash, because a ref leads there: {_words(self.restored)}"
        if self.removed.objects:
            yield f"  needed, and in the trash because somebody removed it: {_words(self.removed)}"
        yield from (f"  note: {note}" for note in self.notes)
        if self.problem:
            yield f"  problem: {self.problem}"


class Report(msgspec.Struct, kw_only=True):
    """What a run has found and done.

    :ivar really: whether it was to move anything.
    :ivar began_at: when it began (RFC 3339).
    """

    really: bool
    began_at: str
    repositories: list[RepositoryReport] = []

    @property
    def problems(self) -> int:
        """How many repositories have one."""
        return sum(bool(report.problem) for report in self.repositories)

    def as_json(self) -> str:
        """Write it as one line of JSON."""
        return msgspec.json.encode(self).decode()


def show(report: RepositoryReport, really: bool, since: float) -> str:
    """Write what was found and done in a repository, for a terminal."""
    return "\n".join(harmless(line) for line in report.lines(really, since))


def _words(amount: Counted) -> str:
    noun = "object" if amount.objects == 1 else "objects"
    return f"{amount.objects:,} {noun} ({size_in_words(amount.size)})"
