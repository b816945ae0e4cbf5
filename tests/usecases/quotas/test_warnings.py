"""It is told once that a quota comes near its limit."""

from __future__ import annotations

import os

from giftless.base.shared_table import SharedTable, shared_memory
from giftless.interfaces import QuotaWarned
from tests.usecases.quotas.support import QuotaTestCase, data_of


class WarningTests(QuotaTestCase):
    """A warning is an event, once for each time that the level is passed."""

    def warned(self) -> list[QuotaWarned]:
        """Return the warnings since the last look."""
        return [event for event in self.recorder.take() if isinstance(event, QuotaWarned)]

    def test_it_is_told_once_and_not_with_each_batch(self) -> None:
        self.batch(data_of("a", 79))
        self.assertEqual(self.warned(), [])
        self.batch(data_of("b", 1))
        self.assertEqual(self.warned(), [QuotaWarned("org/repo", False, 0, 80, 100, 0.8)])
        for name in "cde":
            self.batch(data_of(name, 1))
        self.assertEqual(self.warned(), [])

    def test_it_is_told_again_after_there_was_clearly_more_room(self) -> None:
        self.have(data_of("a", 70))
        last = data_of("b", 10)
        self.have(last)
        self.batch(data_of("c", 1))
        self.assertEqual(len(self.warned()), 1)
        self.forget(last)
        # 71 of 80 is clearly less, 77 is not.
        self.batch(data_of("d", 6))
        self.batch(data_of("e", 4))
        self.assertEqual(self.warned(), [])
        self.forget(data_of("a", 70))
        self.batch(data_of("f", 1))
        self.batch(data_of("g", 75))
        self.assertEqual(len(self.warned()), 1)

    def test_the_organisation_and_the_repository_are_told_apart(self) -> None:
        self.configure(
            orgs=[{"match": "org", "limit": 100, "warn": "50%"}],
            repositories=[{"match": "org/*", "limit": 100, "warn": "60%"}],
        )
        self.batch(data_of("a", 50))
        (warning,) = self.warned()
        self.assertEqual((warning.name, warning.org, warning.warn), ("org", True, 0.5))
        self.batch(data_of("b", 10))
        (warning,) = self.warned()
        self.assertEqual((warning.name, warning.org, warning.warn), ("org/repo", False, 0.6))

    def test_workers_tell_it_once_together(self) -> None:
        memory = shared_memory()
        self.addCleanup(os.close, memory)
        for number in range(3):
            self.table = SharedTable(memory)
            self.configure(**self.section)
            self.batch(data_of(f"worker {number}", 20), data_of(f"more {number}", 20))
        self.assertEqual(len(self.warned()), 1)

    def test_a_share_of_nothing_warns_from_the_beginning(self) -> None:
        self.configure(repositories=[{"match": "**", "limit": 100, "warn": "0%"}])
        self.batch(data_of("a", 1))
        self.assertEqual(len(self.warned()), 1)
