"""Bytes pass at no more than a certain rate."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.pace import Pace


class PaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.passed = 0
        self.taking: list[Deferred[None]] = []

    def take(self, pace: Pace, *counts: int) -> None:
        """Take one number of bytes after the other."""

        async def take() -> None:
            for count in counts:
                await pace.take(count)
                self.passed += count

        self.taking.append(Deferred.fromCoroutine(take()))

    def assert_near(self, expected: int, tolerance: int) -> None:
        """Compare how many bytes have passed."""
        self.assertLessEqual(abs(self.passed - expected), tolerance, self.passed)

    def test_nobody_waits_without_a_rate(self) -> None:
        self.take(Pace(None, self.clock), *[10**12] * 5)
        self.assertEqual(self.passed, 5 * 10**12)

    def test_a_rate_is_kept_over_time(self) -> None:
        self.take(Pace(1000.0, self.clock), *[100] * 100)
        for second in range(1, 10):
            self.clock.pump([0.01] * 100)
            self.assert_near(second * 1000, 201)
        self.clock.pump([0.01] * 100)
        self.assertEqual(self.passed, 10_000)

    def test_those_who_share_a_pace_share_the_rate(self) -> None:
        pace = Pace(1000.0, self.clock)
        for _ in range(4):
            self.take(pace, *[100] * 100)
        self.clock.pump([0.01] * 1000)
        self.assert_near(10_000, 501)

    def test_tiny_pieces_keep_the_rate_too(self) -> None:
        self.take(Pace(1000.0, self.clock), *[1] * 5000)
        self.clock.pump([0.01] * 400)
        self.assert_near(4000, 120)

    def test_nobody_hurries_after_a_pause(self) -> None:
        pace = Pace(1000.0, self.clock)
        self.take(pace, 1000)
        self.clock.advance(3600)
        self.passed = 0
        self.take(pace, *[500] * 10)
        self.clock.pump([0.1] * 10)
        self.assert_near(1000, 601)
