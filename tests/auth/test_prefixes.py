"""Which path a repository is below, whatever way it is spelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from giftless.auth.prefixes import Prefixes, inside, outside
from giftless.errors import BadRequest, ConfigError, LFSError, NotFound
from giftless.interfaces import Credentials, IAuthenticator, IConfined, Identity
from giftless.lfs.objects import Repo
from tests.support.making import repo_of


@implementer(IConfined)
class Confined:
    """Is confined to a path, and knows nobody."""

    def __init__(self, path: str) -> None:
        self.path = repo_of(path)

    def each(self, wrap: Callable[[int, IAuthenticator], IAuthenticator]) -> Confined:
        """See :meth:`giftless.interfaces.IConfined.each`."""
        return self

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        return None


def prefixes(*paths: str) -> Prefixes:
    return Prefixes({f"auth.{index}": Confined(path) for index, path in enumerate(paths)})


class PrefixesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.prefixes = prefixes("github.com", "a.example/tools", "a.example", "a.example:3000")

    def test_the_longest_path_holds(self) -> None:
        for path, place in (
            ("github.com/acme/rocket", "github.com"),
            ("a.example/acme/rocket", "a.example"),
            ("a.example/tools/rocket", "a.example/tools"),
            ("a.example/tools", "a.example/tools"),
            ("a.example/toolsmith/rocket", "a.example"),
            ("a.example:3000/acme/rocket", "a.example:3000"),
            ("github.com", "github.com"),
            ("acme/rocket", ""),
            ("acme/github.com/rocket", ""),
            ("www.github.com/acme/rocket", ""),
            ("github.com.evil.example/acme/rocket", ""),
            ("-", ""),
        ):
            self.assertEqual(self.prefixes.of(path.split("/")), place, path)
            self.assertEqual(prefixes().of(path.split("/")), "")

    def test_a_path_that_people_take_for_it_is_below_it(self) -> None:
        for spelled in ("GitHub.com", "github.com.", "github.com..", "\uff47ithub.com"):
            self.assertEqual(self.prefixes.of([spelled, "acme", "rocket"]), "github.com")

    def test_a_url_is_read_as_its_endpoint_reads_it(self) -> None:
        for url, place in (
            (b"/github.com/acme/rocket.git/info/lfs/objects/batch", "github.com"),
            (b"/%67ithub.com/acme/rocket/locks", "github.com"),
            (b"/GitHub.com/acme/rocket/locks", "github.com"),
            (b"/github.com", "github.com"),
            (b"/acme/rocket/objects/batch", ""),
            (b"//github.com/acme", ""),
            (b"/%ff/\xff", ""),
            (b"/", ""),
            (b"*", ""),
            (b"", ""),
        ):
            self.assertEqual(self.prefixes.of_url(url), place, url)
            self.assertEqual(prefixes().of_url(url), "")

    def test_a_part_is_asked_below_the_path_that_it_stands_in(self) -> None:
        for section, place in (
            ("auth.0", "github.com"),
            ("auth.0.auth.1", "github.com"),
            ("auth.1.auth.0", "a.example/tools"),
            ("auth.10", ""),
            ("storage", ""),
        ):
            self.assertEqual(self.prefixes.of_section(section), place)

    def refused(self, built: dict[str, Any]) -> ConfigError:
        return self.assertRaises(ConfigError, Prefixes, built)

    def test_two_with_one_path_are_refused(self) -> None:
        for other in ("github.com", "GitHub.com"):
            error = self.refused({"auth.0": Confined("github.com"), "auth.2": Confined(other)})
            self.assertEqual(error.path, "auth.2.path")
            self.assertIn("auth.0", error.problem)

    def test_none_stands_inside_another_part(self) -> None:
        error = self.refused({"auth.0": object(), "auth.0.auth.1": Confined("github.com")})
        self.assertEqual(error.path, "auth.0.auth.1.type")


class NameTests(SynchronousTestCase):
    def test_a_repository_is_called_what_is_behind_the_path(self) -> None:
        for path, whole, name in (
            ("github.com", "github.com/acme/rocket", "acme/rocket"),
            ("a.example/tools", "a.example/tools/rocket", "rocket"),
            ("a", "a/b/c.git.git", "b/c.git"),
        ):
            segments = whole.split("/")
            self.assertEqual(inside(repo_of(path), Repo.parse(segments)).path, name)
        self.assertEqual(outside(repo_of("a/b"), repo_of("c/d")).path, "a/b/c/d")

    def test_another_spelling_is_told_the_right_one(self) -> None:
        error = self.assertRaises(
            NotFound, inside, repo_of("github.com"), repo_of("GitHub.com/acme/rocket")
        )
        self.assertIn("write it as github.com", error.message)

    def test_what_nothing_can_be_called_is_refused(self) -> None:
        """Nor can a path lead to what stands for the server itself."""
        path = repo_of("github.com")
        for name in ("github.com", "github.com/-", "github.com/-/api"):
            self.assertRaises(BadRequest, inside, path, Repo(tuple(name.split("/"))))
        deep = Repo(tuple("x" * 32))
        self.assertRaises(BadRequest, outside, path, deep)

    @given(st.lists(st.text(st.characters(categories=["L", "N", "P"])), min_size=1, max_size=4))
    def test_the_way_back_leads_to_the_same_repository(self, segments: list[str]) -> None:
        path = repo_of("a.example/tools")
        try:
            repo = Repo.parse(["a.example", "tools", *segments])
            name = inside(path, repo)
        except LFSError:
            return
        self.assertEqual(outside(path, name), repo)
