"""Signals that end the daemon: the first one counts, and is handled in its turn."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.ending import end_once


class Turns:
    """A reactor that does what it is asked for when a test says so."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:
        self._calls.append(lambda: function(*args))

    def advance(self) -> None:
        """Do all of it."""
        calls, self._calls = self._calls, []
        for call in calls:
            call()


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ended: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, lambda number, *_: self.ended.append(number))
            self.addCleanup(signal.signal, number, before)
        self.reactor = Turns()

    def test_the_first_signal_is_the_last(self) -> None:
        end_once(self.reactor)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        self.assertEqual(self.ended, [])
        self.reactor.advance()
        signal.raise_signal(signal.SIGINT)
        self.reactor.advance()
        self.assertEqual(self.ended, [signal.SIGTERM])

    def test_what_is_ignored_stays_so(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_once(self.reactor)
        signal.raise_signal(signal.SIGINT)
        self.reactor.advance()
        self.assertEqual(self.ended, [])
