"""Threads for a test, as a daemon has them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.threads import Threads
from tests.support.reactor import reactor


def running_threads(case: SynchronousTestCase, number: int = 4) -> Threads:
    """Start threads that are stopped when a test has ended.

    :param number: how many at most.
    """
    threads = Threads(reactor, number)
    threads.startService()
    case.addCleanup(threads.stopService)
    return threads
