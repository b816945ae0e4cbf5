"""Run coroutines that wait for real sockets, inside plain tests.

The contracts in ``tests/contracts`` are written for stores that answer at
once.  Here whoever wants a result turns the reactor until there is one, so
that they hold stores behind HTTP too.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from giftless.base.http_client import KEPT_CONNECTIONS, http_client, quiet_pool
from giftless.interfaces import Environment
from tests.support.making import environment
from tests.support.processes import PATIENCE
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase
from tests.support.threads import running_threads

T = TypeVar("T")


class SpinningTestCase(CoroutineTestCase):
    """A test case that turns the reactor while it waits.

    :ivar pool: the connections of :meth:`environment`.
    :ivar threads: its threads.
    """

    def setUp(self) -> None:
        # Names are looked up in the reactor's own threads, which start with it;
        # it never really starts here.
        reactor.getThreadPool().start()
        self.addCleanup(reactor._stopThreadPool)
        self.threads = running_threads(self)
        self.pool = quiet_pool(reactor)
        self.pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self.addCleanup(self._close)
        super().setUp()

    def _close(self) -> None:
        self.run_now(self.pool.closeCachedConnections())

    def environment(self) -> Environment:
        """Return what a factory is given, with the real reactor."""
        return environment("", reactor, self.threads, http_client(reactor, self.pool))

    def spin(self, condition: Callable[[], object]) -> None:
        """Turn the reactor until something is the case."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain")
            reactor.iterate(0.01)

    def run_now(self, awaitable: Awaitable[T]) -> T:
        """See :meth:`tests.support.run.CoroutineTestCase.run_now`."""
        results: list[Any] = []
        self.start(awaitable).addBoth(results.append)
        self.spin(lambda: results)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        result: T = results[0]
        return result

    def successResultOf(self, deferred: Any) -> Any:
        """Wait for a result."""
        self._settle(deferred)
        return super().successResultOf(deferred)

    def failureResultOf(self, deferred: Any, *expected: Any) -> Failure:
        """Wait for a failure."""
        self._settle(deferred)
        return super().failureResultOf(deferred, *expected)

    def _settle(self, deferred: Deferred[Any]) -> None:
        self.spin(lambda: deferred.called and not deferred.paused)
