"""Compare two stores without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from giftless.base.concurrency import settle
from giftless.interfaces import ListedObject
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Outcome as Found
from giftless.usecases.listing import listed
from giftless.usecases.migration.copier import Outcome
from giftless.usecases.migration.migrator import PAGE
from giftless.usecases.migration.runs import Left, Report, RunOptions, Sums

#: What it means for a move that an object of the new store is not as it should be.
_OUTCOMES: Final = {
    Found.WRONG: Outcome.WRONG,
    Found.UNREADABLE: Outcome.UNREADABLE,
    Found.UNKNOWN: Outcome.FAILED,
}


class Verifier:
    """Looks whether a store has all of another one.

    :param source: the store whose objects should be in the other one.
    :param target: the other one.
    :param examiner: verifies what is in the target.
    :param options: how it is done.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        examiner: Examiner,
        options: RunOptions,
    ) -> None:
        self._source = source
        self._target = target
        self._examiner = examiner
        self._options = options
        self._report = Report(1)

    async def run(self) -> Report:
        """Compare.

        :raises ServiceUnavailable: if a store does not say what it has.
        """
        await self._count(self._source, self._report.source)
        self._options.begins(1, self._report.source)
        self._report.source = Sums()
        for trash in self._options.trashes:
            async for objects in listed(self._source, None, PAGE, trash):
                await self._verify(objects)
        await self._count(self._target, self._report.target)
        return self._report

    async def _count(self, store: Any, sums: Sums) -> None:
        for trash in self._options.trashes:
            async for objects in listed(store, None, PAGE, trash):
                for item in objects:
                    sums.add(item.size)

    async def _verify(self, objects: Sequence[ListedObject]) -> None:
        rest = iter(objects)
        await settle(self._work(rest) for _ in range(self._options.jobs))

    async def _work(self, rest: Iterator[ListedObject]) -> None:
        for item in rest:
            self._report.source.add(item.size)
            (size,) = await self._target.sizes([item.key])
            if size == item.size:
                finding = await self._examiner.examine(item, True)
                if finding is None:
                    self._report.equal.add(item.size)
                    continue
                outcome, problem = _OUTCOMES[finding.outcome], finding.problem
            else:
                self._options.passed(item.size)
                outcome, problem = _compare(size)
            left = self._report.left
            left[outcome.value] = left.get(outcome.value, 0) + 1
            self._options.left(Left(item.key, outcome, problem))


def _compare(size: Any) -> tuple[Outcome, str]:
    if size is None:
        return Outcome.MISSING, "it is not in the new store"
    if isinstance(size, int):
        return Outcome.WRONG, f"it has {size} bytes in the new store"
    return Outcome.FAILED, str(size)
