"""What has been done in the last seconds, hour and day."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.metrics.tally import Tally
from giftless.monitoring.http import HTTPCounter
from giftless.monitoring.overview import CauseCount, Rates, Totals
from giftless.runtime.admin.history import History, Window
from tests.runtime.admin.support import DATE, metrics_of


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        # Amid a minute and a quarter of an hour.
        self.clock.advance(1810)
        self.tally = Tally()
        self.metrics = metrics_of(self.tally)
        self.requests = HTTPCounter(self.metrics)
        self.history = History(self.tally.sums, self.clock)

    def request(self, status: int, number: int = 1) -> None:
        for _ in range(number):
            self.requests.finished("objects/batch", b"POST", status, 0.1)

    def later(self, seconds: float) -> None:
        """Let time pass, and read the counters."""
        self.clock.advance(seconds)
        self.history.read()

    def test_requests_are_told_apart_by_their_status(self) -> None:
        for status, number in (
            (200, 7),
            (206, 1),
            (404, 2),
            (401, 1),
            (499, 5),
            (500, 3),
            (507, 1),
        ):
            self.request(status, number)
        self.history.read()
        self.assertEqual(self.history.totals, Totals(requests=20, errors=4, refused=3))

    def test_bytes_and_objects_of_all_workers_are_added_up(self) -> None:
        for metrics in (self.metrics, metrics_of(self.tally)):
            metrics.bytes.add(("upload", "basic"), 100)
            metrics.bytes.add(("upload", "multipart"), 1000)
            metrics.bytes.add(("download", "basic"), 5)
            metrics.batch_objects.add(("upload", "transfer"), 3)
            metrics.batch_objects.add(("download", "refused"), 1)
            metrics.uploads.add((), 2)
        self.history.read()
        self.assertEqual(
            self.history.totals, Totals(uploaded_bytes=2200, downloaded_bytes=10, objects=8)
        )
        self.assertEqual(self.history.uploads, 4)

    def test_rates_are_those_of_the_last_seconds(self) -> None:
        self.assertEqual(self.history.rates, Rates())
        self.request(200, 10)
        self.later(5)
        self.assertEqual(self.history.rates.requests, 2.0)
        self.request(500, 20)
        self.later(5)
        self.assertEqual((self.history.rates.requests, self.history.rates.errors), (3.0, 2.0))
        self.later(5)
        self.assertEqual(self.history.rates.requests, 2.0)
        self.later(5)
        self.assertEqual(self.history.rates, Rates())

    def test_rates_are_the_mean_of_a_longer_time_if_nobody_has_read_meanwhile(self) -> None:
        self.later(0)
        self.request(200, 100)
        self.later(50)
        self.assertEqual(self.history.rates.requests, 2.0)

    def test_who_looks_has_the_counters_read_but_not_all_the_time(self) -> None:
        self.request(200)
        self.history.look()
        self.assertEqual(self.history.totals.requests, 0)
        self.clock.advance(1)
        self.history.look()
        self.assertEqual(self.history.totals.requests, 1)

    def test_the_last_hour_by_minutes(self) -> None:
        self.request(200, 1)
        self.later(0)
        self.request(404, 2)
        self.later(50)
        self.request(500, 4)
        self.later(60)
        hour = self.history.hour(DATE)
        self.assertEqual((hour.step, len(hour.requests)), (60, 60))
        self.assertEqual(hour.requests[-4:], [0, 1, 2, 4])
        self.assertEqual(hour.refused[-4:], [0, 0, 2, 0])
        self.assertEqual(hour.errors[-4:], [0, 0, 0, 4])
        # It is 1920: the running minute has just begun.
        self.assertEqual(hour.until, DATE + 60)
        self.clock.advance(3540)
        self.assertEqual(self.history.hour(DATE).requests, [4] + [0] * 59)
        self.clock.advance(60)
        self.assertEqual(self.history.hour(DATE).requests, [0] * 60)

    def test_the_last_day_by_quarters_of_an_hour(self) -> None:
        for _ in range(200):
            self.request(200, 2)
            self.later(450)
        day = self.history.day(DATE)
        self.assertEqual((day.step, len(day.requests)), (900, 96))
        self.assertEqual(day.requests[:95], [4] * 95)

    def test_causes_are_told_the_most_frequent_first(self) -> None:
        count = self.metrics.refusals.add
        count(("rare",), 1)
        count(("old",), 9)
        self.later(0)
        self.clock.advance(2 * 3600)
        count(("often",), 5)
        count(("rare",), 1)
        self.later(0)
        self.assertEqual(
            self.history.causes(),
            [
                CauseCount("often", 5, 5, 5),
                CauseCount("rare", 1, 2, 2),
                CauseCount("old", 0, 9, 9),
            ],
        )
        self.later(25 * 3600)
        self.assertEqual(self.history.causes()[0], CauseCount("old", 0, 0, 9))

    def test_no_series_is_forgotten_when_its_worker_is_gone(self) -> None:
        counted = self.tally.open()
        self.request(200, 3)
        self.later(5)
        self.tally.retire(counted)
        self.later(5)
        self.assertEqual(self.history.totals.requests, 3)
        self.assertEqual(sum(self.history.hour(DATE).requests), 3)


class WindowTests(SynchronousTestCase):
    def test_it_holds_no_more_steps_than_it_tells(self) -> None:
        window = Window(60, 3)
        for minute in range(100):
            window.add(minute * 60.0, {"a": 1, "b": 0})
        self.assertEqual(window.sums(99 * 60), {"a": 3})
        self.assertEqual(len(window._steps), 3)
        self.assertEqual(window.sums(200 * 60), {})
