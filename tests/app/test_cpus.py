"""How many processors ``workers: auto`` finds."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.cpus import available


class AvailableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.groups = Path(self.mktemp())
        self.own = self.groups / "own"
        (self.groups / "a.slice" / "b.service").mkdir(parents=True)
        self.patch(os, "sched_getaffinity", lambda pid: set(range(8)))

    def count(self, **quotas: str) -> int:
        """Count in /a.slice/b.service, where groups have these ``cpu.max``."""
        self.own.write_text("1:cpu:/elsewhere\n0::/a.slice/b.service\n")
        for name, quota in quotas.items():
            group = {"root": "", "slice": "a.slice", "service": "a.slice/b.service"}[name]
            (self.groups / group / "cpu.max").write_text(quota)
        return available(self.groups, self.own)

    def test_this_machine_has_some_processors(self) -> None:
        self.assertIn(available(), range(1, 9))

    def test_no_limit_means_all_processors(self) -> None:
        self.assertEqual(self.count(), 8)
        self.assertEqual(self.count(slice="max 100000\n", service="max 100000\n"), 8)

    def test_a_quota_of_its_own_or_of_a_group_above(self) -> None:
        self.assertEqual(self.count(service="200000 100000\n"), 2)
        self.assertEqual(self.count(slice="100000 100000\n"), 1)

    def test_the_root_of_a_container(self) -> None:
        self.assertEqual(self.count(root="400000 100000\n"), 4)

    def test_a_part_of_a_processor_is_one(self) -> None:
        self.assertEqual(self.count(service="150000 100000\n"), 2)
        self.assertEqual(self.count(service="10000 100000\n"), 1)

    def test_a_quota_beyond_what_there_is(self) -> None:
        self.assertEqual(self.count(service="6400000 100000\n"), 8)

    def test_missing_groups_mean_all_processors(self) -> None:
        self.assertEqual(available(self.groups, self.groups / "nowhere"), 8)
        self.own.write_text("1:cpu:/elsewhere\n")
        self.assertEqual(available(self.groups, self.own), 8)
