"""What is counted of HTTP requests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.counts import MAX_SERIES
from giftless.monitoring.http import HTTPCounter
from tests.support.counting import Counted


class HTTPCounterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counted = Counted()
        self.counter = HTTPCounter(self.counted.metrics)

    def requests(self) -> dict[tuple[str, ...], float]:
        return self.counted.totals("giftless_http_requests_total")

    def test_requests_are_counted_by_route_method_and_status(self) -> None:
        for status in (200, 200, 404):
            self.counter.finished("objects/storage/{oid}", b"GET", status, 0.5)
        self.counter.finished("", b"GET", 404, 0)
        self.assertEqual(
            self.requests(),
            {
                ("objects/storage/{oid}", "GET", "200"): 2,
                ("objects/storage/{oid}", "GET", "404"): 1,
                ("none", "GET", "404"): 1,
            },
        )

    def test_their_durations_are_counted(self) -> None:
        for seconds in (0.0004, 2, 1e6):
            self.counter.finished("locks", b"POST", 201, seconds)
        numbers = self.counted.of("giftless_http_request_duration_seconds")[("locks", "POST")]
        self.assertEqual((sum(numbers[:-1]), numbers[0], numbers[-2]), (3, 1, 1))
        self.assertEqual(numbers[-1], 1000002.0004)

    def test_methods_that_clients_make_up_are_one(self) -> None:
        for number in range(2 * MAX_SERIES):
            self.counter.finished("", b"M%d" % number, 405, 0)
        self.assertEqual(self.requests(), {("none", "other", "405"): 2 * MAX_SERIES})
        self.assertEqual(len(self.counter._places), 0)
