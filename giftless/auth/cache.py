"""Cache the answers of slow questions, and do once what several want at the same time.

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
        """Begin the errand, unless it runs already.

        :param do: what is done; it never fails.
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
