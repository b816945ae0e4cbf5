"""Repositories that are kept under another name."""

from __future__ import annotations

from dataclasses import replace

from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.aliases import Aliased, Moved
from giftless.errors import ConfigError
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo
from tests.support.making import repo_of, writer
from tests.support.run import CoroutineTestCase


@implementer(IAuthenticator)
class Knows:
    """Knows one identity, or none."""

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        return self._identity


class AliasTests(CoroutineTestCase):
    def kept(self, path: str, told: str | None = None, **aliases: str) -> str | None:
        """Return under what name a repository is kept; ``None`` if that is its own.

        :param told: what a forge calls it.
        """
        repo = None if told is None else repo_of(told)
        inner = Knows(replace(writer(), repo=repo))
        authenticator = Aliased(inner, {k.replace("__", "/"): v for k, v in aliases.items()})
        verifyObject(IAuthenticator, authenticator)
        identity = self.run_now(authenticator.authenticate(Credentials(), repo_of(path)))
        assert identity is not None
        return None if identity.repo is None else identity.repo.path

    def test_a_name_is_another(self) -> None:
        self.assertEqual(self.kept("org/new", org__new="org/old"), "org/old")
        self.assertIsNone(self.kept("org/other", org__new="org/old"))

    def test_two_names_can_be_exchanged(self) -> None:
        """An alias is looked up once."""
        for one, other in (("org/a", "org/b"), ("org/b", "org/a")):
            self.assertEqual(self.kept(one, org__a="org/b", org__b="org/a"), other)

    def test_what_a_forge_tells_is_the_name(self) -> None:
        """Not what the request says, and in any case."""
        self.assertEqual(self.kept("org/x", "Org/New", org__new="org/old"), "org/old")
        self.assertEqual(self.kept("org/new", "org/now", org__new="org/old"), "org/now")

    def test_elsewhere_upper_and_lower_case_differ(self) -> None:
        self.assertIsNone(self.kept("Org/New", org__new="org/old"))

    def test_nobody_remains_nobody(self) -> None:
        authenticator = Aliased(Knows(None), {"a": "b"})
        found = self.run_now(authenticator.authenticate(Credentials(), repo_of("a")))
        self.assertIsNone(found)

    def moved(self, path: str, told: str | None = None) -> str | None:
        """Return where a repository is kept, after ``org/old`` was renamed to ``org/new``."""
        moved = Moved()
        moved.update({"org/old": "org/new", "org/Team": "org/x"})
        repo = None if told is None else repo_of(told)
        aliases = {"org/a": "org/old", "org/team": "org/y"}
        authenticator = Aliased(Knows(replace(writer(), repo=repo)), aliases, moved)
        identity = self.run_now(authenticator.authenticate(Credentials(), repo_of(path)))
        assert identity is not None
        return None if identity.repo is None else identity.repo.path

    def test_a_name_leads_to_where_its_repository_was_moved(self) -> None:
        self.assertEqual(self.moved("org/old"), "org/new")
        self.assertIsNone(self.moved("org/Old"))
        self.assertIsNone(self.moved("org/new"))
        self.assertEqual(self.moved("org/b", "ORG/OLD"), "org/new")
        self.assertEqual(self.moved("org/old", "org/b"), "org/b")

    def test_the_configuration_wins_over_what_was_moved(self) -> None:
        """What it leads to may have been moved, too."""
        self.assertEqual(self.moved("org/a"), "org/new")
        self.assertEqual(self.moved("org/team"), "org/y")
        self.assertEqual(self.moved("org/Team"), "org/x")
        self.assertEqual(self.moved("org/b", "Org/TEAM"), "org/y")

    def test_what_was_moved_can_be_told_anew(self) -> None:
        moved = Moved()
        moved.update({"a": "b"})
        moved.update({"c": "d"})
        self.assertIsNone(moved.kept(repo_of("a")))
        self.assertEqual(moved.kept(repo_of("c")), repo_of("d"))
        self.assertEqual(moved.kept(repo_of("C"), True), repo_of("d"))

    def test_what_is_no_repository_is_refused(self) -> None:
        for name, kept in (("a//b", "c"), ("a", "../b"), ("", "b"), ("a", ""), ("a", ".giftless")):
            error = self.assertRaises(ConfigError, Aliased, Knows(None), {name: kept})
            self.assertEqual((error.path, error.key), ("aliases", name))

    def test_names_that_a_forge_does_not_tell_apart_are_refused(self) -> None:
        for names in ({"a/b": "x", "A/B": "y"}, {"a/b": "x", "a/b.git": "y"}):
            error = self.assertRaises(ConfigError, Aliased, Knows(None), names)
            self.assertEqual(error.path, "aliases")
