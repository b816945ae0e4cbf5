"""Threads for a test: those that a daemon has, and those that work beside the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

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


@contextlib.contextmanager
def working_beside(work: Sequence[Callable[[threading.Event], object]]) -> Iterator[None]:
    """Let threads work while something else is done.

    :param work: what each of them does until the event is set that it is given.
    :raises Exception: at the end, what ended one of them early.
    """
    over = threading.Event()
    with ThreadPoolExecutor(len(work)) as pool:
        running = [pool.submit(each, over) for each in work]
        try:
            yield
        finally:
            over.set()
    for each in running:
        each.result()
