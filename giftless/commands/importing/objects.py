"""What commands have in common that import objects: options, progress, reports and status."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.app.space import build_space
from giftless.base.pace import Pace
from giftless.commands import CONFIG, Command, CommandError, who
from giftless.commands.amounts import MOST_JOBS, read_amounts
from giftless.commands.harmless import harmless
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.output import as_json_line, counted
from giftless.commands.parts import discard_output, use_parts
from giftless.commands.progress import Progress
from giftless.commands.units import size
from giftless.importing.offers import NoSource, Offer
from giftless.interfaces import Environment
from giftless.references.errors import NoReferences
from giftless.usecases.importing import PROBLEMS, Importing, Opener, Outcome, Totals
from giftless.usecases.intake import Intake
from giftless.usecases.locks import By

#: How many objects are taken in at once by default.
_JOBS: Final = 4

#: The status of a command that has left something undone.
INCOMPLETE: Final = 2

#: The options of these commands.
PARAMETERS: Final = [
    CONFIG,
    ["rate", None, None, "The most bytes to read each second, such as 50M."],
    ["jobs", None, _JOBS, f"How many objects at once, up to {MOST_JOBS}.", int],
]
FLAGS: Final = [["dry-run", "n", "Only say what would be stored."], JSON_LINES]

#: How results are told in words.
_WORDS: Final = {
    "stored": "stored",
    "wanted": "to be stored",
    "present": "here already",
    "wrong": "with wrong bytes",
    "missing": "missing there",
    "unreadable": "that cannot be read",
    "failed": "that the store has not taken",
}


class Summary(msgspec.Struct, frozen=True):
    """The last line of JSON.

    :ivar objects: how many objects had each result.
    :ivar size: how many bytes those have that were stored, or would be.
    :ivar notes: what else operators should know, in words.
    """

    objects: dict[str, int]
    size: int
    notes: Sequence[str]


class _Last(msgspec.Struct, frozen=True):
    summary: Summary


class ImportObjects(Command):
    """A command that imports objects."""

    optParameters: Any = PARAMETERS
    optFlags: Any = FLAGS

    def __init__(self) -> None:
        super().__init__()
        self._totals = Totals()

    def postOptions(self) -> None:
        """Check the amounts."""
        read_amounts(self)

    def run(self) -> None:
        """Import, and end with :data:`INCOMPLETE` if something could not be imported."""
        parent: Any = self.parent
        file = self["config"] or parent.get("config")
        use_parts(config.load(file, os.environ), self._use, threads=self["jobs"] + 1)
        if self._totals.problems:
            raise SystemExit(INCOMPLETE)

    async def work(self, environment: Environment) -> None:
        """Do the command's work, by :meth:`take_in`.

        :raises NoSource: if what is to be imported cannot be understood.
        """
        raise NotImplementedError

    async def take_in(
        self,
        environment: Environment,
        pages: Callable[[], Iterator[Sequence[Offer]]],
        opener: Opener,
        notes: Callable[[], Sequence[str]],
    ) -> None:
        """Import what is offered, show the progress, and report.

        :param pages: makes pages of offers, in a thread, and twice: it is counted first.
        :param opener: opens what is offered.
        :param notes: tells what operators should know afterwards, in words; in a thread.
        """
        total = await environment.blocking.run(_size_of, pages)
        action = "comparing" if self["dry-run"] else "importing"
        with Progress(total, "bytes", action, quiet=bool(self["json"]), summary=False) as progress:
            importing = Importing(
                self._intake,
                opener,
                Pace(self["rate"], environment.reactor),
                environment.blocking,
                self["jobs"],
                self._tell,
                progress.add,
                not self["dry-run"],
            )
            self._totals = await importing.run(pages())
        self._conclude(await environment.blocking.run(notes))

    async def _use(self, settings: Config, parts: PartBuilder) -> None:
        environment = parts.environment
        space = build_space(settings, parts, publishes=not self["dry-run"])
        self._intake = Intake(space, environment.blocking, By(who("giftless import")))
        environment.services.startService()
        try:
            await self.work(environment)
        except (NoSource, NoReferences) as error:
            raise CommandError(harmless(str(error))) from None

    def _tell(self, outcome: Outcome) -> None:
        if outcome.result in PROBLEMS:
            words = f"{outcome.result:<10}  {outcome.repo}  {outcome.oid}  {outcome.problem}"
            _print(as_json_line(outcome) if self["json"] else harmless(words))

    def _conclude(self, notes: Sequence[str]) -> None:
        totals = self._totals
        if self["json"]:
            summary = Summary(dict(totals.objects), totals.size, notes)
            _print(as_json_line(_Last(summary)))
            return
        parts = [
            f"{counted(count, 'object')} {words}"
            for result, words in _WORDS.items()
            if (count := totals.objects[result])
        ]
        if totals.size:
            parts[0] += f" ({size(totals.size)})"
        _print(f"{'; '.join(parts) or 'no objects found'}.")
        for note in notes:
            _print(harmless(note))


def _size_of(pages: Callable[[], Iterator[Sequence[Offer]]]) -> int:
    return sum(offer.size or 0 for page in pages() for offer in page)


def _print(line: str) -> None:
    """Print a line; that nobody reads it must not end what is being done."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        discard_output()
