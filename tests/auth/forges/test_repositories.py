"""What repositories are called: one repository has one name here, as on its forge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.auth.forges.gitea import GiteaFactory
from giftless.auth.forges.github import GitHubFactory
from giftless.auth.forges.gitlab import GitLabFactory
from giftless.auth.forges.repositories import folded, parse_name, redirection
from giftless.errors import ConfigError, Forbidden, ServiceUnavailable
from giftless.interfaces import Identity, IHosting
from giftless.lfs.objects import Permission, Repo
from tests.auth.forges.support import ForgeTestCase
from tests.support.forges import (
    FakeGitea,
    FakeGitHub,
    FakeGitLab,
    HubRepo,
    HubToken,
    LabToken,
    Project,
    TeaRepo,
    TeaToken,
    status,
)
from tests.support.making import repo_of

if TYPE_CHECKING:
    _Mixin = ForgeTestCase
else:
    _Mixin = object

SPELLINGS = ("Acme/Rocket", "acme/rocket", "ACME/ROCKET", "aCME/rOCKET")


class NameContract(_Mixin):
    """Tests of any forge, on which wanda may write to ``Acme/Rocket``, and sam do nothing.

    :ivar fake: the forge.
    :ivar repos: its repositories, by name in lower case.
    """

    fake: Any
    repos: dict[str, Any]
    wanda: str
    sam: str
    kind: str
    url_option = "url"

    def make(self, **options: Any) -> Any:
        """Build an authenticator."""
        return self.build(**{"orgs": ["acme"], self.url_option: self.fake.url, **options})

    def rename(self, old: str, new: str) -> None:
        """Rename a repository on the forge."""
        self.fake.names.rename(old, new, self.repos)

    async def find(self, forge: Any, path: str, token: str | None = None) -> Identity:
        """Identify wanda, or somebody else."""
        identity = await self.identify(forge, token or self.wanda, path)
        assert identity is not None, "passed on"
        return identity

    async def test_each_spelling_is_the_name_that_the_forge_tells(self) -> None:
        for path in SPELLINGS:
            identity = await self.find(self.make(), path)
            self.assertEqual(identity.repo, repo_of("Acme/Rocket"), path)
            self.assertTrue(identity.grants.allows(Permission.WRITE, None))

    async def test_all_spellings_are_asked_about_once(self) -> None:
        forge = self.make()
        await self.find(forge, SPELLINGS[0])
        asked = len(self.fake.seen)
        for path in SPELLINGS[1:]:
            self.assertEqual((await self.find(forge, path)).repo, repo_of("Acme/Rocket"))
        self.assertEqual(len(self.fake.seen), asked)

    async def test_who_may_do_nothing_may_do_nothing_under_any_spelling(self) -> None:
        """Also after somebody else has been let in under another one."""
        forge = self.make()
        await self.find(forge, "Acme/Rocket")
        for path in SPELLINGS:
            identity = await self.find(forge, path, self.sam)
            self.assertIsNone(identity.repo, "what is there is not told")
            self.assertFalse(identity.grants.allows(Permission.READ_META, None))

    async def test_an_old_name_is_the_present_one(self) -> None:
        self.rename("Acme/Rocket", "Acme/Engine")
        for path in ("acme/rocket", "Acme/Rocket", "acme/engine"):
            identity = await self.find(self.make(), path)
            self.assertEqual(identity.repo, repo_of("Acme/Engine"), path)
            self.assertTrue(identity.grants.allows(Permission.WRITE, None))

    async def test_an_old_name_opens_nothing_for_who_may_do_nothing(self) -> None:
        self.rename("Acme/Rocket", "Acme/Engine")
        identity = await self.find(self.make(), "acme/rocket", self.sam)
        self.assertIsNone(identity.repo)
        self.assertFalse(identity.grants.allows(Permission.READ, None))

    async def test_a_transfer_within_what_is_served_is_followed(self) -> None:
        self.rename("Acme/Rocket", "Other/Rocket")
        forge = self.make(orgs=["acme", "other"])
        self.assertEqual((await self.find(forge, "acme/rocket")).repo, repo_of("Other/Rocket"))

    async def test_a_transfer_to_elsewhere_is_told(self) -> None:
        self.rename("Acme/Rocket", "Other/Rocket")
        error = await self.failure_of(Forbidden, self.find(self.make(), "acme/rocket"))
        self.assertIn("moved acme/rocket to Other/Rocket", error.message)

    async def test_a_number_outlasts_a_name(self) -> None:
        number = self.fake.names.id("acme/rocket")
        kept = repo_of(f"{self.kind}:{self.fake.url.removeprefix('http://')}/{number}")
        self.assertEqual((await self.find(self.make(by_id=True), "acme/rocket")).repo, kept)
        self.rename("Acme/Rocket", "Acme/Engine")
        for path in ("acme/rocket", "acme/engine"):
            self.assertEqual((await self.find(self.make(by_id=True), path)).repo, kept)

    async def test_git_clones_from_where_the_name_says(self) -> None:
        """Nobody need be asked for that."""
        forge = self.make()
        verifyObject(IHosting, forge)
        for path, expected in (
            ("Acme/Rocket", f"{self.fake.url}/Acme/Rocket.git"),
            ("acme/a b#c", f"{self.fake.url}/acme/a%20b%23c.git"),
            ("other/rocket", None),
            ("acme", None),
        ):
            self.assertEqual(await forge.clone_url(repo_of(path), ""), expected, path)
        self.assertEqual(self.fake.seen, [])

    async def test_git_clones_from_where_the_forge_says_that_the_number_is(self) -> None:
        forge = self.make(by_id=True)
        kept, number = str(forge.realm), self.fake.names.id("acme/rocket")
        self.rename("Acme/Rocket", "Acme/Engine")
        for path, expected in (
            (f"{kept}/{number}", f"{self.fake.url}/Acme/Engine.git"),
            (f"{kept}/{number + 1}", None),
            (f"{kept}/0{number}", None),
            (f"{kept}/rocket", None),
            (f"elsewhere/{number}", None),
            ("acme/engine", None),
        ):
            found = await forge.clone_url(repo_of(path), self.wanda)
            self.assertEqual(found, expected, path)
        asking = forge.clone_url(repo_of(f"{kept}/{number}"), self.sam)
        self.assertIsNone(await asking, "what sam must not see is not told")
        self.fake.failure = status(500)
        asking = forge.clone_url(repo_of(f"{kept}/{number}"), self.wanda)
        await self.failure_of(ServiceUnavailable, asking)

    async def test_who_takes_an_old_name_over_gets_nothing_by_it(self) -> None:
        old = (await self.find(self.make(by_id=True), "acme/rocket")).repo
        self.rename("Acme/Rocket", "Acme/Engine")
        self.repos["acme/rocket"] = self.repos["acme/engine"]
        self.fake.names.create("acme/rocket")
        new = (await self.find(self.make(by_id=True), "acme/rocket")).repo
        self.assertNotEqual(new, old)
        self.assertEqual((await self.find(self.make(by_id=True), "acme/engine")).repo, old)

    def test_a_realm_that_is_no_path_is_refused_for_numbers(self) -> None:
        for realm in ("a//b", "a/..", "x" * 300):
            error = self.assertRaises(ConfigError, self.make, by_id=True, realm=realm)
            self.assertEqual(error.path, "realm")
            self.make(realm=realm)


class GitHubNameTests(NameContract, ForgeTestCase):
    factory = GitHubFactory()
    wanda, sam, kind = "ghp_wanda", "ghp_sam", "github"
    url_option = "api_url"

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitHub(
            {self.wanda: HubToken("wanda", ("repo",)), self.sam: HubToken("sam", ("repo",))},
            {"Acme/Rocket": HubRepo({"wanda": "write"})},
        )
        self.repos = self.fake.repos
        self.serve(self.fake)

    async def test_tokens_that_git_judges_are_judged_by_the_present_name(self) -> None:
        """GitHub's git endpoint leads elsewhere for an old one."""
        token = "github_pat_wanda"
        self.fake.tokens[token] = HubToken("wanda", contents={"acme/engine": "write"})
        self.rename("Acme/Rocket", "Acme/Engine")
        identity = await self.find(self.make(), "acme/rocket", token)
        self.assertTrue(identity.grants.allows(Permission.WRITE, None))
        self.assertEqual(identity.repo, repo_of("Acme/Engine"))

    async def test_names_that_make_no_sense_are_503(self) -> None:
        for name in ("", "../../etc", "acme//x", "acme/\n", "acme/.giftless-x", "a/" + "0" * 64):
            body = {"full_name": name, "permissions": {"pull": True, "push": True}}
            self.fake.failure, self.fake.fails_on = status(200, body), "/repos/"
            await self.failure_of(ServiceUnavailable, self.find(self.make(), "acme/rocket"))

    async def test_an_answer_without_a_name_is_about_what_was_asked(self) -> None:
        body = {"permissions": {"pull": True, "push": True}}
        self.fake.failure, self.fake.fails_on = status(200, body), "/repos/"
        identity = await self.find(self.make(), "acme/rocket")
        self.assertEqual(identity.repo, repo_of("acme/rocket"))


