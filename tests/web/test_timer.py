"""A time-out that is put off again and again."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.web.timer import Timer


class TimerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[float] = []
        self.timer = Timer(self.clock, lambda: self.expired.append(self.clock.seconds()))

    def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)

    def test_it_expires_once_in_time(self) -> None:
        self.timer.start(5)
        self.assertTrue(self.timer.running)
        self.advance(20)
        self.assertEqual(self.expired, [5])
        self.assertFalse(self.timer.running)

    def test_it_can_be_put_off(self) -> None:
        self.timer.start(5)
        for _ in range(10):
            self.advance(3)
            self.timer.start(5)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.advance(20)
        self.assertEqual(self.expired, [35])

    def test_it_can_be_brought_forward(self) -> None:
        self.timer.start(50)
        self.timer.start(5)
        self.advance(100)
        self.assertEqual(self.expired, [5])

    def test_it_can_be_stopped_and_started_again(self) -> None:
        self.timer.start(5)
        self.timer.stop()
        self.assertFalse(self.timer.running)
        self.advance(10)
        self.assertEqual((self.expired, self.clock.getDelayedCalls()), ([], []))
        self.timer.start(5)
        self.advance(10)
        self.assertEqual(self.expired, [15])

    def test_nothing_of_a_closed_one_remains(self) -> None:
        self.timer.start(5)
        self.timer.close()
        self.timer.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(10)
        self.assertEqual(self.expired, [])
