"""Move the objects of one storage to another one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import blake2b
from typing import Any, Final

import msgspec

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.app.space import build_space
from giftless.base.exclusive import Exclusive
from giftless.base.pace import Pace
from giftless.commands import CommandError
from giftless.commands.harmless import harmless
from giftless.commands.migrate.places import Place, find_places, is_served
from giftless.commands.progress import Progress
from giftless.commands.units import size
from giftless.errors import InsufficientStorage
from giftless.interfaces import IStorageFactory
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.locks import By
from giftless.usecases.migration.copier import Copier, Outcome
from giftless.usecases.migration.journal import Journal
from giftless.usecases.migration.migrator import Migrator, check_stores
from giftless.usecases.migration.resurfaced import Resurfaced
from giftless.usecases.migration.runs import Left, Report, RunOptions, Sums
from giftless.usecases.migration.verifying import Verifier

#: What keys of a section are called that may hold a secret.
_SECRET: Final = ("key", "secret", "password", "token", "credential", "connection")

#: The outcomes that say something about an object, and not about a store.
_BAD: Final = frozenset({Outcome.DAMAGED.value, Outcome.WRONG.value})


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for on the command line.

    :ivar names: ``FROM`` and ``TO``; ``None`` if they were not given.
    :ivar jobs: how many objects are copied at once.
    :ivar rate: how many bytes a second are read; ``None`` for any number.
    :ivar trash: whether the trash moves too.
    :ivar verify_only: whether nothing is copied.
    :ivar as_json: whether JSON lines are printed.
    """

    names: tuple[str, str] | None
    jobs: int
    rate: float | None
    trash: bool
    verify_only: bool
    as_json: bool


class ObjectMigration:
    """Moves or verifies objects, and says what was found.

    :param settings: the configuration.
    :param parts: builds both storages.
    :param by: who does it.
    """

    def __init__(self, choices: Choices, settings: Config, parts: PartBuilder, by: By) -> None:
        self._choices = choices
        self._settings = settings
        self._parts = parts
        self._by = by
        self._progress: Progress | None = None
        self.places = find_places("storage", choices.names, settings)

    async def run(self) -> int:
        """Do it.

        :returns: the status to exit with.
        :raises CommandError: if it cannot be done.
        """
        choices, around = self._choices, self._parts.environment
        source, target = self.places
        trash = None
        if is_served("storage", source, target, self._settings):
            trash = build_space(self._settings, self._parts).trash
        old = source.build(IStorageFactory, self._parts)
        new = target.build(IStorageFactory, self._parts)
        check_stores(old, new)
        around.services.startService()
        clock, blocking = around.reactor, around.blocking
        pace = Pace(choices.rate, clock)
        examiner = Examiner(new, blocking, pace, clock, passed=self._passed)
        options = RunOptions(
            jobs=choices.jobs,
            trash=choices.trash,
            begins=self._begins,
            passed=self._passed,
            left=self._tell,
        )
        if choices.verify_only:
            return self._end(await Verifier(old, new, examiner, options).run())
        copier = Copier(old, new, blocking, clock, pace, self._passed)
        resurfaced = None if trash is None else Resurfaced(trash, self._by, clock)
        with self._journal(source, target) as journal:
            migrator = Migrator(
                old,
                new,
                copier,
                examiner,
                journal,
                resurfaced,
                blocking,
                clock,
                options,
            )
            try:
                report = await migrator.run()
            except InsufficientStorage as error:
                raise CommandError(
                    f"{target.text} is full ({error.message}); make room and run this again: it"
                    " goes on with what is missing"
                ) from None
        return self._end(report)

    @contextmanager
    def _journal(self, source: Place, target: Place) -> Iterator[Journal]:
        """Open the journal of a migration, for this run alone."""
        directory = os.path.join(self._settings.state_dir, "migration")
        text = json.dumps([_public(source.section), _public(target.section)], sort_keys=True)
        name = blake2b(text.encode(), digest_size=16).hexdigest()
        held = Exclusive(os.path.join(directory, "running")).take([name], b"%d" % os.getpid())
        if isinstance(held, bytes):
            number = held.decode("ascii", "replace")
            raise CommandError(f"another 'giftless migrate' does this just now (process {number})")
        try:
            with closing(Journal(os.path.join(directory, f"{name}.sqlite"))) as journal:
                yield journal
        finally:
            held.release()

    def _begins(self, number: int, sums: Sums) -> None:
        if self._progress is not None:
            self._progress.end()
        doing = "verifying" if self._choices.verify_only else f"pass {number}"
        what = f"{doing}, {sums.objects:,} objects"
        self._progress = Progress(sums.bytes, "bytes", what, quiet=self._choices.as_json)

    def _passed(self, count: int) -> None:
        if self._progress is not None:
            self._progress.add(count)

    def _tell(self, left: Left) -> None:
        if self._choices.as_json:
            line = {"object": left.key.path, "outcome": left.outcome.value, "problem": left.problem}
            print(json.dumps(line), flush=True)
            return
        if self._progress is not None:
            self._progress.clear()
        words = harmless(f"{left.outcome.value}: {left.key.path}: {left.problem}")
        print(words, file=sys.stdout, flush=True)

    def _end(self, report: Report) -> int:
        if self._progress is not None:
            self._progress.end()
        if self._choices.as_json:
            summary = {**msgspec.to_builtins(report), "complete": report.complete}
            print(json.dumps({"summary": summary}))
        else:
            print("\n".join(_words(report, *self.places)))
        if _BAD & report.left.keys():
            return 2
        return 0 if report.complete else 3


def _words(report: Report, source: Place, target: Place) -> Iterator[str]:
    yield f"{source.text}: {_sums(report.source)}; of these, {target.text} has"
    yield f"  {_sums(report.equal)}, with the same size and verified bytes."
    yield f"{target.text}: {_sums(report.target)} in all."
    if report.copied.objects or report.compared.objects:
        yield f"Copied now: {_sums(report.copied)}."
        yield f"Verified now, where they were already: {_sums(report.compared)}."
    if report.removed:
        yield f"Deleted while they were copied, and removed again: {report.removed:,}."
    for outcome, count in sorted(report.left.items()):
        yield f"Not copied ({outcome}): {count:,}."
    if _BAD & report.left.keys():
        yield (
            "What is damaged stays where it is, and clients are asked for it again: whoever has a"
            " good clone runs 'git lfs push --all origin', or 'giftless rescue'."
        )
    if not report.complete and not report.left.keys() <= _BAD:
        yield "Not everything has moved: run this again."


def _sums(sums: Sums) -> str:
    noun = "object" if sums.objects == 1 else "objects"
    return f"{sums.objects:,} {noun} ({size(sums.bytes)})"


def _public(section: Any) -> Any:
    """Leave out what may be secret."""
    if isinstance(section, Mapping):
        return {
            str(key): _public(value)
            for key, value in section.items()
            if not any(word in str(key).lower() for word in _SECRET)
        }
    if isinstance(section, list):
        return [_public(item) for item in section]
    return str(section)
