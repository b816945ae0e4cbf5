"""Users of forges whom a key has identified: the forge is asked with a token of the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import gatherResults

from giftless.auth.chain import AuthChain
from giftless.auth.forges.gitea import GiteaFactory
from giftless.auth.forges.github import GitHubFactory
from giftless.auth.forges.gitlab import GitLabFactory
from giftless.auth.passwords.basic import BasicFactory, BasicOptions
from giftless.errors import (
    ConfigError,
    Forbidden,
    ForgeLimit,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from giftless.interfaces import Credentials, Identity, Password, Vouched
from giftless.lfs.objects import Permission
from tests.auth.forges.support import ServerTokenTestCase, level, start
from tests.support.forges import (
    Fake,
    FakeGitea,
    FakeGitHub,
    FakeGitLab,
    HubRepo,
    HubToken,
    LabToken,
    Person,
    Project,
    TeaRepo,
    TeaToken,
    account_id,
    cut,
    flood,
    hang,
    status,
)
from tests.support.making import environment, repo_of

if TYPE_CHECKING:
    _Mixin = ServerTokenTestCase
else:
    _Mixin = object


class VouchedMixin(_Mixin):
    """Tests of every forge: wanda may write to ``acme/rocket``, ray read, mia decide.

    :cvar own: a token of wanda's.
    """

    own: str

    def setUp(self) -> None:
        super().setUp()
        for name in ("wanda", "ray", "mia", "sam", "bot"):
            self.fake.people[name] = Person()
        self.forge = self.make()

    def make(self, **options: Any) -> Any:
        """Build the authenticator."""
        section = {"orgs": ["acme"], "token_file": str(self.token_file), **self.place()}
        return self.build(**{**section, **options})

    def user(self, name: str) -> str:
        """Return what a keyring calls somebody."""
        return f"{name}#{self.fake.people[name].id(name)}"

    async def of(
        self, user: str, path: str = "acme/rocket", forge: Any = None, realm: str = ""
    ) -> Identity | None:
        """Return what becomes of a vouched user."""
        forge = forge or self.forge
        credentials = Credentials((Vouched(user, realm or str(forge.realm)),), "192.0.2.1")
        identity: Identity | None = await forge.authenticate(credentials, repo_of(path))
        return identity

    async def may(self, name: str, path: str = "acme/rocket") -> tuple[str, str, bool]:
        """Return who a vouched user is, what they may do, and whether they decide for others."""
        identity = await self.of(self.user(name), path)
        assert identity is not None
        return identity.name, level(identity), identity.grants.allows(Permission.ADMIN, None)

    async def refusal_of(self, user: str) -> str:
        """Return the words in which a vouched user is refused."""
        error = await self.failure_of(Unauthorized, self.of(user))
        return str(error.message)

    async def test_what_the_forge_lets_a_user_do_a_vouched_one_may_do(self) -> None:
        self.assertEqual(await self.may("wanda"), ("wanda", "write", False))
        self.assertEqual(await self.may("ray"), ("ray", "read", False))
        self.assertEqual(await self.may("mia"), ("mia", "write", True))
        self.assertEqual(await self.may("sam"), ("sam", "nothing", False))

    async def test_a_public_repository_may_be_read_by_everybody(self) -> None:
        self.assertEqual(await self.may("sam", "acme/site"), ("sam", "read", False))

    async def test_an_archived_repository_is_only_read(self) -> None:
        self.assertEqual(await self.may("mia", "acme/old"), ("mia", "read", False))

    async def test_a_repository_that_is_not_there_gives_nothing(self) -> None:
        self.assertEqual(await self.may("wanda", "acme/nowhere"), ("wanda", "nothing", False))

    async def test_a_vouched_user_is_the_one_with_the_token(self) -> None:
        """So locks that were made in one way can be removed in the other."""
        shown = await self.identify(self.forge, self.own)
        for user in (self.user("wanda"), "wanda", "WANDA"):
            vouched = await self.of(user)
            assert shown is not None and vouched is not None
            self.assertEqual((vouched.principal, vouched.name), (shown.principal, "wanda"))
            self.assertEqual((level(vouched), vouched.repo), (level(shown), shown.repo))

    async def test_all_spellings_of_a_repository_are_one(self) -> None:
        for path in ("acme/rocket", "Acme/ROCKET"):
            identity = await self.of(self.user("wanda"), path)
            assert identity is not None and identity.repo is not None
            self.assertEqual(identity.repo.path, "acme/rocket")

    async def test_numbers_of_repositories_can_be_their_names(self) -> None:
        forge = self.make(by_id=True)
        shown = await self.identify(forge, self.own)
        vouched = await self.of(self.user("wanda"), forge=forge)
        assert shown is not None and vouched is not None and vouched.repo is not None
        self.assertEqual(vouched.repo, shown.repo)
        self.assertTrue(vouched.repo.segments[-1].isdecimal())

    async def test_users_of_another_realm_are_somebody_elses(self) -> None:
        for realm in ("basic", "github", "gitlab:elsewhere", f"{self.forge.realm}x"):
            self.assertIsNone(await self.of("wanda", realm=realm))
        self.assertEqual(self.fake.seen, [])

    async def test_repositories_of_other_orgs_are_somebody_elses(self) -> None:
        self.assertIsNone(await self.of("wanda", "elsewhere/rocket"))

    async def test_without_a_token_of_the_server_nobody_is_vouched_for(self) -> None:
        self.assertIsNone(await self.of("wanda", forge=self.make(token_file="")))
        self.assertEqual(self.fake.seen, [])

    async def test_whoever_takes_over_a_name_is_somebody_else(self) -> None:
        user = self.user("wanda")
        self.assertIsNotNone(await self.of(user))
        self.fake.people["wanda"].number = 4711
        self.clock.advance(1000)
        self.assertIn("not accepted", await self.refusal_of(user))
        other = await self.of(self.user("wanda"))
        assert other is not None
        self.assertTrue(other.principal.endswith("#id:4711"))

    async def test_a_name_that_is_taken_over_has_nothing_of_what_is_remembered(self) -> None:
        """However soon: the new account has another number from its first question on."""
        old = await self.of(self.user("wanda"))
        self.fake.people["wanda"].number = 4711
        new = await self.of(self.user("wanda"))
        assert old is not None and new is not None
        self.assertNotEqual(old.principal, new.principal)

    async def test_somebody_who_is_shut_out_may_do_nothing(self) -> None:
        self.fake.people["wanda"].is_shut_out = True
        try:
            identity = await self.of(self.user("wanda"))
        except Unauthorized:
            return
        assert identity is not None
        self.assertEqual(level(identity), "nothing")

    async def test_a_user_whom_the_forge_does_not_know_is_refused(self) -> None:
        for user in ("nobody", "nobody#1", f"wanda#{account_id('ray')}", "wanda#0"):
            await self.refusal_of(user)

    async def test_no_name_leads_out_of_the_place_of_names(self) -> None:
        for user in (
            "",
            "#",
            "#1",
            "wanda#",
            "wanda#x",
            "wanda#1#2",
            "wanda#-1",
            "wanda#\u0661",
            "..",
            "../wanda",
            "wanda/keys",
            "wanda?x=1",
            "wanda&username=ray",
            "wanda\r\nX: y",
            "wanda%2f..",
            "w\u00e4nda",
            "-wanda",
            "x" * 300,
        ):
            await self.refusal_of(user)
        self.assertEqual(self.fake.seen, [])

    async def test_the_forge_is_asked_once_in_a_push(self) -> None:
        user = self.user("wanda")
        waiting = [start(self.of(user, path)) for path in ("acme/rocket", "Acme/Rocket") * 3]
        await gatherResults(waiting)
        asked = len(self.fake.seen)
        self.assertLessEqual(asked, 3)
        self.clock.advance(899)
        await self.of(user)
        self.assertEqual(len(self.fake.seen), asked)
        self.clock.advance(1)
        await self.of(user)
        self.assertGreater(len(self.fake.seen), asked)

    async def test_what_holds_for_a_user_is_remembered_for_nobody_else(self) -> None:
        """Not for a token either that is spelled like the user."""
        await self.of(self.user("wanda"))
        self.assertEqual((await self.may("sam"))[1], "nothing")
        for shown in (Password("", "wanda"), Password("wanda", self.user("wanda"))):
            asking = self.forge.authenticate(Credentials((shown,)), repo_of("acme/rocket"))
            await self.failure_of(Unauthorized, asking)

    async def test_a_user_who_asks_for_many_repositories_is_slowed_down(self) -> None:
        """The server's token has a limit that all share."""
        user = self.user("sam")
        for number in range(60):
            await self.of(user, f"acme/r{number}")
        asked = len(self.fake.seen)
        for number in range(60, 200):
            await self.failure_of(TooManyRequests, self.of(user, f"acme/r{number}"))
        self.assertEqual(len(self.fake.seen), asked)
        self.assertEqual((await self.may("wanda"))[1], "write")
        self.assertIsNotNone(await self.of(user, "acme/r7"))
        self.clock.advance(60)
        self.assertIsNotNone(await self.of(user, "acme/r201"))

    async def test_a_long_push_to_one_repository_is_not_slowed_down(self) -> None:
        """Although nothing is remembered."""
        forge = self.make(read_ttl=0, write_ttl=0)
        for _ in range(70):
            self.assertIsNotNone(await self.of(self.user("wanda"), forge=forge))

    async def test_a_forge_that_does_not_tell_lets_nobody_in(self) -> None:
        user = self.user("wanda")
        for failure in (
            status(500),
            status(302, "", Location="http://192.0.2.1/"),
            status(200, "[1, 2"),
            status(200, "[[[[" * 10_000),
            status(200, '{"login": 7}'),
            cut,
            flood,
        ):
            self.fake.failure = failure
            try:
                identity = await self.of(user)
            except (ServiceUnavailable, Forbidden, Unauthorized):
                continue
            assert identity is not None
            self.assertEqual(level(identity), "nothing", failure)

    async def test_a_forge_that_never_answers_is_waited_for_within_limits(self) -> None:
        self.fake.failure = hang
        arrival = self.fake.arrival()
        waiting = start(self.of(self.user("wanda")))
        await arrival
        self.clock.advance(10)
        await self.failure_of(ServiceUnavailable, waiting)

    async def test_a_forge_that_wants_peace_is_left_in_peace(self) -> None:
        self.fake.failure = status(429, "", Retry_After="20")
        await self.failure_of(ForgeLimit, self.of(self.user("wanda")))
        self.fake.failure = None
        asked = len(self.fake.seen)
        error = await self.failure_of(ForgeLimit, self.of(self.user("ray")))
        self.assertEqual((error.retry_after, len(self.fake.seen)), (20, asked))
        self.clock.advance(20)
        self.assertEqual((await self.may("ray"))[1], "read")

    async def test_a_token_of_the_server_that_is_refused_is_the_operators_matter(self) -> None:
        self.token_file.write_text("other\n")
        forge = self.make()
        error = await self.failure_of(ServiceUnavailable, self.of(self.user("wanda"), forge=forge))
        self.assertIn("tell its operator", error.message)
        asked = len(self.fake.seen)
        for _ in range(5):
            again = await self.failure_of(
                ServiceUnavailable, self.of(self.user("wanda"), forge=forge)
            )
            self.assertEqual(again.message, error.message)
        self.assertEqual(len(self.fake.seen), asked)
        (logged,) = self.flush("token_file is of no use")
        self.assertNotIn("other", logged)

    async def test_a_new_token_of_the_server_counts_without_a_restart(self) -> None:
        self.token_file.write_text("other\n")
        forge = self.make()
        await self.failure_of(ServiceUnavailable, self.of(self.user("wanda"), forge=forge))
        self.flush("token_file is of no use")
        self.token_file.write_text(self.server)
        self.clock.advance(30)
        self.assertIsNotNone(await self.of(self.user("wanda"), forge=forge))

    def test_the_file_must_hold_a_token(self) -> None:
        for text in ("", "\n", "two words", "x\ny", "x" * 5000, "\u00e9"):
            self.token_file.write_text(text)
            error = self.assertRaises(ConfigError, self.make)
            self.assertEqual(error.path, "token_file")
        error = self.assertRaises(ConfigError, self.make, token_file="/nowhere/token")
        self.assertEqual(error.path, "token_file")

    def flush(self, words: str) -> list[str]:
        """Return what has been logged with some words."""
        found = [line for line in self.logged if words in line]
        self.logged.clear()
        return found


