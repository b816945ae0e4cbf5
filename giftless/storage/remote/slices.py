"""Go through many things without holding up the reactor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

T = TypeVar("T")
R = TypeVar("R")

#: After how many things the reactor has its turn.
SLICE: Final = 1000


async def for_each(function: Callable[[T], R], things: Iterable[T], clock: IReactorTime) -> list[R]:
    """Call a function that is quick with each of many things.

    :param clock: has its turn every :data:`SLICE` things.
    :returns: the results, in order.
    """
    results: list[R] = []
    rest = iter(things)
    while some := list(islice(rest, SLICE)):
        if results:
            await deferLater(clock, 0)
        results += map(function, some)
    return results
