"""Grant lists in the configuration, for groups; the file of users has the same grammar."""

from __future__ import annotations

from typing import Any

from giftless.auth.grant_lists import GrantLists
from giftless.auth.grants import ADMIN, READ, READ_WRITE
from giftless.base.schema import EnvironmentValue
from giftless.errors import ConfigError
from giftless.lfs.objects import Permission
from tests.support.making import repo_of
from tests.support.run import CoroutineTestCase

GRANTS = {
    "developers": {"acme/*": "write", "acme/tools/**": "admin"},
    "cn=Ops,dc=acme,dc=example": {"ops/**": "write"},
    "*": {"public/**": "read"},
}


def permissions(names: list[str], path: str) -> frozenset[Permission]:
    return GrantLists.of_option("grants", GRANTS).permissions(names, repo_of(path))


class GrantListTests(CoroutineTestCase):
    def test_the_lists_of_all_groups_add_up(self) -> None:
        self.assertEqual(permissions(["developers"], "acme/rocket"), READ_WRITE)
        self.assertEqual(permissions(["developers"], "acme/tools/saw"), ADMIN)
        both = ["developers", "cn=Ops,dc=acme,dc=example"]
        self.assertEqual(permissions(both, "ops/a/b"), READ_WRITE)
        self.assertEqual(permissions(both, "public/site"), READ)

    def test_who_is_in_no_group_has_what_everybody_has(self) -> None:
        self.assertEqual(permissions([], "public/site"), READ)
        self.assertEqual(permissions(["strangers"], "acme/rocket"), frozenset())

    def test_groups_are_compared_whole_and_as_they_are(self) -> None:
        for group in ("Developers", "developers ", "developer", "", "acme/*"):
            self.assertEqual(permissions([group], "acme/rocket"), frozenset(), group)

    def test_a_group_that_calls_itself_a_star_has_no_more_than_everybody(self) -> None:
        self.assertEqual(permissions(["*"], "acme/rocket"), frozenset())

    def test_problems_have_a_place_and_quote_nothing(self) -> None:
        cases: tuple[tuple[dict[Any, Any], str, str | None, str], ...] = (
            ({"a": "write"}, "grants", "a", "found text"),
            ({"a": ["acme/*"]}, "grants", "a", "found a list"),
            ({"a": {"x/*": "owner"}}, "grants.a", "x/*", "read, write, admin"),
            ({"a": {"x/*": None}}, "grants.a", "x/*", "found nothing"),
            ({"a": {"x//y": "read"}}, "grants.a", "x//y", "cannot match"),
            ({"a": {12: "read"}}, "grants", "a", "in quotes"),
            ({True: {"x": "read"}}, "grants", None, "in quotes"),
        )
        for grants, path, key, words in cases:
            error = self.assertRaises(ConfigError, GrantLists.of_option, "grants", grants)
            self.assertEqual((error.path, error.key), (path, key))
            self.assertIn(words, error.problem)
            self.assertNotIn("owner", str(error))

    def test_the_environment_may_give_a_list(self) -> None:
        grants = {"developers": EnvironmentValue("{acme/*: write}")}
        lists = GrantLists.of_option("grants", grants)
        self.assertEqual(lists.permissions(["developers"], repo_of("acme/x")), READ_WRITE)

    def test_an_empty_list_is_one(self) -> None:
        lists = GrantLists.of_option("grants", {"nobody": None, "*": {}})
        self.assertEqual(lists.permissions(["nobody"], repo_of("a/b")), frozenset())
