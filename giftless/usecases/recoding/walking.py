"""Go through the objects of a store, and do something with some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Final, Literal, Protocol

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.base.concurrency import settle
from giftless.errors import (
    LFSError,
    ObjectDamaged,
    ObjectSealed,
    ObjectUnreadable,
    ServiceUnavailable,
)
from giftless.interfaces import ListedObject
from giftless.lfs.objects import ObjectKey
from giftless.usecases.fsck.places import Places

#: How long to wait before another pass, in seconds: until each process knows a new key, and
#: has stored what it began before.
BETWEEN_PASSES: Final = 2.0

#: How many passes there are at most.
MOST_PASSES: Final = 10

#: How many objects in a row may fail until nothing else is tried.
MOST_FAILURES: Final = 20


#: Why nothing is to be done with an object: it was done before, or it is of another kind.
Reason = Literal["before", "other"]

#: What is seen of an object at one look: a word that its work knows, ``None`` if it is absent,
#: or an error.
Seen = str | LFSError | None


class Sum(msgspec.Struct):
    """Some objects.

    :ivar size: how many bytes they have together, as clients know them.
    """

    objects: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count an object."""
        self.objects += 1
        self.size += size


class Left(msgspec.Struct, frozen=True):
    """An object with which nothing could be done.

    :ivar outcome: ``damaged``, ``unreadable`` or ``failed``, or what else its work says.
    :ivar problem: why, in words.
    """

    key: ObjectKey
    outcome: str
    problem: str


class Report(msgspec.Struct):
    """What a run has done.

    :ivar done: with what something was done, or is to be.
    :ivar before: with what it was done before this run.
    :ivar other: what it does not concern.
    :ivar left: how many there are with which nothing could be done, by outcome.
    :ivar passes: how often the store was gone through.
    :ivar complete: whether all was gone through, and nothing is left.
    """

    done: Sum = msgspec.field(default_factory=Sum)
    before: Sum = msgspec.field(default_factory=Sum)
    other: Sum = msgspec.field(default_factory=Sum)
    left: dict[str, int] = msgspec.field(default_factory=dict)
    passes: int = 0
    complete: bool = False


class Work(Protocol):
    """Looks at objects, and stores some of them anew."""

    async def look(self, keys: Sequence[ObjectKey]) -> Sequence[Seen]:
        """Look at objects; at least one.

        :returns: what is seen of each, in order.
        :raises LFSError: if nothing can be seen now.
        """

    async def judge(self, listed: ListedObject, seen: str) -> Reason | None:
        """Tell what is to be done with an object.

        :param seen: what :meth:`look` has returned for it.
        :returns: why nothing is to be done with it; ``None`` if something is.
        :raises LFSError: if that cannot be told.
        """

    async def do(self, listed: ListedObject) -> bool:
        """Store an object anew, unless that was done meanwhile or the object is gone.

        :returns: whether it was done.
        :raises LFSError: if that is impossible.
        """


class CannotGoOn(Exception):
    """So many objects have failed that the store is to blame; the text says how."""


class Walk:
    """Goes through a store.

    :param places: the parts of it.
    :param clock: waits between passes.
    :param jobs: how many objects are worked on at once.
    :param passed: is told of each object that was looked at.
    :param left: is told of what nothing could be done with.
    """

    def __init__(
        self,
        places: Places,
        clock: IReactorTime,
        jobs: int,
        passed: Callable[[ListedObject], object],
        left: Callable[[Left], object],
    ) -> None:
        self._places = places
        self._clock = clock
        self._jobs = jobs
        self._passed = passed
        self._left = left
        self._failures = 0

    async def run(self, work: Work, report: Report, once: bool = False) -> None:
        """Go through the store until a pass finds nothing to do.

        :param report: where all is counted.
        :param once: whether there is one pass in any case.
        :raises CannotGoOn: if one object after the other fails.
        :raises LFSError: if the store cannot be listed.
        """
        while True:
            report.passes += 1
            count = report.done.objects
            report.left.clear()
            await self._pass(work, report)
            if once or report.done.objects == count or report.passes == MOST_PASSES:
                report.complete = not report.left and report.passes < MOST_PASSES
                return
            await deferLater(self._clock, BETWEEN_PASSES)

    async def _pass(self, work: Work, report: Report) -> None:
        for place in self._places.all:
            async with aclosing(self._places.pages(place)) as pages:
                async for page in pages:
                    keys = [listed.key for listed in page.objects]
                    looks = await work.look(keys) if keys else ()
                    rest = iter(zip(page.objects, looks, strict=True))
                    await settle(self._each(rest, work, report) for _ in range(self._jobs))

    async def _each(
        self,
        rest: Iterator[tuple[ListedObject, Seen]],
        work: Work,
        report: Report,
    ) -> None:
        for listed, seen in rest:
            try:
                await self._one(listed, seen, work, report)
                self._failures = 0
            except LFSError as error:
                outcome = _outcome(error)
                report.left[outcome] = report.left.get(outcome, 0) + 1
                self._left(Left(listed.key, outcome, error.message))
                self._failures += outcome == "failed"
                if self._failures >= MOST_FAILURES:
                    raise CannotGoOn(
                        f"{MOST_FAILURES} objects in a row have failed, the last one with:"
                        f" {error.message}"
                    ) from None
            self._passed(listed)

    async def _one(self, listed: ListedObject, seen: Seen, work: Work, report: Report) -> None:
        if isinstance(seen, LFSError):
            raise seen
        if seen is None:  # deleted since it was listed
            return
        reason = await work.judge(listed, seen)
        if reason is None:
            if await work.do(listed):
                report.done.add(listed.size)
        elif report.passes == 1:
            # What a later pass finds done was done by this run.
            some: Sum = getattr(report, reason)
            some.add(listed.size)


def _outcome(error: LFSError) -> str:
    if isinstance(error, ObjectDamaged):
        return "damaged"
    if isinstance(error, ObjectUnreadable | ObjectSealed):
        return "unreadable"
    return "failed" if isinstance(error, ServiceUnavailable) else "refused"
