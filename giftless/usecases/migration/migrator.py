"""Copy everything from one store to another, pass by pass, until nothing is left to copy."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.base.concurrency import settle
from giftless.errors import ConfigError, ServiceUnavailable, StorageUnavailable
from giftless.interfaces import (
    IBlocking,
    IListing,
    IReadableStore,
    IWritableStore,
    ListedObject,
    ObjectPage,
)
from giftless.lfs.objects import ObjectKey
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Outcome as Found
from giftless.usecases.migration.copier import Copier, Outcome, is_there
from giftless.usecases.migration.journal import Journal
from giftless.usecases.migration.resurfaced import Resurfaced
from giftless.usecases.migration.runs import Left, Report, RunOptions, Sums

T = TypeVar("T")

#: How many objects are listed, and how many are compared, at once.
PAGE: Final = 1000
_TOGETHER: Final = 200

#: After how many passes a store that changes all the while is given up.
MAX_PASSES: Final = 6

#: How many objects may fail one after the other until a store counts as away.
MAX_FAILURES: Final = 20

#: How long to wait before a list is asked for again, in seconds.
_DELAYS: Final = (1.0, 3.0, 10.0, 30.0)

#: When it is worth while to run a migration again whose stores are away, in seconds.
_RETRY_AFTER: Final = 60

#: How often it is noted what was verified, in seconds.
_NOTED: Final = 1.0


class Migrator:
    """Moves objects.

    :param source: the old store.
    :param target: the new one.
    :param copier: copies single objects.
    :param examiner: verifies what is in the new store already.
    :param journal: what earlier runs have done.
    :param resurfaced: removes what is deleted meanwhile; ``None`` if nobody uses both stores.
    :param blocking: where the journal is written.
    :param clock: waits.
    :param options: how it is done.
    :raises ConfigError: if the old store cannot be listed or read, or the new one not be
        written or listed.
    """

    def __init__(
        self,
        source: object,
        target: object,
        copier: Copier,
        examiner: Examiner,
        journal: Journal,
        resurfaced: Resurfaced | None,
        blocking: IBlocking,
        clock: IReactorTime,
        options: RunOptions,
    ) -> None:
        check_stores(source, target)
        self._source: Any = source
        self._target: Any = target
        self._copier = copier
        self._examiner = examiner
        self._journal = journal
        self._resurfaced = resurfaced
        self._blocking = blocking
        self._clock = clock
        self._options = options
        self._report = Report()
        self._failures = 0
        self._told: set[ObjectKey] = set()
        self._deleted: list[ObjectKey] = []
        self._ended: list[ObjectKey] = []
        self._verified: list[ObjectKey] = []
        self._noted = -math.inf
        self._busy = False

    async def run(self) -> Report:
        """Copy until a pass finds everything copied; at least two passes.

        :raises InsufficientStorage: if the new store is full.
        :raises ServiceUnavailable: if a store does not answer, again and again.
        """
        await self._finish_killed_run()
        while self._report.passes < MAX_PASSES:
            copied = self._report.copied.objects
            await self._pass()
            unchanged = self._report.copied.objects == copied and not self._deleted
            await self._remove_deleted()
            if self._report.passes > 1 and unchanged and not self._may_succeed():
                break
        await self._for_all(self._target, self._count)
        return self._report

    def _may_succeed(self) -> bool:
        """Whether another pass may copy what this one could not."""
        return Outcome.FAILED.value in self._report.left

    async def _finish_killed_run(self) -> None:
        """Look at what an earlier run may have copied and not looked at once more."""
        begun = await self._blocking.run(self._journal.begun)
        for some in _divided(begun, _TOGETHER):
            there = await self._patiently(partial(self._source.sizes, some))
            copies = await self._patiently(partial(self._target.sizes, some))
            self._deleted += [
                key
                for key, size, copy in zip(some, there, copies, strict=True)
                if size is None and copy is not None
            ]
        await self._remove_deleted()
        await self._blocking.run(self._journal.end, begun, ())

    async def _remove_deleted(self) -> None:
        """Remove the copies of what was deleted just while they were made."""
        while self._deleted:
            some, self._deleted = self._deleted[:PAGE], self._deleted[PAGE:]
            if self._resurfaced is not None:
                await self._resurfaced.remove(some)
                self._report.removed += len(some)
            await self._blocking.run(self._journal.end, some, ())

    async def _pass(self) -> None:
        report = self._report
        report.passes += 1
        total = Sums()

        async def count(objects: Sequence[ListedObject]) -> None:
            for item in objects:
                total.add(item.size)

        await self._for_all(self._source, count)
        report.source, report.equal, report.left = Sums(), Sums(), {}
        self._options.begins(report.passes, total)
        await self._for_all(self._source, self._copy_page)

    async def _count(self, objects: Sequence[ListedObject]) -> None:
        for item in objects:
            self._report.target.add(item.size)

    async def _for_all(
        self, store: IListing, work: Callable[[Sequence[ListedObject]], Awaitable[None]]
    ) -> None:
        """Do something with all objects of a store, and of its trash if that moves."""
        for trash in self._options.trashes:
            cursor: str | None = None
            while True:
                ask: Callable[[], Awaitable[ObjectPage]] = partial(
                    store.list, None, cursor, PAGE, trash
                )
                page = await self._patiently(ask)
                await work(page.objects)
                cursor = page.next_cursor
                if cursor is None:
                    break

    async def _copy_page(self, objects: Sequence[ListedObject]) -> None:
        for some in _divided(objects, _TOGETHER):
            await self._copy_some(some)

    async def _copy_some(self, objects: Sequence[ListedObject]) -> None:
        wanted = await self._compare(objects)
        if not wanted:
            return
        await self._blocking.run(self._journal.begin, [item.key for item, _ in wanted])
        rest = iter(wanted)
        try:
            await settle(self._work(rest) for _ in range(self._options.jobs))
        finally:
            await self._note()

    async def _compare(
        self, objects: Sequence[ListedObject]
    ) -> Sequence[tuple[ListedObject, bool]]:
        """Choose what is to be done: each with whether the new store seems to have it."""
        keys = [item.key for item in objects]
        sizes = await self._patiently(partial(self._target.sizes, keys))
        known = await self._blocking.run(self._journal.verified, keys)
        wanted = []
        for item, size in zip(objects, sizes, strict=True):
            self._report.source.add(item.size)
            if size == item.size and item.key in known:
                self._done(item)
            else:
                wanted.append((item, size == item.size))
        return wanted

    def _done(self, item: ListedObject) -> None:
        self._report.equal.add(item.size)
        self._options.passed(item.size)

    async def _work(self, rest: Iterator[tuple[ListedObject, bool]]) -> None:
        """Do one object after the other, until all are done or one cannot be."""
        try:
            for item, seems_there in rest:
                await self._one(item, seems_there)
        except BaseException:
            # Nobody begins another one.
            for _ in rest:
                pass
            raise

    async def _one(self, item: ListedObject, seems_there: bool) -> None:
        key = item.key
        if seems_there:
            finding = await self._examiner.examine(item, True)
            if finding is None and await is_there(self._target, key):
                self._report.compared.add(item.size)
                self._report.equal.add(item.size)
                await self._end(key, True)
                return
            if finding is not None and finding.outcome is Found.UNKNOWN:
                await self._leave(item, Outcome.FAILED, finding.problem)
                return
        outcome, problem = await self._copier.copy(key, seems_there)
        if outcome is Outcome.COPIED:
            self._failures = 0
            self._report.copied.add(item.size)
            self._report.equal.add(item.size)
            await self._end(key, True)
        elif outcome is Outcome.GONE:
            self._report.source.objects -= 1
            self._report.source.bytes -= item.size
            await self._end(key, False)
        elif outcome is Outcome.RESURFACED:
            self._report.source.objects -= 1
            self._report.source.bytes -= item.size
            # It stays noted as begun until its copy is removed.
            self._deleted.append(key)
        else:
            await self._leave(item, outcome, problem)

    async def _leave(self, item: ListedObject, outcome: Outcome, problem: str) -> None:
        """Leave an object where it is."""
        left = self._report.left
        left[outcome.value] = left.get(outcome.value, 0) + 1
        self._options.passed(item.size)
        if item.key not in self._told:
            self._told.add(item.key)
            self._options.left(Left(item.key, outcome, problem))
        await self._end(item.key, False)
        self._failures = self._failures + 1 if outcome is Outcome.FAILED else 0
        if self._failures >= MAX_FAILURES:
            raise StorageUnavailable(
                f"{self._failures} objects in a row could not be copied, the last one because:"
                f" {problem}",
                _RETRY_AFTER,
            )

    async def _end(self, key: ObjectKey, verified: bool) -> None:
        self._ended.append(key)
        if verified:
            self._verified.append(key)
        if not self._busy and self._clock.seconds() - self._noted >= _NOTED:
            await self._note()

    async def _note(self) -> None:
        """Note in the journal what has ended."""
        self._busy = True
        try:
            ended, self._ended = self._ended, []
            verified, self._verified = self._verified, []
            await self._blocking.run(self._journal.end, ended, verified)
            self._noted = self._clock.seconds()
        finally:
            self._busy = False

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask a store for what nothing can be done without.

        :raises ServiceUnavailable: if it does not answer, again and again.
        """
        for delay in _DELAYS:
            try:
                return await ask()
            except ServiceUnavailable:
                await deferLater(self._clock, delay)
        return await ask()


def check_stores(source: object, target: object) -> None:
    """Make sure that objects can move.

    :raises ConfigError: if they cannot.
    """
    for store, path, needs in (
        (source, "FROM", {IListing: "list", IReadableStore: "read"}),
        (target, "TO", {IListing: "list", IWritableStore: "write"}),
    ):
        for interface, does in needs.items():
            if not interface.providedBy(store):
                raise ConfigError(path, f"this command cannot {does} objects there")


def _divided(things: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(things)
    while some := list(islice(rest, size)):
        yield some
