"""Run many coroutines at once, or one function over many items without holding up the reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.errors import LFSError

T = TypeVar("T")
Item = TypeVar("Item")

#: After how many items :func:`for_each` lets the reactor run other events.
SLICE: Final = 1000


async def settle(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time, until all have ended.

    Each begins at once, in order, and runs until it waits for something.

    :returns: their results, in order.
    :raises Exception: what the first in order raised, if any did.
    """
    outcomes: list[Any] = [begin(coroutine) for coroutine in work]
    running = [outcome for outcome in outcomes if isinstance(outcome, Deferred)]
    if not running:
        return outcomes
    # Cancelling this cancels all that still run.
    settled = iter(await DeferredList(running, consumeErrors=True))
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Deferred):
            succeeded, outcomes[index] = next(settled)
            if not succeeded:
                outcomes[index].raiseException()
    return outcomes


def begin(coroutine: Coroutine[Any, Any, T]) -> T | Deferred[T]:
    """Run a coroutine until it waits for something.

    Many never do, and a Deferred costs more than what most of them do.

    :returns: its result if it has ended, else a Deferred of it, which cancels what it
        waits for.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except Exception:
        return fail()
    return Deferred.fromCoroutine(_go_on(coroutine, awaited))


async def each(
    work: Callable[[Item], Coroutine[Any, Any, T]], items: Iterable[Item]
) -> list[T | LFSError]:
    """Run a coroutine for each of many items, all at once.

    :returns: each one's result, in order; an :class:`LFSError` in place of the
        result if it raised one.
    """

    async def attempt(item: Item) -> T | LFSError:
        try:
            return await work(item)
        except LFSError as error:
            return error

    return await settle(attempt(item) for item in items)


async def for_each(
    function: Callable[[Item], T], things: Iterable[Item], clock: IReactorTime
) -> list[T]:
    """Call a quick function for each of many items.

    :param clock: the reactor, which runs other events after every :data:`SLICE` items.
    :returns: the results, in order.
    """
    results: list[T] = []
    rest = iter(things)
    while some := list(islice(rest, SLICE)):
        if results:
            await deferLater(clock, 0)
        results += map(function, some)
    return results


def _go_on(
    coroutine: Coroutine[Any, Any, T], awaited: Deferred[Any]
) -> Generator[Deferred[Any], Any, T]:
    """Run a coroutine that has begun to its end.

    :param awaited: what it waits for first.
    """
    try:
        while True:
            try:
                result = yield awaited
            except Exception as error:
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