class GitHubTests(VouchedMixin, ServerTokenTestCase):
    factory = GitHubFactory()
    server = "ghp_bot0000000000000000000000000000000000"
    own = "ghp_wanda00000000000000000000000000000000"

    def make_fake(self) -> Fake:
        roles = {"wanda": "write", "ray": "triage", "mia": "maintain", "bot": "write"}
        return FakeGitHub(
            {self.server: HubToken("bot", ("repo",)), self.own: HubToken("wanda", ("repo",))},
            {
                "acme/rocket": HubRepo(roles),
                "acme/old": HubRepo(roles, archived=True),
                "acme/site": HubRepo({"bot": "admin"}, private=False),
                "acme/closed": HubRepo({"bot": "read", "wanda": "write"}),
            },
        )

    def place(self) -> dict[str, Any]:
        return {"api_url": self.fake.url}

    async def test_an_administrator_decides_for_others(self) -> None:
        self.fake.repos["acme/rocket"] = HubRepo({"bot": "write", "ray": "admin"})
        self.assertEqual(await self.may("ray"), ("ray", "write", True))

    async def test_a_token_must_be_able_to_push_to_ask_about_others(self) -> None:
        await self.failure_of(ServiceUnavailable, self.of(self.user("wanda"), "acme/closed"))
        self.assertEqual(len(self.flush("may not ask for the permissions of others")), 1)

    async def test_a_local_user_of_the_same_name_is_another_person(self) -> None:
        """Wherever the two authenticators stand in the chain."""
        access = Path(self.mktemp())
        access.write_text("wanda:\n  acme/*: read\nray:\n  acme/*: admin\n")
        basic = BasicFactory().build(BasicOptions(access=str(access)), environment())
        for order in ([basic, self.forge], [self.forge, basic]):
            chain = AuthChain(order)
            for name, here, there in (("wanda", "read", "write"), ("ray", "write", "read")):
                local, remote = (
                    await self.of(name, forge=chain, realm="basic"),
                    await self.of(self.user(name), forge=chain, realm=str(self.forge.realm)),
                )
                assert local is not None and remote is not None
                self.assertEqual((level(local), level(remote)), (here, there))
                self.assertNotEqual(local.principal, remote.principal)

    async def test_an_organisation_is_no_user(self) -> None:
        self.fake.failure, self.fake.fails_on = (
            status(200, {"login": "acme", "id": 1, "type": "Organization"}),
            "/users/",
        )
        await self.refusal_of("acme")


