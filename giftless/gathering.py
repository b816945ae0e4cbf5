"""Wait for many things at once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList, fail

from giftless.errors import LFSError

T = TypeVar("T")
Item = TypeVar("Item")


async def settle(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time, until all have ended.

    Each begins at once, in order, and runs until it waits for something.

    :returns: their results, in order.
    :raises Exception: what the first in order raised, if any did.
    """
    outcomes: list[Any] = [_begin(coroutine) for coroutine in work]
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


async def each(
    work: Callable[[Item], Coroutine[Any, Any, T]], items: Iterable[Item]
) -> list[T | LFSError]:
    """Do the same with many things at once.

    :returns: what comes of each, in order; the error, if it is what a client
        can be told.
    """

    async def attempt(item: Item) -> T | LFSError:
        try:
            return await work(item)
        except LFSError as error:
            return error

    return await settle(attempt(item) for item in items)


def _begin(coroutine: Coroutine[Any, Any, T]) -> T | Deferred[T]:
    """Run a coroutine until it waits for something.

    Many never do, and a Deferred costs more than what most of them do.

    :returns: its result if it has ended, else a Deferred of it.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except Exception:
        return fail()
    return Deferred.fromCoroutine(_go_on(coroutine, awaited))


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
