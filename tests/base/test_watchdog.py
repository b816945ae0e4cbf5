"""Tests for :mod:`giftless.base.watchdog`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.watchdog import Watchdog


class WatchdogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.acts: list[float] = []
        self.watchdog = Watchdog(self.clock, 10, lambda: self.acts.append(self.clock.seconds()))

    def test_it_is_idle_until_it_is_started(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.watchdog.stop()
        self.assertFalse(self.watchdog.expired)

    def test_it_acts_once_after_too_long(self) -> None:
        self.watchdog.start()
        self.clock.advance(9)
        self.assertEqual((self.acts, self.watchdog.expired), ([], False))
        self.clock.advance(1)
        self.clock.advance(100)
        self.assertEqual((self.acts, self.watchdog.expired), ([10], True))
        self.watchdog.stop()

    def test_progress_gives_it_more_time(self) -> None:
        self.watchdog.start()
        for _ in range(5):
            self.clock.advance(9)
            self.watchdog.progress()
        self.assertEqual(self.acts, [])
        self.clock.pump([5] * 4)
        self.assertEqual(len(self.acts), 1)
        self.assertLessEqual(self.acts[0], 45 + 20)

    def test_starting_again_counts_anew(self) -> None:
        self.watchdog.start()
        self.watchdog.progress()
        self.clock.advance(9)
        self.watchdog.start()
        self.clock.advance(9)
        self.assertEqual(self.acts, [])
        self.clock.advance(1)
        self.assertEqual(self.acts, [19])

    def test_once_stopped_it_does_not_act(self) -> None:
        self.watchdog.start()
        self.watchdog.stop()
        self.watchdog.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.acts, [])
