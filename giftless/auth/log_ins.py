"""Check a few passwords at once, and let the rest wait in a fair and bounded queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from giftless.auth.turns import busy
from giftless.interfaces import IBlocking

T = TypeVar("T")

#: How many hashes may wait.  At a quarter of a second each, those that wait longer than
#: clients do would be in vain.
MAX_WAITING: Final = 100

#: How many clients and accounts are remembered in the order of their turns.
_MAX_SERVED: Final = 1000


@dataclass(eq=False, slots=True)
class _Job(Generic[T]):
    network: str
    account: str
    work: tuple[Any, ...]
    done: Callable[[T], object]
    waiter: Deferred[T]


class LogIns(Generic[T]):
    """Runs jobs in threads, a few at once.

    Clients take turns, and the accounts of each client take turns, so that one that
    sends many does not hold up the others.

    :param blocking: runs the jobs.
    :param turns: how many run at once.
    :param most: how many more may wait.
    """

    def __init__(self, blocking: IBlocking, turns: int, most: int = MAX_WAITING) -> None:
        self._blocking = blocking
        self._free = turns
        self._most = most
        self._waiting: list[_Job[T]] = []
        self._turn = 0
        #: In which turn each client, and each of its accounts, was served last.
        self._served: dict[tuple[str, ...], int] = {}

    def run(
        self,
        network: str,
        account: str,
        done: Callable[[T], object],
        function: Callable[..., T],
        *args: Any,
    ) -> Deferred[T]:
        """Call ``function(*args)`` in a thread, when it is this client's turn.

        :param network: the client.
        :param account: what the client asks about.
        :param done: is given the result, also if nobody waits for it any more.
        :returns: the result.  If it is cancelled while it waits, it is never called.
            It fails with :class:`~giftless.errors.LogInsBusy` if there is no room.
        """
        waiter: Deferred[T] = Deferred(self._forget)
        job = _Job(network, account, (function, *args), done, waiter)
        if self._free:
            self._start(job)
        elif len(self._waiting) < self._most or self._make_room(network):
            self._waiting.append(job)
        else:
            waiter.errback(busy())
        return waiter

    def _start(self, job: _Job[T]) -> None:
        self._free -= 1
        self._turn += 1
        self._served[job.network,] = self._served[job.network, job.account] = self._turn
        Deferred.fromCoroutine(self._do(job)).addBoth(self._finish, job)

    async def _do(self, job: _Job[T]) -> T:
        result: T = await self._blocking.run(*job.work)
        job.done(result)
        return result

    def _finish(self, result: T | Failure, job: _Job[T]) -> None:
        self._free += 1
        if len(self._served) > _MAX_SERVED:
            self._served.clear()
        if self._waiting:
            # Of those that were served longest ago the one that waits longest.
            following = min(self._waiting, key=self._last_turn)
            self._waiting.remove(following)
            self._start(following)
        if not job.waiter.called:
            job.waiter.callback(result)

    def _last_turn(self, job: _Job[T]) -> tuple[int, int]:
        served = self._served.get
        return served((job.network,), 0), served((job.network, job.account), 0)

    def _make_room(self, network: str) -> bool:
        """Send away a job of the client that has most, if that is another one.

        :returns: whether there is room now.
        """
        counts: dict[str, int] = {}
        for job in self._waiting:
            counts[job.network] = counts.get(job.network, 0) + 1
        most = max(counts, key=counts.__getitem__)
        if counts[most] <= counts.get(network, 0) + 1:
            return False
        last = next(job for job in reversed(self._waiting) if job.network == most)
        self._waiting.remove(last)
        last.waiter.errback(busy())
        return True

    def _forget(self, waiter: Deferred[T]) -> None:
        """Drop the job of who has left, unless it runs."""
        self._waiting = [job for job in self._waiting if job.waiter is not waiter]