class GiteaNameTests(NameContract, ForgeTestCase):
    factory = GiteaFactory()
    wanda, sam, kind = "w" * 40, "s" * 40, "gitea"

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitea(
            {self.wanda: TeaToken("wanda"), self.sam: TeaToken("sam")},
            {"Acme/Rocket": TeaRepo({"wanda": "write"})},
        )
        self.repos = self.fake.repos
        self.serve(self.fake)


class GitLabNameTests(NameContract, ForgeTestCase):
    factory = GitLabFactory()
    wanda, sam, kind = "glpat-wanda", "glpat-sam", "gitlab"

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitLab(
            {self.wanda: LabToken("wanda"), self.sam: LabToken("sam")},
            {"Acme/Rocket": Project({"wanda": 30}), "Acme/Team/Tool": Project({"wanda": 30})},
        )
        self.repos = self.fake.projects
        self.serve(self.fake)

    async def test_a_job_is_told_what_its_own_project_is_called(self) -> None:
        token = "glcbt-job"
        self.fake.tokens[token] = LabToken("wanda", (), "job", "Acme/Rocket")
        for path, repo in (("acme/rocket", repo_of("Acme/Rocket")), ("acme/team/tool", None)):
            self.assertEqual((await self.find(self.make(), path, token)).repo, repo)
        by_id = self.make(by_id=True)
        number = self.fake.names.id("acme/rocket")
        found = await self.find(by_id, "acme/rocket", token)
        assert found.repo is not None
        self.assertEqual(found.repo.segments[-1], str(number))
        await self.failure_of(Forbidden, self.find(by_id, "acme/team/tool", token))

    async def test_a_token_for_git_alone_uses_the_name_that_it_gives(self) -> None:
        """GitLab tells it no other; by a number nothing can be found then."""
        token = "glpat-git"
        self.fake.tokens[token] = LabToken("wanda", ("write_repository",))
        identity = await self.find(self.make(), "acme/rocket", token)
        self.assertIsNone(identity.repo)
        self.assertTrue(identity.grants.allows(Permission.WRITE, None))
        error = await self.failure_of(
            Forbidden, self.find(self.make(by_id=True), "acme/rocket", token)
        )
        self.assertIn("may read the API", error.message)


