"""Gitea and Forgejo: roles, scopes of tokens, and old versions."""

from __future__ import annotations

from typing import Any

from giftless.auth.forges.gitea import GiteaFactory
from giftless.errors import ConfigError, ServiceUnavailable, Unauthorized
from tests.auth.forges.support import ForgeTestCase
from tests.support.forges import FakeGitea, TeaRepo, TeaToken, status

ROLES = {"ada": "admin", "wes": "write", "rob": "read"}

TOKEN = "65eaa9c8ef52460d22a93307fe0aee76289dc675"


class GiteaTests(ForgeTestCase):
    factory = GiteaFactory()

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitea(
            {},
            {
                "acme/rocket": TeaRepo(ROLES),
                "acme/site": TeaRepo(ROLES, private=False),
                "acme/old": TeaRepo(ROLES, archived=True),
                "acme/copy": TeaRepo(ROLES, mirror=True),
            },
        )
        self.serve(self.fake)

    def make(self, **options: Any) -> Any:
        return self.build(**{"orgs": ["acme"], "url": self.fake.url, **options})

    async def who(
        self, user: str, scopes: tuple[str, ...] = ("all",), path: str = "acme/rocket"
    ) -> tuple[str, str]:
        """Return whom a new token belongs to, and what it allows."""
        self.fake.tokens[TOKEN] = TeaToken(user, scopes)
        return await self.access(self.make(), TOKEN, path)

    async def test_the_role_decides_on_access(self) -> None:
        for user, expected in (
            ("ada", "write"),
            ("wes", "write"),
            ("rob", "read"),
            ("eve", "nothing"),
        ):
            self.assertEqual(await self.who(user), (user, expected))

    async def test_administrators_decide_about_what_others_have_locked(self) -> None:
        """With a token that may push."""
        for user, scopes, expected in (
            ("ada", ("all",), True),
            ("ada", ("read:repository", "read:user"), False),
            ("wes", ("all",), False),
            ("rob", ("all",), False),
        ):
            self.fake.tokens[TOKEN] = TeaToken(user, scopes)
            self.assertIs(await self.administers(self.make(), TOKEN), expected, (user, scopes))

    async def test_a_public_repository_may_be_read_by_everybody(self) -> None:
        self.assertEqual(await self.who("eve", path="acme/site"), ("eve", "read"))

    async def test_a_repository_that_is_not_there_gives_nothing(self) -> None:
        self.assertEqual(await self.who("ada", path="acme/nowhere"), ("ada", "nothing"))

    async def test_scopes_limit_what_the_role_allows(self) -> None:
        """The API reports an owner's role to a token that may do less."""
        for scopes, expected in (
            (("all",), "write"),
            (("write:repository", "read:user"), "write"),
            (("read:repository", "read:user"), "read"),
            (("write:issue", "read:user"), "nothing"),
        ):
            self.assertEqual(await self.who("wes", scopes), ("wes", expected), scopes)

    async def test_git_alone_does_not_decide(self) -> None:
        """Gitea lets readers begin a push, since pull requests can be pushed."""
        self.assertEqual(await self.who("rob", ("write:repository", "read:user")), ("rob", "read"))

    async def test_a_token_that_may_not_ask_for_the_user_has_no_name(self) -> None:
        self.assertEqual(await self.who("wes", ("write:repository",)), ("gitea-token", "write"))

    async def test_archived_repositories_and_mirrors_are_only_read(self) -> None:
        for path in ("acme/old", "acme/copy"):
            self.assertEqual(await self.who("ada", path=path), ("ada", "read"))

    async def test_a_bad_token_is_401(self) -> None:
        await self.failure_of(Unauthorized, self.identify(self.make(), "bad"))

    async def test_a_bad_token_is_401_where_it_counts_as_none(self) -> None:
        """Old versions show a public repository to a bad token as to anybody."""
        self.fake.lenient = True
        for path in ("acme/site", "acme/rocket"):
            await self.failure_of(Unauthorized, self.identify(self.make(), "bad", path))

    async def test_git_that_is_elsewhere_leaves_it_to_the_role(self) -> None:
        for code in (404, 301):
            self.fake.failure, self.fake.fails_on = status(code, "", Location="/"), "/info/refs"
            self.assertEqual(await self.who("wes"), ("wes", "write"))
            self.assertEqual(await self.who("rob"), ("rob", "read"))

    async def test_git_that_cannot_be_asked_is_503(self) -> None:
        self.fake.failure, self.fake.fails_on = status(500), "/info/refs"
        await self.failure_of(ServiceUnavailable, self.who("wes"))

    async def test_no_session_is_carried_from_one_token_to_another(self) -> None:
        """Gitea begins one with every answer."""
        await self.who("wes")
        await self.who("rob")
        self.assertGreater(len(self.fake.seen), 4)
        for seen in self.fake.seen:
            self.assertNotIn("cookie", seen.headers)

    async def test_an_instance_may_lie_below_a_path(self) -> None:
        forge = self.make(url=f"{self.fake.url}/git/")
        self.fake.tokens[TOKEN] = TeaToken("wes")
        self.fake.failure = status(404)
        await self.identify(forge, TOKEN)
        self.assertEqual(self.fake.paths(), ["/git/api/v1/repos/acme/rocket", "/git/api/v1/user"])

    async def test_oauth_tokens_are_taken_as_passwords(self) -> None:
        """They are JWTs, which otherwise belong to other authenticators."""
        token = "eyJhbGciOiJSUzI1NiJ9.eyJnbnQiOjF9.c2lnbmF0dXJl"
        self.fake.tokens[token] = TeaToken("wes")
        self.assertEqual(await self.access(self.make(), token, user="oauth2"), ("wes", "write"))

    def test_the_url_must_be_given(self) -> None:
        error = self.assertRaises(ConfigError, self.build, orgs=["acme"])
        self.assertEqual(error.path, "auth.0.url")
        error = self.assertRaises(ConfigError, self.make, url="git.example.com")
        self.assertEqual(error.path, "url")