class GiteaTests(VouchedMixin, ServerTokenTestCase):
    factory = GiteaFactory()
    server = "5" * 40
    own = "6" * 40

    def make_fake(self) -> Fake:
        roles = {"wanda": "write", "ray": "read", "mia": "admin"}
        fake = FakeGitea(
            {self.server: TeaToken("bot"), self.own: TeaToken("wanda")},
            {
                "acme/rocket": TeaRepo(roles),
                "acme/old": TeaRepo(roles, archived=True),
                "acme/copy": TeaRepo(roles, mirror=True),
                "acme/site": TeaRepo(private=False),
            },
        )
        fake.admins.add("bot")
        return fake

    async def test_a_mirror_is_only_read(self) -> None:
        self.assertEqual(await self.may("mia", "acme/copy"), ("mia", "read", False))

    async def test_a_token_that_may_not_ask_about_others_lets_nobody_in(self) -> None:
        self.token_file.write_text(f"{self.own}\n")
        forge = self.make()
        await self.failure_of(ServiceUnavailable, self.of(self.user("ray"), forge=forge))
        self.assertEqual(len(self.flush("token_file is of no use")), 1)

    async def test_the_old_name_of_an_account_is_nobodys(self) -> None:
        user = self.user("ray")
        self.fake.names.moved["ray"] = "raymond"
        await self.refusal_of(user)


