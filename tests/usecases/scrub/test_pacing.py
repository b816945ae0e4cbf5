"""How fast the scrub reads."""

from __future__ import annotations

from twisted.internet.task import Clock

from giftless.monitoring.scrubbing import OBJECT_COST, ScrubCounts, ScrubFacts
from giftless.usecases.scrub.pacing import FLOOR, PLANNED, SHARE, GentlePace, slot
from tests.support.run import CoroutineTestCase


class GentlePaceTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pace = GentlePace(50_000_000, self.clock)

    def read(self, pieces: int, piece: int, work: float) -> float:
        """Return how many seconds reading some pieces takes.

        :param work: how many seconds each keeps the disk busy.
        """
        began = self.clock.seconds()
        for _ in range(pieces):
            self.clock.advance(work)
            waiting = self.start(self.pace.take(piece))
            while not waiting.called:
                self.clock.advance(0.001)
        return self.clock.seconds() - began

    def test_an_object_with_much_time_is_read_at_the_floor(self) -> None:
        self.pace.begin(10 * FLOOR, 1e6)
        self.assertApproximates(self.read(100, FLOOR // 100, 0.0), 1.0, 0.15)

    def test_an_object_is_read_within_its_time(self) -> None:
        self.pace.begin(20_000_000, 1.0)
        self.assertApproximates(self.read(100, 200_000, 0.0), 1.0, 0.15)

    def test_nothing_is_faster_than_the_ceiling(self) -> None:
        for seconds in (0.0, 1e-9):
            self.pace.begin(50_000_000, seconds)
            self.assertApproximates(self.read(100, 500_000, 0.0), 1.0, 0.15)

    def test_a_ceiling_below_the_floor_holds(self) -> None:
        self.pace = GentlePace(FLOOR / 8, self.clock)
        self.pace.begin(FLOOR, 1e6)
        self.assertApproximates(self.read(100, FLOOR // 800, 0.0), 1.0, 0.15)

    def test_a_busy_disk_is_left_alone_for_most_of_the_time(self) -> None:
        self.pace.begin(1000, 0.0)
        self.assertApproximates(self.read(50, 1000, 0.1), 50 * 0.1 / SHARE, 0.5)

    def test_short_work_adds_up(self) -> None:
        self.pace.begin(1000, 0.0)
        self.assertApproximates(self.read(1000, 1, 0.001), 1000 * 0.001 / SHARE, 0.2)

    def test_what_came_before_an_object_was_no_work(self) -> None:
        self.clock.advance(1000)
        self.pace.begin(1000, 0.0)
        self.assertLess(self.read(1, 1000, 0.0), 0.1)


class SlotTests(CoroutineTestCase):
    def facts(self, expected: int, done: int = 0) -> ScrubFacts:
        """Return the facts of a pass over objects of one size."""
        counts = ScrubCounts(0.0, 0.0, done, done * OBJECT_COST)
        return ScrubFacts(1000.0, 0.0, counts, expected, expected * OBJECT_COST)

    def test_equal_objects_get_equal_times(self) -> None:
        each = PLANNED * 1000 / 10
        for done in range(10):
            self.assertAlmostEqual(slot(self.facts(10, done), OBJECT_COST, done * each), each)

    def test_who_is_behind_divides_what_is_left(self) -> None:
        now = PLANNED * 1000 - 50
        self.assertAlmostEqual(slot(self.facts(10, 5), OBJECT_COST, now), 10.0)

    def test_there_is_no_time_if_it_is_late_or_nobody_expected_the_object(self) -> None:
        self.assertEqual(slot(self.facts(10, 5), OBJECT_COST, 2000.0), 0.0)
        self.assertEqual(slot(self.facts(10, 10), OBJECT_COST, 10.0), 0.0)
        self.assertEqual(slot(self.facts(0), OBJECT_COST, 10.0), 0.0)

    def test_an_object_that_has_grown_gets_no_more_than_there_is(self) -> None:
        self.assertEqual(slot(self.facts(1), 10**12, 0.0), PLANNED * 1000)
