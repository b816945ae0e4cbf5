"""Where blocking work is done: a pool of worker threads beside the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from giftless.interfaces import IBlocking

T = TypeVar("T")


@implementer(IBlocking)
class Threads(Service):
    """A thread pool that lives as long as the service does.

    :param reactor: the reactor to come back to.
    :param size: the most threads that run at once.
    """

    def __init__(self, reactor: IReactorFromThreads, size: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name="giftless")

    def startService(self) -> None:
        """Let the threads start; work that came earlier has been queued."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """Wait for the work that runs, then end the threads."""
        super().stopService()
        self._pool.stop()

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Call ``function(*args)`` in a thread (see :class:`IBlocking`)."""
        return deferToThreadPool(self._reactor, self._pool, function, *args)