class NameTests(SynchronousTestCase):
    def test_only_letters_of_ascii_have_two_cases(self) -> None:
        """Others would be taken for letters that the forge has: K of Kelvin, long s."""
        for path, name in (
            ("Acme/Rocket", "acme/rocket"),
            ("acme/roc\u212aet", "acme/roc\u212aet"),
            ("\u0130/x", "\u0130/x"),
        ):
            self.assertEqual(folded(repo_of(path)), repo_of(name))

    @given(st.text())
    def test_a_name_is_a_repository_or_none(self, path: str) -> None:
        repo = parse_name(path)
        self.assertTrue(repo is None or isinstance(repo, Repo))
        if repo is not None:
            self.assertEqual(repo.path, path)

    @given(st.text(st.characters(max_codepoint=0x7F)))
    def test_no_redirection_leads_to_another_host(self, location: str) -> None:
        root = "https://forge.example/api/v3"
        target = redirection(root, f"{root}/repos/acme/rocket", location)
        if target is not None:
            self.assertTrue(target.lower().startswith((f"{root}/", f"{root}:")), target)

    def test_redirections_inside_of_the_api_are_followed(self) -> None:
        root, url = "https://forge.example/api", "https://forge.example/api/repos/a/b"
        for location, target in (
            (
                "https://forge.example/api/repositories/7",
                "https://forge.example/api/repositories/7",
            ),
            ("https://forge.example:443/api/x", "https://forge.example:443/api/x"),
            ("HTTPS://Forge.Example/api/x", "https://Forge.Example/api/x"),
            ("/api/repos/a/c", "https://forge.example/api/repos/a/c"),
            ("c", "https://forge.example/api/repos/a/c"),
            ("http://forge.example/api/x", None),
            ("https://forge.example:444/api/x", None),
            ("https://forge.example.evil/api/x", None),
            ("https://evil@forge.example/api/x", None),
            ("https://forge.example\\@evil/api/x", None),
            ("//evil/api/x", None),
            ("/apix", None),
            ("/login", None),
            ("", None),
            (None, None),
        ):
            self.assertEqual(redirection(root, url, location), target, location)
