"""Who comes nearest to his limit."""

from __future__ import annotations

import msgspec

from giftless.interfaces import Level
from giftless.usecases.quotas.level import QuotaLevel
from tests.support.making import key_of, uploader
from tests.usecases.quotas.support import QuotaTestCase, data_of


class LevelTests(QuotaTestCase):
    """The fullest are listed first."""

    section = {
        "orgs": [
            {"match": "acme", "limit": 1000, "warn": "50%"},
            {"match": "*", "limit": 2000},
        ],
        "repositories": [
            {"match": "acme/rocket", "limit": 100},
            {"match": "named/only", "downloads": 10},
            {"match": "free/*"},
        ],
    }

    def names(self, limit: int = 50, name: str = "") -> list[str]:
        """Return the names of the fullest."""
        return [level.name for level in self.run_now(self.levels.fullest(limit, name))]

    def test_the_fullest_come_first_and_the_named_always(self) -> None:
        self.have(data_of("a", 90), "acme/rocket")
        self.have(data_of("b", 300), "acme/plane")
        self.have(data_of("c", 1900), "other/x")
        self.have(data_of("d", 10), "free/x")
        self.assertEqual(self.names(), ["other", "acme/rocket", "acme", "free", "named/only"])
        self.assertEqual(self.names(2), ["other", "acme/rocket"])

    def test_a_level_tells_all_that_counts(self) -> None:
        self.have(data_of("a", 60), "acme/rocket")
        self.batch(data_of("b", 25), path="acme/rocket")
        first, second, *_ = self.run_now(self.levels.fullest(50, "acme"))
        self.assertEqual(first, QuotaLevel("acme/rocket", False, 100, 60, 25, 80))
        self.assertEqual(second, QuotaLevel("acme", True, 1000, 60, 25, 500))
        self.assertTrue(first.near)
        self.assertFalse(second.near)
        self.assertEqual(first.fullness, 0.85)

    def test_downloads_are_told(self) -> None:
        key = key_of(data_of("a", 20), "named/only")
        self.store.add(key, data_of("a", 20))
        opened = self.run_now(self.server.open(uploader(20, operation="download"), key))
        opened.sent(5, 20)
        self.run_now(self.budgets.tell())
        level, _ = self.run_now(self.levels.fullest(50, "named/only"))
        self.assertEqual((level.downloads, level.downloaded, level.near), (10, 5, False))

    def test_only_what_concerns_a_name_is_told(self) -> None:
        for path in ("acme/rocket", "acme/plane", "acme2/x"):
            self.have(data_of(path, 10), path)
        self.assertEqual(self.names(name="acme"), ["acme/rocket", "acme"])
        self.assertEqual(self.names(name="acme/rocket"), ["acme/rocket", "acme"])
        self.assertEqual(self.names(name="acme/plane"), ["acme"])

    def test_an_organisation_is_told_when_its_new_repository_is_looked_at(self) -> None:
        self.have(data_of("a", 90), "new/other")
        self.assertEqual(self.names(name="new/repo"), ["new"])

    def test_the_fullest_are_told_to_prometheus(self) -> None:
        for number in range(30):
            self.have(data_of(str(number), 10 * (number + 1)), f"org{number}/x")
        levels = self.run_now(self.levels.filled())
        self.assertEqual(len(levels), 20)
        self.assertEqual(levels[0].bound.name, "org29")
        self.assertEqual((levels[0].used, levels[0].reserved), (300, 0))
        # A worker tells its parent as JSON.
        told = msgspec.json.decode(msgspec.json.encode(levels), type=list[Level])
        self.assertEqual(told, list(levels))

    def test_a_limit_of_nothing_is_full(self) -> None:
        self.assertEqual(QuotaLevel("a", True, 0, 0, 0, 0).fullness, 1.0)
