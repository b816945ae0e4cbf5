"""Run blocking work in threads beside the reactor."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.interfaces import IBlocking

T = TypeVar("T")

#: A job: what waits for its result, and what is to be called with what.
_Job = tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]

#: Where a thread waits for a job of its own; ``None`` ends it.
_Inbox = SimpleQueue[_Job | None]


@implementer(IBlocking)
class Threads(Service):
    """Threads that live as long as the service does; started as they are needed.

    Twisted's own pool takes four times as much of the processor for a job, and
    most jobs here are short.  A job goes to the thread that has rested least: one that is
    still warm, so that a single thread does what comes one after the other.

    :param reactor: the reactor to come back to.
    :param size: the most threads that run at once.
    :param prepare: is called in each thread before its first job; must not raise.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        size: int,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._reactor = reactor
        self._size = size
        self._prepare = prepare
        #: Guards the jobs that wait, and where those threads look for one that rest.
        self._lock = threading.Lock()
        self._jobs: deque[_Job | None] = deque()
        self._resting: list[_Inbox] = []
        self._threads: list[threading.Thread] = []
        #: How many jobs wait or run.
        self._open = 0
        #: What has ended and is not handed over, and whether the reactor was told.
        self._ended: deque[tuple[Deferred[Any], Any]] = deque()
        self._woken = False

    def startService(self) -> None:
        """Let the threads start; work that came earlier has been queued."""
        super().startService()
        for _ in range(min(self._open, self._size)):
            self._start_thread()

    def stopService(self) -> None:
        """Wait for the work that there is, then end the threads."""
        super().stopService()
        for _ in self._threads:
            self._give(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Call ``function(*args)`` in a thread (see :class:`IBlocking`)."""
        self._open += 1
        if self.running and len(self._threads) < min(self._open, self._size):
            self._start_thread()
        result: Deferred[T] = Deferred()
        self._give((result, function, args))
        return result

    def _give(self, job: _Job | None) -> None:
        with self._lock:
            if not self._resting:
                self._jobs.append(job)
                return
            inbox = self._resting.pop()
        inbox.put(job)

    def _take(self, inbox: _Inbox) -> None:
        """Put the job that has waited longest into an inbox, or let its thread rest."""
        with self._lock:
            if not self._jobs:
                self._resting.append(inbox)
                return
            job = self._jobs.popleft()
        inbox.put(job)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="giftless", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        if self._prepare is not None:
            self._prepare()
        inbox: _Inbox = SimpleQueue()
        self._take(inbox)
        while (job := inbox.get()) is not None:
            result, function, args = job
            try:
                outcome: Any = function(*args)
            except BaseException:
                outcome = Failure()
            self._ended.append((result, outcome))
            # Before the reactor is told: what it has next is for this thread.
            self._take(inbox)
            if not self._woken:
                # Results that come before the reactor is awake need no call of their own.
                self._woken = True
                self._reactor.callFromThread(self._finish)
            # Nothing of it is kept while this waits for the next.
            del job, result, function, args, outcome

    def _finish(self) -> None:
        """Hand over the results that are there."""
        # Before they are counted: who adds one now calls again.
        self._woken = False
        # No more than these: the reactor has other things to do.
        for _ in range(len(self._ended)):
            result, outcome = self._ended.popleft()
            self._open -= 1
            result.callback(outcome)
