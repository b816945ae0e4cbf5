"""Go through storage, and say how far it is and what was done."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base.units import size_in_words
from giftless.commands import Command, CommandError
from giftless.commands.harmless import harmless
from giftless.commands.output import counted
from giftless.commands.parts import Interrupted, use_parts
from giftless.commands.progress import Progress
from giftless.commands.recoding.stores import places_of
from giftless.interfaces import ICodedStore, ListedObject
from giftless.usecases.recoding.walking import CannotGoOn, Left, Report, Sum, Walk, Work

#: A kind of store.
_Store = TypeVar("_Store", bound=ICodedStore)

#: How many threads hash, code and use disks.
_THREADS: Final = 4


def run_to_status(command: Command, work: Callable[[Config, PartBuilder], Awaitable[int]]) -> None:
    """Run the work of a command that can be interrupted and goes on when it is run again.

    :param work: returns the status to exit with.
    :raises SystemExit: with that, if it is not 0.
    :raises CommandError: if the work is interrupted, or fails.
    """
    parent: Any = command.parent
    status = 0

    async def job(settings: Config, parts: PartBuilder) -> None:
        nonlocal status
        status = await work(settings, parts)

    try:
        use_parts(config.load(command["config"] or parent.get("config"), os.environ), job, _THREADS)
    except Interrupted:
        raise CommandError("interrupted; the same command goes on from here") from None
    if status:
        raise SystemExit(status)


class Run:
    """Goes through stores.

    :param parts: what has built them.
    :param doing: is done, in words: ``encrypting``.
    :param jobs: how many objects are worked on at once.
    :param as_json: whether JSON lines are printed.
    """

    def __init__(self, parts: PartBuilder, doing: str, jobs: int, as_json: bool) -> None:
        self._clock = parts.environment.reactor
        self._jobs = jobs
        self._as_json = as_json
        self._progress = Progress(None, "objects", doing, quiet=as_json, summary=False)

    async def over(
        self,
        stores: Sequence[_Store],
        make: Callable[[_Store], Work],
        patterns: Sequence[str] = (),
        once: bool = False,
    ) -> Report:
        """Go through all stores.

        :param make: makes the work on the objects of a store.
        :param patterns: which repositories; empty for all.
        :param once: whether each is gone through once only.
        :returns: what was done in all of them together.
        :raises CommandError: if that could not be done.
        """
        whole = Report(complete=True)
        with self._progress:
            for store in stores:
                report = Report()
                places = places_of(store, patterns)
                walk = Walk(places, self._clock, self._jobs, self._passed, self._tell)
                try:
                    await walk.run(make(store), report, once)
                except CannotGoOn as problem:
                    raise CommandError(f"{problem}; the same command goes on from here") from None
                _add(whole, report)
        return whole

    def summarise(self, report: Report, lines: Sequence[str]) -> int:
        """Print what was done.

        :param lines: it in words, without what is left.
        :returns: the status to exit with.
        """
        if self._as_json:
            print(json.dumps({"summary": msgspec.to_builtins(report)}))
        else:
            left = [f"Left ({name}): {count:,}." for name, count in sorted(report.left.items())]
            print("\n".join([*lines, *left]))
        return 2 if report.left else 0 if report.complete else 3

    def _passed(self, listed: ListedObject) -> None:
        self._progress.add(1)

    def _tell(self, left: Left) -> None:
        if self._as_json:
            line = {"object": left.key.path, "outcome": left.outcome, "problem": left.problem}
            print(json.dumps(line), flush=True)
            return
        self._progress.clear()
        print(harmless(f"{left.outcome}: {left.key.path}: {left.problem}"), flush=True)


def in_words(some: Sum) -> str:
    """Write how many objects there are."""
    return f"{counted(some.objects, 'object')} ({size_in_words(some.size)})"


def _add(whole: Report, report: Report) -> None:
    for name in ("done", "before", "other"):
        mine, more = getattr(whole, name), getattr(report, name)
        mine.objects += more.objects
        mine.size += more.size
    for outcome, count in report.left.items():
        whole.left[outcome] = whole.left.get(outcome, 0) + count
    whole.passes = max(whole.passes, report.passes)
    whole.complete = whole.complete and report.complete
