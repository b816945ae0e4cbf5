"""The reactor measures time with a clock that nobody can set."""

from __future__ import annotations

from unittest.mock import patch

from twisted.internet.epollreactor import EPollReactor
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.clock import use_monotonic_time


class MonotonicTimeTests(SynchronousTestCase):
    """A reactor of Twisted's, as a process has one."""

    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.addCleanup(self.close)
        use_monotonic_time(self.reactor)

    def close(self) -> None:
        """Free the reactor's descriptors."""
        for reader in self.reactor.removeAll():
            self.reactor._internalReaders.discard(reader)
            reader.connectionLost(None)
        self.reactor._poller.close()

    def test_a_timer_fires_in_time_after_the_monotonic_clock_only(self) -> None:
        fired: list[float] = []
        with patch("time.monotonic", lambda: 1000.0):
            use_monotonic_time(self.reactor)
            self.reactor.callLater(5, lambda: fired.append(self.reactor.seconds()))
            self.reactor.runUntilCurrent()
            self.assertEqual(self.reactor.timeout(), 5)
        with patch("time.monotonic", lambda: 1004.9):
            use_monotonic_time(self.reactor)
            self.reactor.runUntilCurrent()
            self.assertEqual(fired, [])
        with patch("time.monotonic", lambda: 1005.0):
            use_monotonic_time(self.reactor)
            self.reactor.runUntilCurrent()
            self.assertEqual(fired, [1005.0])
