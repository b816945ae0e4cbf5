"""Progress is told in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.agent.progress import INTERVAL, Progress


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.reports: list[tuple[int, int]] = []
        self.progress = self.make(100)

    def make(self, size: int) -> Progress:
        self.reports.clear()
        return Progress(
            size, lambda count, since: self.reports.append((count, since)), self.clock.seconds
        )

    def test_first_bytes_at_once(self) -> None:
        """The first bytes are told at once: git-lfs lets the other agents begin then."""
        self.progress.add(1)
        self.assertEqual(self.reports, [(1, 1)])

    def test_not_too_often(self) -> None:
        """Further ones are told together, now and then."""
        self.progress.add(1)
        for _ in range(5):
            self.progress.add(2)
        self.clock.advance(INTERVAL)
        self.progress.add(2)
        self.assertEqual(self.reports, [(1, 1), (13, 12)])

    def test_last_byte_at_once(self) -> None:
        """The last byte is told, however soon it comes."""
        self.progress.add(1)
        self.progress.add(99)
        self.progress.close(complete=True)
        self.assertEqual(self.reports, [(1, 1), (100, 99)])

    def test_what_is_there(self) -> None:
        """What was there already counts at once."""
        self.progress.begin(60)
        self.assertEqual(self.reports, [(60, 60)])

    def test_bytes_sent_again_count_once(self) -> None:
        """What has to be sent again is not told again."""
        self.progress.add(50)
        self.clock.advance(INTERVAL)
        self.progress.add(-50)
        self.progress.add(40)
        self.clock.advance(INTERVAL)
        self.progress.add(20)
        self.assertEqual(self.reports, [(50, 50), (60, 10)])

    def test_nothing_after_the_end(self) -> None:
        """Threads that are late tell nothing any more."""
        self.progress.add(10)
        self.progress.close(complete=False)
        self.clock.advance(INTERVAL)
        self.progress.add(10)
        self.assertEqual(self.reports, [(10, 10)])

    def test_an_empty_object_has_no_progress(self) -> None:
        """There is nothing to tell of an empty object."""
        self.make(0).close(complete=True)
        self.assertEqual(self.reports, [])

    @given(st.lists(st.tuples(st.integers(-50, 50), st.floats(0, 1))))
    def test_always_in_order(self, steps: list[tuple[int, float]]) -> None:
        """Counts only grow, never beyond the size, and the differences add up."""
        progress = self.make(100)
        for count, seconds in steps:
            progress.add(count)
            self.clock.advance(seconds)
        progress.close(complete=True)
        total = 0
        for count, since in self.reports:
            self.assertGreater(since, 0)
            total += since
            self.assertEqual(count, total)
        self.assertEqual(total, 100)
