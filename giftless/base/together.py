"""Batch jobs that come at the same time, so that one turn of a thread does several."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.interfaces import IBlocking

T = TypeVar("T")
Item = TypeVar("Item")

#: A function, and what it is called with.
_Job = tuple[Callable[..., Any], tuple[Any, ...]]

#: The most short jobs of one group, and how long a group may take, in seconds, as far
#: as the last one tells: nobody shall wait for too many others.
GROUP_JOBS: Final = 64
GROUP_SECONDS: Final = 0.01

#: The most groups of short jobs that run at once.
GROUPS: Final = 16

#: How long short jobs wait for the group that began last, in seconds.
PATIENCE: Final = 0.05


def hand_over(outcomes: list[T]) -> list[T]:
    """Return the outcomes of a group, and empty the list that the group's frame has.

    A failure keeps the frames on the way to where it was caught.  If one of these kept the
    failure, neither would be freed, nor the files and bytes that these frames have, until
    Python looks for circles: thousands of requests later.
    """
    taken = outcomes[:]
    outcomes.clear()
    return taken


class _Group(Generic[Item, T]):
    """Takes items, one after the other, as long as some wait and it is not full.

    :param waiting: where it takes them from, with what waits for their results; others do, too.
    :param most: the most items.
    :ivar is_open: whether it takes items yet.
    """

    def __init__(self, waiting: deque[tuple[Item, Deferred[T]]], most: int) -> None:
        self._waiting = waiting
        self._most = most
        self._results: list[Deferred[T]] = []
        self.is_open = True

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self.is_open and self._waiting and len(self._results) < self._most:
            try:
                item, result = self._waiting.popleft()
            except IndexError:
                pass  # another was quicker
            else:
                self._results.append(result)
                return item
        self.is_open = False
        raise StopIteration

    @property
    def count(self) -> int:
        """How many items it has taken."""
        return len(self._results)

    def close(self) -> list[Deferred[T]]:
        """Take nothing more; returns what waits for the results, and keeps nothing of it."""
        self.is_open = False
        results, self._results = self._results, []
        return results


class Groups(Generic[Item, T]):
    """Works on items: those that come while others are worked on wait, then go together.

    Whoever comes while a group takes its items belongs to it.

    :param blocking: runs the groups.
    :param work: does what is to be done with a group, where it may block; takes all items,
        one after the other, and returns the result of each in order, a :class:`Failure`
        for one that has failed.  There are items as long as some wait, and the group is
        not full; it may get none, if other groups were quicker.
    :param most: the most items of a group.
    :param groups: the most groups that run at once.  One is enough while fewer than
        ``most`` items wait.
    :param patience: how long items wait for the group that began last, in seconds.
        Whoever comes later begins another, with all that wait.
    :param clock: tells the time, in seconds from any beginning.
    :ivar most: the most items of a group from now on.
    """

    def __init__(
        self,
        blocking: IBlocking,
        work: Callable[[Iterable[Item]], Sequence[T | Failure]],
        most: int,
        groups: int,
        patience: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blocking = blocking
        self._work = work
        self.most = most
        self._groups = groups
        self._patience = patience
        self._clock = clock
        #: Threads take from the left.
        self._waiting: deque[tuple[Item, Deferred[T]]] = deque()
        #: The groups that run, and when the last one began.
        self._running: list[_Group[Item, T]] = []
        self._began = 0.0

    def add(self, item: Item) -> Deferred[T]:
        """Let an item be worked on; returns what fires with its result."""
        result: Deferred[T] = Deferred()
        self._waiting.append((item, result))
        if not self._running or (len(self._running) < self._groups and self._is_time()):
            self._begin()
        return result

    def _is_time(self) -> bool:
        """Whether those who wait have waited for long enough, or are enough for one more."""
        if self._clock() - self._began > self._patience:
            return True
        takers = 1 + sum(group.is_open for group in self._running)
        return len(self._waiting) >= self.most * takers

    def _begin(self) -> None:
        self._began = self._clock()
        group = _Group(self._waiting, self.most)
        self._running.append(group)
        ended: Any = self._blocking.run(self._work, group)
        ended.addCallbacks(self._end, self._fail, (group,), None, (group,))

    def _end(self, outcomes: Sequence[T | Failure], group: _Group[Item, T]) -> None:
        is_full = len(self._waiting) >= self.most
        if is_full:
            # A thread works on while the results are dealt with.
            self._begin()
        # Otherwise who waits for these results may send more for the next group.
        for result, outcome in zip(group.close(), outcomes, strict=True):
            result.callback(outcome)
        self._running.remove(group)
        if self._waiting and not is_full:
            self._begin()

    def _fail(self, failure: Failure, group: _Group[Item, T]) -> None:
        if group.count == 0:
            # No thread has begun with it: those who would have been in it must not wait on.
            list(group)
        self._end([failure] * group.count, group)


@implementer(IBlocking)
class Together:
    """Runs short jobs, several in one turn of a thread.

    Asking a file system for what it has in memory takes microseconds, but going to a
    thread and back takes a hundred.  Jobs of a group run one after the other, so they
    are for the same disk; while that disk is slow, each begins at once, by itself.

    :param blocking: runs the groups.
    :param clock: tells the time, in seconds from any beginning.
    """

    def __init__(self, blocking: IBlocking, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._groups: Groups[_Job, Any] = Groups(
            blocking, self._run_all, GROUP_JOBS, GROUPS, PATIENCE, clock
        )

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Call ``function(*args)`` in a thread (see :class:`IBlocking`)."""
        return self._groups.add((function, args))

    def _run_all(self, jobs: Iterable[_Job]) -> list[Any]:
        """Run jobs one after the other, where they may block."""
        began = self._clock()
        outcomes: list[Any] = []
        for function, arguments in jobs:
            try:
                outcomes.append(function(*arguments))
            except Exception:
                outcomes.append(Failure())
        taken = self._clock() - began
        if count := len(outcomes):
            slowly = taken * GROUP_JOBS > GROUP_SECONDS * count
            self._groups.most = max(1, int(GROUP_SECONDS * count / taken)) if slowly else GROUP_JOBS
        return hand_over(outcomes)
