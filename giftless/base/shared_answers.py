"""Ask once for all who want to know the same thing at the same time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: How long after a question the next one about the same thing is asked, in seconds, while that
#: has no answer yet: nobody waits for two answers of a server that is far away.
PATIENCE: Final = 0.01


class Shared(Generic[K, V]):
    """Runs a question once for all who ask it at the same time."""

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[V]]] = {}
        self._running: dict[K, Deferred[None]] = {}

    def __contains__(self, key: K) -> bool:
        """Whether a question is being answered just now."""
        return key in self._waiting

    def ask(self, key: K, question: Coroutine[Any, Any, V]) -> Deferred[V]:
        """Answer ``question``, unless the same one is being answered already.

        :param key: what the question is about.
        :param question: a coroutine that has not started; it is started, or
            closed.  It is cancelled when nobody waits for it any more.
        :returns: the answer, or the error that the question ended with; who cancels
            it does not wait any more.
        """
        mine: Deferred[V] = Deferred(lambda _: self._leave(key, mine))
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = [mine]
            running = Deferred.fromCoroutine(question).addBoth(self._answer, waiting, key)
            if not running.called:
                self._running[key] = running
        else:
            question.close()
            waiting.append(mine)
        return mine

    def _leave(self, key: K, waiter: Deferred[V]) -> None:
        waiting = self._waiting.get(key, [])
        if waiter not in waiting:
            return
        waiting.remove(waiter)
        if not waiting:
            # Who asks from now on gets an answer of their own.
            del self._waiting[key]
            self._running.pop(key).cancel()

    def _answer(self, result: Any, waiting: list[Deferred[V]], key: K) -> None:
        if self._waiting.get(key) is waiting:
            del self._waiting[key]
            self._running.pop(key, None)
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(result)


class FreshAnswers(Generic[K, V]):
    """Gives several the same answer, but nobody one to a question from before they came.

    Those who come while a question about the same thing is under way share the next one.  That
    is asked when the last one has been answered, or :data:`PATIENCE` after it was asked.

    :param ask: asks about a thing.
    :param clock: waits.
    """

    def __init__(self, ask: Callable[[K], Awaitable[V]], clock: IReactorTime) -> None:
        self._ask = ask
        self._clock = clock
        self._shared: Shared[_Question, V] = Shared()
        #: The last question about each thing, for as long as it has no answer.
        self._last: dict[K, _Question] = {}

    def get(self, key: K) -> Deferred[V]:
        """Ask about a thing; see :meth:`Shared.ask` for what is returned."""
        last = self._last.get(key)
        if last is not None and last.asked is None:
            return self._shared.ask(last, self._answer(key, last, None))
        question = self._last[key] = _Question()
        return self._shared.ask(question, self._answer(key, question, last))

    async def _answer(self, key: K, question: _Question, last: _Question | None) -> V:
        """Ask a question.

        :param last: the one that was asked before, and had no answer when this one was wanted.
        """
        try:
            if last is not None:
                await last.over(self._clock)
            question.asked = self._clock.seconds()
            return await self._ask(key)
        finally:
            question.end()
            if self._last.get(key) is question:
                del self._last[key]


class _Question:
    """A question.

    :ivar asked: when it was asked, as its clock tells; ``None`` while it waits for its turn.
    """

    def __init__(self) -> None:
        self.asked: float | None = None
        self._next: Deferred[None] | None = None

    async def over(self, clock: IReactorTime) -> None:
        """Wait until the next question may be asked; only that waits."""
        assert self.asked is not None, "before that, it is shared"
        turn = self._next = Deferred()
        timer = clock.callLater(max(0.0, self.asked + PATIENCE - clock.seconds()), self.end)
        try:
            await turn
        finally:
            self._next = None
            if timer.active():
                timer.cancel()

    def end(self) -> None:
        """Let the next question be asked."""
        if self._next is not None and not self._next.called:
            self._next.callback(None)
