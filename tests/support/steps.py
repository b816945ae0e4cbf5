"""Let several sides take turns, in every order that there is.

Each side works with a store and a catalogue of its own, which stand for the same ones: every
call waits until the side has its turn, and is then done at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy


class Side:
    """Somebody who does something, step by step.

    :param name: what it is called when a test fails.
    :param clock: the time that it waits for.
    :ivar steps: what it has done, the names of the methods it has called.
    :ivar result: what its work has resulted in.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = SideClock(clock)
        self.steps: list[str] = []
        self.result: Any = None
        self._turn: Deferred[None] | None = None
        self._work: Deferred[Any] | None = None
        self.ended = False

    def gated(self, part: Any) -> Any:
        """Return a part whose methods wait for this side's turn."""
        return _Gated(part, self)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin to work, up to the first step."""
        self._work = Deferred.fromCoroutine(work)
        self._work.addBoth(self._end)

    @property
    def can_go(self) -> bool:
        """Whether it waits for its turn."""
        return self._turn is not None

    @property
    def sleeps(self) -> bool:
        """Whether it waits for the time."""
        return not self.ended and self._turn is None

    def go(self) -> None:
        """Do one step."""
        turn, self._turn = self._turn, None
        assert turn is not None
        turn.callback(None)

    def kill(self) -> None:
        """Never go on."""
        self.ended = True
        self._turn = None
        self.clock.stop()

    async def turn(self, step: str) -> None:
        """Wait for the turn to do something."""
        assert self._turn is None, f"{self.name} does two things at once"
        self._turn = Deferred()
        await self._turn
        self.steps.append(step)

    def _end(self, result: Any) -> None:
        self.ended = True
        if isinstance(result, Failure):
            if result.check(CancelledError):
                return
            self.result = result.value
        else:
            self.result = result


class SideClock:
    """A clock whose calls end when a side is killed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: list[Any] = []

    def seconds(self) -> float:
        """Return the time."""
        return self._clock.seconds()

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any) -> Any:
        """Call something later."""
        call = self._clock.callLater(delay, function, *args)
        self._calls.append(call)
        return call

    def stop(self) -> None:
        """Call nothing any more."""
        for call in self._calls:
            if call.active():
                call.cancel()


class _Gated:
    def __init__(self, part: Any, side: Side) -> None:
        self._part = part
        self._side = side
        directlyProvides(self, providedBy(part))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        async def call(*args: Any, **named: Any) -> Any:
            await self._side.turn(name)
            return await method(*args, **named)

        return call


class Choices:
    """Decides who goes on each time: all possibilities, one after the other."""

    def __init__(self) -> None:
        #: Which was chosen of how many, in order.
        self._made: list[tuple[int, int]] = []
        self._planned: Sequence[int] = ()

    def choose(self, count: int) -> int:
        """Choose one of so many."""
        number = len(self._made)
        chosen = self._planned[number] if number < len(self._planned) else 0
        self._made.append((chosen, count))
        return chosen

    def next(self) -> bool:
        """Prepare for the next possibility; returns whether there is one."""
        while self._made and self._made[-1][0] + 1 == self._made[-1][1]:
            self._made.pop()
        if not self._made:
            return False
        last, _ = self._made[-1]
        self._planned = [*(chosen for chosen, _ in self._made[:-1]), last + 1]
        self._made = []
        return True


class Chances(Choices):
    """Decides by chance, the same in each run.

    :param seed: tells chances apart.
    """

    def __init__(self, seed: str) -> None:
        super().__init__()
        self._dice = random.Random(seed)

    def choose(self, count: int) -> int:
        """Choose one of so many."""
        return self._dice.randrange(count)


def orders(chances: int, seed: str) -> Iterator[Choices]:
    """Yield choices.

    :param chances: how many are tried by chance; 0 for all that there are.
    :param seed: tells chances apart.
    """
    for number in range(chances):
        yield Chances(f"{seed} {number}")
    if not chances:
        choices = Choices()
        yield choices
        while choices.next():
            yield choices


def take_turns(
    sides: Sequence[Side], clock: Clock, choices: Choices, lives: Mapping[str, int], poll: float
) -> None:
    """Let sides work until all have ended.

    :param lives: after how many steps a side is killed, by its name.
    :param poll: how far time goes on when nobody can do anything else.
    """
    for _ in range(1000):
        for side in sides:
            if not side.ended and len(side.steps) >= lives.get(side.name, 1000):
                side.kill()
        ready = [side for side in sides if side.can_go]
        sleeping = [side for side in sides if side.sleeps]
        if ready:
            ready[choices.choose(len(ready)) if len(ready) > 1 else 0].go()
        elif sleeping:
            clock.advance(poll)
        else:
            return
    raise AssertionError("it never ends: " + "; ".join(f"{s.name}: {s.steps}" for s in sides))
