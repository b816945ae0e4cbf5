"""Wait for many things at once."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList

T = TypeVar("T")


async def settle(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at the same time, until all have ended.

    Each begins at once, in order, and runs until it waits for something.

    :returns: their results, in order.
    :raises Exception: what the first in order raised, if any did.
    """
    running = [Deferred.fromCoroutine(coroutine) for coroutine in work]
    # Cancelling this cancels all that still run.
    outcomes: list[Any] = await DeferredList(running, consumeErrors=True)
    for succeeded, outcome in outcomes:
        if not succeeded:
            outcome.raiseException()
    return [outcome for _, outcome in outcomes]
