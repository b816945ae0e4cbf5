"""Which rules hold for which repositories."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.schema import convert
from giftless.errors import ConfigError
from giftless.interfaces import Bound
from giftless.usecases.quotas.rules import QuotaOptions, QuotaRules
from tests.support.making import repo_of


def rules_of(**section: Any) -> QuotaRules:
    """Return the rules of a section of the configuration."""
    return QuotaRules(convert(section, QuotaOptions, "quotas"))


class QuotaRuleTests(SynchronousTestCase):
    """A repository is charged to itself and to its organisations."""

    def bounds(self, rules: QuotaRules, path: str) -> list[tuple[str, bool, int]]:
        """Return what bounds a repository."""
        terms = rules.terms(repo_of(path))
        self.assertEqual([owner.bound for owner in terms.bounded], list(terms.bounds))
        return [(bound.name, bound.org, bound.limit) for bound in terms.bounds]

    def test_a_repository_and_its_organisation_are_charged_at_once(self) -> None:
        rules = rules_of(
            orgs=[{"match": "acme", "limit": "10G"}],
            repositories=[{"match": "acme/*", "limit": "2G"}],
        )
        self.assertEqual(
            self.bounds(rules, "acme/rocket"),
            [("acme", True, 10**10), ("acme/rocket", False, 2 * 10**9)],
        )
        self.assertEqual(self.bounds(rules, "other/rocket"), [])
        self.assertEqual(rules.terms(repo_of("acme/rocket")).bounds[0], Bound("acme", True, 10**10))

    def test_the_first_rule_that_matches_holds_alone(self) -> None:
        rules = rules_of(
            orgs=[{"match": "free"}, {"match": "acme", "limit": 5}, {"match": "*", "limit": 7}]
        )
        self.assertEqual(self.bounds(rules, "acme/a"), [("acme", True, 5)])
        self.assertEqual(self.bounds(rules, "other/a"), [("other", True, 7)])
        self.assertEqual(self.bounds(rules, "free/a"), [])

    def test_groups_within_groups_are_organisations_each(self) -> None:
        rules = rules_of(
            orgs=[{"match": "acme", "limit": 9}, {"match": "acme/*", "limit": 5}],
            repositories=[{"match": "**", "limit": 3}],
        )
        self.assertEqual(
            self.bounds(rules, "acme/team/rocket"),
            [("acme", True, 9), ("acme/team", True, 5), ("acme/team/rocket", False, 3)],
        )
        self.assertEqual(
            self.bounds(rules, "acme/rocket"), [("acme", True, 9), ("acme/rocket", False, 3)]
        )

    def test_a_repository_of_one_part_is_its_own_organisation(self) -> None:
        rules = rules_of(orgs=[{"match": "*", "limit": 9}])
        self.assertEqual(self.bounds(rules, "rocket"), [("rocket", True, 9)])

    def test_names_that_begin_alike_are_not_the_same(self) -> None:
        rules = rules_of(orgs=[{"match": "acme", "limit": 9}])
        self.assertEqual(self.bounds(rules, "acme2/rocket"), [])

    def test_the_least_size_of_objects_holds(self) -> None:
        rules = rules_of(
            orgs=[{"match": "*", "object_size": "2G"}],
            repositories=[{"match": "acme/*", "object_size": "1G"}, {"match": "**"}],
        )
        for path, owner, size in (("acme/a", "acme/a", 10**9), ("b/a", "b", 2 * 10**9)):
            ceiling = rules.terms(repo_of(path)).ceiling
            assert ceiling is not None
            self.assertEqual((ceiling.name, ceiling.rule.object_size), (owner, size))

    def test_budgets_are_found(self) -> None:
        rules = rules_of(
            orgs=[{"match": "acme", "downloads": "1T"}],
            repositories=[{"match": "acme/*", "downloads": "1G"}],
        )
        self.assertTrue(rules.budgeted)
        found = rules.terms(repo_of("acme/a")).budgeted
        self.assertEqual(
            [str(owner) for owner in found], ["the organisation acme", "the repository acme/a"]
        )
        self.assertFalse(rules_of(orgs=[{"match": "a", "limit": 1}]).budgeted)

    def test_a_limit_of_nothing_is_a_limit(self) -> None:
        self.assertEqual(
            self.bounds(rules_of(orgs=[{"match": "a", "limit": 0}]), "a/b"), [("a", True, 0)]
        )

    def test_names_without_patterns_are_known(self) -> None:
        rules = rules_of(
            orgs=[{"match": "acme", "limit": 1}, {"match": "*", "limit": 1}],
            repositories=[{"match": "acme/?", "limit": 1}, {"match": "b/c", "limit": 1}],
        )
        self.assertEqual(
            [str(owner) for owner in rules.named()],
            ["the organisation acme", "the repository b/c"],
        )

    def test_what_cannot_work_is_refused_with_its_place(self) -> None:
        for section, path in (
            ({"orgs": [{"match": "a"}, {"match": "/a"}]}, "quotas.orgs.1.match"),
            ({"repositories": [{"match": "a**"}]}, "quotas.repositories.0.match"),
            ({"orgs": [{"match": "a", "limit": "10 apples"}]}, "quotas.orgs.0.limit"),
            ({"orgs": [{"match": "a", "warn": 80}]}, "quotas.orgs.0.warn"),
            ({"orgs": [{"limit": "10G"}]}, "quotas.orgs.0.match"),
            ({"orgs": [{"match": "a", "max": "10G"}]}, "quotas.orgs.0.max"),
            ({"period": "59s"}, "quotas.period"),
            ({"period": "367d"}, "quotas.period"),
        ):
            error = self.assertRaises(ConfigError, rules_of, **section)
            self.assertEqual(error.path if error.key is None else f"{error.path}.{error.key}", path)

    def test_patterns_are_not_case_blind(self) -> None:
        rules = rules_of(orgs=[{"match": "Acme", "limit": 9}])
        self.assertEqual(self.bounds(rules, "acme/rocket"), [])
