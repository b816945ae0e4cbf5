"""GitLab: access levels, nested groups, scopes, and the tokens of CI jobs."""

from __future__ import annotations

from typing import Any

from giftless.auth.forges.gitlab import GitLabFactory
from giftless.errors import (
    ConfigError,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from tests.auth.forges.support import ForgeTestCase
from tests.support.forges import FakeGitLab, LabToken, Project, status

#: Access levels by user, from Guest to Owner.
LEVELS = {"gus": 10, "pam": 15, "rob": 20, "dee": 30, "mia": 40, "oda": 50}

EXPECTED = {
    "gus": "nothing",
    "pam": "nothing",
    "rob": "read",
    "dee": "write",
    "mia": "write",
    "oda": "write",
    "eve": "nothing",
}

TOKEN = "glpat-00000000000000000000"


class GitLabTests(ForgeTestCase):
    factory = GitLabFactory()

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitLab(
            {},
            {
                "acme/rocket": Project(LEVELS),
                "acme/team/rocket": Project(group=LEVELS),
                "acme/team/engines/rocket": Project({"dee": 20}, {"dee": 30, "rob": 20}),
                "acme/lent": Project(shared=LEVELS),
                "acme/site": Project(LEVELS, visibility="public"),
                "acme/intranet": Project(LEVELS, visibility="internal"),
                "acme/issues-only": Project(LEVELS, visibility="public", repository="private"),
                "acme/no-code": Project(LEVELS, visibility="public", repository="disabled"),
                "acme/old": Project(LEVELS, archived=True),
                "acme/robots": Project(LEVELS, job_pushes=True),
            },
        )
        self.serve(self.fake)

    def make(self, **options: Any) -> Any:
        return self.build(**{"orgs": ["acme"], "url": self.fake.url, **options})

    async def who(
        self,
        user: str,
        path: str = "acme/rocket",
        scopes: tuple[str, ...] = ("api",),
        kind: str = "personal",
        sent_user: str = "oauth2",
    ) -> tuple[str, str]:
        """Return whom a new token belongs to, and what it allows."""
        self.fake.tokens[TOKEN] = LabToken(user, scopes, kind)
        return await self.access(self.make(), TOKEN, path, sent_user)

    async def assert_levels(self, expected: dict[str, str], path: str, **token: Any) -> None:
        for user, level in expected.items():
            found = await self.who(user, path, **token)
            self.assertEqual(found, (user, level), path)

    async def test_a_members_access_level_decides(self) -> None:
        await self.assert_levels(EXPECTED, "acme/rocket")

    async def test_maintainers_decide_about_what_others_have_locked(self) -> None:
        """With a token that may push."""
        for user, scopes, expected in (
            ("oda", ("api",), True),
            ("mia", ("api",), True),
            ("mia", ("read_api",), False),
            ("dee", ("api",), False),
            ("rob", ("api",), False),
        ):
            self.fake.tokens[TOKEN] = LabToken(user, scopes, "personal")
            for path in ("acme/rocket", "acme/team/rocket"):
                found = await self.administers(self.make(), TOKEN, path)
                self.assertIs(found, expected, (user, scopes))

    async def test_a_groups_access_level_decides(self) -> None:
        await self.assert_levels(EXPECTED, "acme/team/rocket")

    async def test_the_higher_of_both_levels_decides(self) -> None:
        await self.assert_levels(
            {"dee": "write", "rob": "read", "eve": "nothing"}, "acme/team/engines/rocket"
        )

    async def test_members_of_a_group_that_it_is_shared_with_have_no_level(self) -> None:
        """But git lets them in."""
        await self.assert_levels(EXPECTED, "acme/lent")

    async def test_groups_are_nested(self) -> None:
        await self.who("dee", "acme/team/engines/rocket")
        self.assertEqual(self.fake.paths()[0], "/api/v4/projects/acme%2Fteam%2Fengines%2Frocket")

    async def test_open_projects_may_be_read_by_everybody(self) -> None:
        for path in ("acme/site", "acme/intranet"):
            await self.assert_levels(
                {**EXPECTED, "eve": "read", "gus": "read", "pam": "read"}, path
            )

    async def test_open_projects_may_be_read_without_git(self) -> None:
        self.fake.failure, self.fake.fails_on = status(404), "/info/refs"
        await self.assert_levels({"eve": "read", "gus": "read"}, "acme/site")

    async def test_code_that_only_members_see_is_only_read_by_members(self) -> None:
        await self.assert_levels(
            {"eve": "nothing", "gus": "nothing", "rob": "read", "dee": "write"}, "acme/issues-only"
        )

    async def test_a_project_without_code_gives_nothing(self) -> None:
        await self.assert_levels({"oda": "nothing", "eve": "nothing"}, "acme/no-code")

    async def test_an_archived_project_is_only_read(self) -> None:
        await self.assert_levels({"oda": "read", "rob": "read", "eve": "nothing"}, "acme/old")

    async def test_scopes_limit_what_the_role_allows(self) -> None:
        for kind in ("personal", "oauth"):
            for scopes, expected in (
                (("api",), ("dee", "write")),
                (("read_api", "write_repository"), ("dee", "write")),
                (("read_api",), ("dee", "read")),
                (("read_api", "read_repository"), ("dee", "read")),
            ):
                self.assertEqual(await self.who("dee", scopes=scopes, kind=kind), expected, scopes)

    async def test_tokens_for_git_only_are_judged_by_git(self) -> None:
        """The API is closed to them, and so their owner's name is unknown."""
        for kind in ("personal", "oauth"):
            for scopes, expected in (
                (("read_repository", "write_repository"), "write"),
                (("read_repository",), "read"),
                (("read_registry",), "nothing"),
            ):
                found = await self.who("dee", scopes=scopes, kind=kind)
                self.assertEqual(found, ("gitlab-token", expected), scopes)
            found = await self.who("rob", scopes=("write_repository", "read_user"), kind=kind)
            self.assertEqual(found, ("rob", "read"))

    async def test_a_gitlab_that_does_not_tell_scopes_leaves_it_to_the_role(self) -> None:
        self.fake.old = True
        await self.assert_levels({"dee": "write", "rob": "read"}, "acme/rocket")

    async def test_jobs_may_what_git_lets_them_do(self) -> None:
        for path, expected in (("acme/rocket", "read"), ("acme/robots", "write")):
            found = await self.who("dee", path, kind="job", sent_user="gitlab-ci-token")
            self.assertEqual(found, ("dee", expected))
        found = await self.who("eve", kind="job", sent_user="gitlab-ci-token")
        self.assertEqual(found, ("eve", "nothing"))

    async def test_a_jobs_token_is_known_by_its_prefix_as_well(self) -> None:
        self.fake.tokens["glcbt-64_abc"] = LabToken("dee", (), "job")
        self.assertEqual(await self.access(self.make(), "glcbt-64_abc"), ("dee", "read"))

    async def test_the_token_of_a_job_that_has_ended_is_401(self) -> None:
        error = await self.failure_of(
            Unauthorized, self.identify(self.make(), "ended", user="gitlab-ci-token")
        )
        self.assertIn("GitLab", error.message)

    async def test_a_bad_token_is_401(self) -> None:
        await self.failure_of(Unauthorized, self.identify(self.make(), TOKEN))
        await self.failure_of(Unauthorized, self.identify(self.make(), TOKEN, "acme/site"))

    async def test_every_question_can_fail(self) -> None:
        for part in ("/projects/", "/personal_access_tokens/self", "/api/v4/user"):
            self.fake.fails_on = part
            self.fake.failure = status(500)
            await self.failure_of(ServiceUnavailable, self.who("dee"))
            self.fake.failure = status(
                429, "Retry later\n", Retry_After="23", RateLimit_Remaining="0"
            )
            error = await self.failure_of(TooManyRequests, self.who("dee"))
            self.assertEqual(error.retry_after, 23)
        self.fake.fails_on, self.fake.failure = "/oauth/token/info", status(503)
        await self.failure_of(ServiceUnavailable, self.who("dee", kind="oauth"))
        self.fake.fails_on = "/info/refs"
        await self.failure_of(ServiceUnavailable, self.who("dee", "acme/lent"))

    async def test_orgs_may_be_groups_within_groups(self) -> None:
        self.fake.tokens[TOKEN] = LabToken("dee")
        forge = self.make(orgs=["Acme/Team"])
        for path, served in (
            ("acme/team/rocket", True),
            ("acme/team/engines/rocket", True),
            ("acme/rocket", False),
            ("acme/team", False),
            ("acme/teams/rocket", False),
            ("team/rocket", False),
        ):
            identity = await self.identify(forge, TOKEN, path)
            self.assertEqual(identity is not None, served, path)

    async def test_tokens_of_other_forges_are_passed_on(self) -> None:
        forge = self.make()
        for token in ("ghp_" + "0" * 36, "github_pat_" + "0" * 40, "ghs_" + "0" * 36):
            self.assertIsNone(await self.identify(forge, token))
        self.assertEqual(self.fake.seen, [])

    def test_the_url_must_be_given(self) -> None:
        error = self.assertRaises(ConfigError, self.build, orgs=["acme"])
        self.assertEqual(error.path, "auth.0.url")
