"""What is counted of sessions of SSH."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.monitoring.ssh import SSHCounter
from tests.support.counting import Counted


class SSHCounterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counted = Counted()
        self.counter = SSHCounter(self.counted.metrics)

    def test_open_sessions_are_counted(self) -> None:
        for _ in range(3):
            self.counter.opened()
        self.counter.closed()
        self.assertEqual(self.counted.totals("giftless_ssh_sessions"), {(): 2})

    def test_requests_are_counted_by_command_and_status(self) -> None:
        for status in (200, 200, 403):
            self.counter.finished("put-object", status, 0.5)
        self.counter.finished("", 400, 0)
        self.assertEqual(
            self.counted.totals("giftless_ssh_requests_total"),
            {("put-object", "200"): 2, ("put-object", "403"): 1, ("other", "400"): 1},
        )
        numbers = self.counted.of("giftless_ssh_request_duration_seconds")[("put-object",)]
        self.assertEqual((sum(numbers[:-1]), numbers[-1]), (3, 1.5))