class GitLabTests(VouchedMixin, ServerTokenTestCase):
    factory = GitLabFactory()
    server = "glpat-botbotbotbotbotbotbo"
    own = "glpat-wandawandawandawanda"

    def make_fake(self) -> Fake:
        members = {"wanda": 30, "ray": 20, "mia": 40, "bot": 20}
        return FakeGitLab(
            {self.server: LabToken("bot", ("read_api",)), self.own: LabToken("wanda")},
            {
                "acme/rocket": Project(members),
                "acme/old": Project(members, archived=True),
                "acme/site": Project(visibility="public"),
                "acme/inner": Project({"ray": 10}, visibility="internal"),
                "acme/members-only": Project(members, visibility="public", repository="private"),
                "acme/wiki": Project(members, visibility="public", repository="disabled"),
                "acme/shared": Project({"bot": 20}, shared={"wanda": 30}, group={"ray": 20}),
            },
        )

    async def test_levels_of_groups_count(self) -> None:
        self.assertEqual((await self.may("wanda", "acme/shared"))[1], "write")
        self.assertEqual((await self.may("ray", "acme/shared"))[1], "read")

    async def test_repositories_that_are_not_open_to_all_are_for_members(self) -> None:
        self.assertEqual((await self.may("sam", "acme/inner"))[1], "nothing")
        self.assertEqual((await self.may("ray", "acme/inner"))[1], "nothing")
        self.assertEqual((await self.may("sam", "acme/members-only"))[1], "nothing")
        self.assertEqual((await self.may("wanda", "acme/members-only"))[1], "write")
        self.assertEqual((await self.may("mia", "acme/wiki"))[1], "nothing")

    async def test_a_member_who_waits_for_approval_may_do_nothing(self) -> None:
        document = {"access_level": 30, "state": "active", "membership_state": "awaiting"}
        self.fake.failure, self.fake.fails_on = status(200, document), "/members/"
        self.assertEqual((await self.may("wanda"))[1], "nothing")
