"""GitHub: what each kind of token may do, and where it is asked."""

from __future__ import annotations

from typing import Any

from giftless.auth.forges.github import GitHubFactory, derive_git_url
from giftless.errors import ServiceUnavailable, Unauthorized
from tests.auth.forges.support import ForgeTestCase
from tests.support.forges import FakeGitHub, HubRepo, HubToken, status

ROLES = {"ada": "admin", "mia": "maintain", "wes": "write", "tim": "triage", "rob": "read"}

CLASSIC = "ghp_000000000000000000000000000000000000"
FINE = "github_pat_0000000000000000000000_0000000000"
OAUTH = "gho_000000000000000000000000000000000000"
USER_TO_SERVER = "ghu_000000000000000000000000000000000000"
INSTALLATION = "ghs_000000000000000000000000000000000000"
LEGACY = "0123456789abcdef0123456789abcdef01234567"


class GitHubTests(ForgeTestCase):
    factory = GitHubFactory()

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitHub(
            {},
            {
                "acme/rocket": HubRepo(ROLES),
                "acme/site": HubRepo(ROLES, private=False),
                "acme/old": HubRepo(ROLES, archived=True),
            },
        )
        self.serve(self.fake)

    def make(self, **options: Any) -> Any:
        return self.build(orgs=["acme"], api_url=self.fake.url, **options)

    async def level(self, token: str, meaning: HubToken, path: str = "acme/rocket") -> str:
        """Return what a new token of this meaning may do."""
        self.fake.tokens[token] = meaning
        _, level = await self.access(self.make(), token, path)
        return level

    async def test_the_role_decides_on_access(self) -> None:
        for user, expected in (
            ("ada", "write"),
            ("mia", "write"),
            ("wes", "write"),
            ("tim", "read"),
            ("rob", "read"),
            ("eve", "nothing"),
        ):
            for token in (CLASSIC, OAUTH, LEGACY):
                self.fake.tokens[token] = HubToken(user, ("repo", "gist"))
                self.assertEqual(await self.access(self.make(), token), (user, expected))

    async def test_maintainers_decide_about_what_others_have_locked(self) -> None:
        """With a token that may push; how much more it may is not for giftless to ask."""
        for user, expected in (("ada", True), ("mia", True), ("wes", False), ("rob", False)):
            for token, meaning in (
                (CLASSIC, HubToken(user, ("repo",))),
                (FINE, HubToken(user, contents={"acme/rocket": "write"})),
            ):
                self.fake.tokens[token] = meaning
                self.assertIs(await self.administers(self.make(), token), expected, user)
        for token, meaning in (
            (CLASSIC, HubToken("ada", ("read:user",))),
            (FINE, HubToken("ada", contents={"acme/rocket": "read"})),
            (INSTALLATION, HubToken(None, contents={"acme/rocket": "write"})),
        ):
            self.fake.tokens[token] = meaning
            self.assertIs(await self.administers(self.make(), token), False, token)
        self.fake.tokens[CLASSIC] = HubToken("ada", ("repo",))
        self.assertIs(await self.administers(self.make(), CLASSIC, "acme/old"), False)

    async def test_a_public_repository_may_be_read_by_everybody_on_github(self) -> None:
        self.assertEqual(await self.level(CLASSIC, HubToken("eve", ("repo",)), "acme/site"), "read")

    async def test_a_repository_that_is_not_there_gives_nothing(self) -> None:
        level = await self.level(CLASSIC, HubToken("ada", ("repo",)), "acme/nowhere")
        self.assertEqual(level, "nothing")

    async def test_scopes_limit_what_the_role_allows(self) -> None:
        """The API reports an owner's role to a token that may do less."""
        for scopes, private, public in (
            (("repo",), "write", "write"),
            (("admin:org", "repo", "workflow"), "write", "write"),
            (("public_repo",), "nothing", "write"),
            (("public_repo", "read:user"), "nothing", "write"),
            (("repo:status",), "nothing", "read"),
            (("read:user",), "nothing", "read"),
            ((), "nothing", "read"),
        ):
            for path, expected in (("acme/rocket", private), ("acme/site", public)):
                level = await self.level(CLASSIC, HubToken("ada", scopes), path)
                self.assertEqual(level, expected, (scopes, path))

    async def test_a_private_repository_needs_its_scope_even_if_it_is_shown(self) -> None:
        self.fake.tokens[CLASSIC] = HubToken("ada", ("repo:status",))
        self.fake.failure = status(
            200,
            {"private": True, "permissions": {"pull": True, "push": True}},
            X_OAuth_Scopes="repo:status",
        )
        self.fake.fails_on = "/repos/"
        self.assertEqual(await self.access(self.make(), CLASSIC), ("ada", "nothing"))

    async def test_permissions_limit_what_the_role_allows(self) -> None:
        """The API does not report a fine-grained token's permissions; git's endpoint does."""
        for token in (FINE, USER_TO_SERVER):
            for user, contents, expected in (
                ("ada", "write", "write"),
                ("ada", "read", "read"),
                ("ada", "none", "nothing"),
                ("wes", "write", "write"),
                ("rob", "write", "read"),
                ("rob", "read", "read"),
                ("eve", "write", "nothing"),
            ):
                meaning = HubToken(user, contents={"acme/rocket": contents})
                self.assertEqual(
                    await self.level(token, meaning), expected, (token, user, contents)
                )

    async def test_a_token_for_another_repository_may_read_what_is_public(self) -> None:
        meaning = HubToken("ada", contents={"acme/other": "write"})
        for token in (FINE, USER_TO_SERVER):
            self.assertEqual(await self.level(token, meaning), "nothing")
            self.assertEqual(await self.level(token, meaning, "acme/site"), "read")

    async def test_an_installation_may_what_git_lets_it_do(self) -> None:
        """The API reports no role at all for it."""
        for contents, expected in (("write", "write"), ("read", "read"), ("none", "nothing")):
            meaning = HubToken(None, contents={"acme/rocket": contents})
            self.fake.tokens[INSTALLATION] = meaning
            self.assertEqual(
                await self.access(self.make(), INSTALLATION, user="x-access-token"),
                ("github-app", expected),
            )
        self.assertEqual(await self.level(INSTALLATION, HubToken(None)), "nothing")
        self.assertNotIn("/user", self.fake.paths())

    async def test_a_role_that_is_reported_for_an_installation_is_its_own(self) -> None:
        self.fake.tokens[INSTALLATION] = HubToken(None)
        for role, expected in (
            ({"pull": True, "push": True}, "write"),
            ({"pull": True, "push": False}, "read"),
        ):
            self.fake.failure = status(200, {"private": False, "permissions": role})
            self.fake.fails_on = "/repos/acme/rocket"
            self.assertEqual(await self.access(self.make(), INSTALLATION), ("github-app", expected))

    async def test_a_token_that_may_not_ask_for_the_user_has_a_name_of_its_kind(self) -> None:
        self.fake.tokens[LEGACY] = HubToken(None, contents={"acme/rocket": "read"})
        self.assertEqual(await self.access(self.make(), LEGACY), ("github-app", "nothing"))

    async def test_an_archived_repository_is_only_read(self) -> None:
        for token, meaning in (
            (CLASSIC, HubToken("ada", ("repo",))),
            (FINE, HubToken("ada", contents={"acme/old": "write"})),
            (INSTALLATION, HubToken(None, contents={"acme/old": "write"})),
        ):
            self.assertEqual(await self.level(token, meaning, "acme/old"), "read", token)

    async def test_an_organisation_that_demands_single_sign_on_gives_nothing(self) -> None:
        self.fake.tokens[CLASSIC] = HubToken("ada", ("repo",))
        self.fake.failure = status(
            403,
            {"message": "Resource protected by organization SAML enforcement."},
            X_GitHub_SSO="required; url=https://github.com/orgs/acme/sso",
        )
        self.fake.fails_on = "/repos/"
        self.assertEqual(await self.access(self.make(), CLASSIC), ("ada", "nothing"))

    async def test_a_bad_token_is_401_of_whatever_kind(self) -> None:
        for token in (CLASSIC, FINE, OAUTH, USER_TO_SERVER, INSTALLATION, LEGACY):
            await self.failure_of(Unauthorized, self.identify(self.make(), token))

    async def test_git_that_cannot_be_asked_is_503(self) -> None:
        self.fake.tokens[FINE] = HubToken("ada", contents={"acme/rocket": "write"})
        self.fake.failure, self.fake.fails_on = status(502), "/info/refs"
        await self.failure_of(ServiceUnavailable, self.identify(self.make(), FINE))

    async def test_git_that_knows_nothing_gives_nothing(self) -> None:
        """As when git_url leads to the wrong place."""
        self.fake.tokens[FINE] = HubToken("ada", contents={"acme/rocket": "write"})
        for code in (301, 302, 307, 400, 401, 403, 404):
            self.fake.failure, self.fake.fails_on = status(code, "", Location="/"), "/info/refs"
            self.assertEqual(await self.access(self.make(), FINE), ("ada", "nothing"), code)

    async def test_git_is_asked_where_git_url_says(self) -> None:
        git = FakeGitHub(
            {FINE: HubToken("ada", contents={"acme/rocket": "write"})},
            {"acme/rocket": HubRepo(ROLES)},
        )
        self.serve(git)
        self.fake.tokens[FINE] = git.tokens[FINE]
        self.assertEqual(await self.access(self.make(git_url=git.url), FINE), ("ada", "write"))
        self.assertEqual(git.paths(), ["/acme/rocket.git/info/refs?service=git-receive-pack"])
        self.assertEqual(self.fake.paths(), ["/repos/acme/rocket", "/user"])

    async def test_requests_have_the_headers_that_github_documents(self) -> None:
        await self.level(CLASSIC, HubToken("ada", ("repo",)))
        for seen in self.fake.seen:
            self.assertEqual(seen.headers["accept"], "application/vnd.github+json")
            self.assertEqual(seen.headers["authorization"], f"Bearer {CLASSIC}")
            self.assertEqual(seen.headers["x-github-api-version"], "2022-11-28")

    async def test_names_are_encoded(self) -> None:
        await self.level(CLASSIC, HubToken("ada", ("repo",)), "acme/a b?c#d%2Fe&f:\u00e9")
        self.assertEqual(self.fake.paths()[0], "/repos/acme/a%20b%3Fc%23d%252Fe%26f%3A%C3%A9")

    def test_where_git_is_follows_from_where_the_api_is(self) -> None:
        for api, git in (
            ("https://api.github.com", "https://github.com"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com"),
            ("https://git.acme.example/api/v3", "https://git.acme.example"),
            ("https://git.acme.example:8443/api/v3", "https://git.acme.example:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://api.evil.example", "https://api.evil.example"),
        ):
            self.assertEqual(derive_git_url(api), git)
