"""Cache the answers of slow questions, and run each question once at a time.

Authenticators compute slow hashes and ask other servers.  Every request of a push
would do that again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TTLCache(Generic[K, V]):
    """A bounded table whose entries expire.

    :param size: the most entries; the one that has been unused for longest
        makes room.
    :param clock: tells the time.
    """

    def __init__(self, size: int, clock: IReactorTime) -> None:
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return what is remembered; ``None`` if nothing is, or no longer."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires, value = entry
        if self._clock.seconds() >= expires:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V, ttl: float) -> None:
        """Remember ``value`` for ``ttl`` seconds."""
        self._entries[key] = (self._clock.seconds() + ttl, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class Errand:
    """Does a thing once for all who want it at the same time, also when they leave.

    :ivar waiting: who waits for its end.
    """

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    def join(self, do: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """Begin it, unless it is being done.

        :param do: does it; it never fails.
        :returns: fires at its end; who cancels it does not wait any more.
        """
        mine: Deferred[None] = Deferred()
        self.waiting.append(mine)
        if len(self.waiting) == 1:
            Deferred.fromCoroutine(do()).addBoth(self._tell)
        return mine

    def _tell(self, _: object) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)


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
