"""Keys that forges publish: whose they are, and how much a forge is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from treq.testing import StubTreq
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock

from giftless.auth.keys.forges import GiteaKeysFactory, GitHubKeysFactory, GitLabKeysFactory
from giftless.base.schema import convert
from giftless.errors import ConfigError, ServiceUnavailable, TooManyRequests
from giftless.interfaces import KeyOwner, KnownKey, OfferedKey
from tests.auth.forges.support import ServerTokenTestCase, start
from tests.contracts.keyrings import KeyringContract
from tests.support.forges import (
    Fake,
    FakeGitea,
    FakeGitHub,
    FakeGitLab,
    HubToken,
    LabToken,
    Person,
    TeaToken,
    account_id,
    cut,
    flood,
    hang,
    status,
)
from tests.support.making import environment
from tests.support.run import CoroutineTestCase
from tests.support.ssh_keys import SECURITY_KEYS, blob_of, public_key

WANDA = public_key("wanda")
LAPTOP = public_key("wanda's laptop", "ecdsa", "256")
RAY = public_key("ray")
SAM = public_key("sam")
EVE = public_key("eve")

TOKEN = "ghp_bot0000000000000000000000000000000000"

if TYPE_CHECKING:
    _Mixin = ServerTokenTestCase
else:
    _Mixin = object


def people() -> dict[str, Person]:
    """Return the accounts of a forge."""
    return {
        "Wanda": Person([WANDA, "ssh-rsa hunter2", "", "x", LAPTOP], signing=[EVE]),
        "ray": Person([RAY]),
        "sam": Person([SAM]),
        "eve": Person([EVE]),
        "nokeys": Person(),
    }


class ContractTests(KeyringContract, CoroutineTestCase):
    """Over a fake in memory, so that every answer is there at once."""

    def make_keyring(self) -> Any:
        fake = FakeGitHub({}, {})
        fake.url = "http://forge.example"
        fake.people = people()
        http: Any = StubTreq(fake)
        section = {"users": ["wanda", "ray", "*"], "api_url": fake.url}
        options = convert(section, GitHubKeysFactory.Options, "ssh.keys.0")
        return GitHubKeysFactory().build(options, environment(reactor=Clock(), http=http))

    def owned(self) -> Sequence[tuple[OfferedKey, str]]:
        wanda, ray = f"Wanda#{account_id('Wanda')}", f"ray#{account_id('ray')}"
        return [
            (OfferedKey(blob_of(WANDA), "git"), wanda),
            (OfferedKey(blob_of(LAPTOP), "wanda"), wanda),
            (OfferedKey(blob_of(RAY), "git"), ray),
            (OfferedKey(blob_of(SAM), "sam"), f"sam#{account_id('sam')}"),
        ]

    def unknown(self) -> Sequence[OfferedKey]:
        return [
            OfferedKey(blob_of(SAM), "git"),
            OfferedKey(blob_of(WANDA), "ray"),
            OfferedKey(blob_of(WANDA), "nobody"),
            OfferedKey(blob_of(WANDA), ""),
            OfferedKey(blob_of(SECURITY_KEYS[0]), "git"),
        ]


class PublishedMixin(_Mixin):
    """Tests of every forge."""

    server = TOKEN

    def setUp(self) -> None:
        super().setUp()
        self.fake.people = people()
        self.fake.orgs = {"acme": ["Wanda", "ray"]}

    def make(self, *users: str, **options: Any) -> Any:
        """Build a keyring."""
        section = {"users": list(users), "token_file": str(self.token_file), **self.place()}
        return self.build(**{**section, **options})

    async def user(
        self, keyring: Any, line: str, login: str = "git", address: str = "192.0.2.1"
    ) -> str | None:
        """Return the name of the account that a key belongs to."""
        owner: KeyOwner | None = await keyring.owner(OfferedKey(blob_of(line), login, address))
        if owner is None:
            return None
        name, _, number = owner.user.partition("#")
        self.assertEqual(int(number), self.fake.people[name].id(name))
        self.assertEqual(owner.realm, keyring.realm)
        return name

    async def test_the_keys_of_named_users_are_theirs(self) -> None:
        keyring = self.make("WANDA", "ray")
        for line, login, user in (
            (WANDA, "git", "Wanda"),
            (LAPTOP, "git", "Wanda"),
            (RAY, "git", "ray"),
            (WANDA, "wanda", "Wanda"),
            (RAY, "wanda", None),
            (SAM, "git", None),
            (SAM, "sam", None),
            (EVE, "git", None),
            (EVE, "wanda", None),
            (WANDA, "lfs", "Wanda"),
            (SAM, "root", None),
            (RAY, "", "ray"),
        ):
            self.assertEqual(await self.user(keyring, line, login), user, (line, login))

    async def test_where_any_name_may_be_somebodys_named_users_share_one_login(self) -> None:
        keyring = self.make("wanda", "*")
        for login, user in (("git", "Wanda"), ("wanda", "Wanda"), ("lfs", None), ("", None)):
            self.assertEqual(await self.user(keyring, WANDA, login), user, login)

    async def test_the_keys_of_members_are_theirs(self) -> None:
        keyring = self.make(orgs=["Acme"])
        for line, login, user in (
            (WANDA, "git", "Wanda"),
            (RAY, "ray", "ray"),
            (SAM, "git", None),
            (SAM, "sam", None),
        ):
            self.assertEqual(await self.user(keyring, line, login), user, (line, login))

    async def test_members_who_leave_are_nobody_when_their_time_is_over(self) -> None:
        keyring = self.make(orgs=["acme"])
        self.assertEqual(await self.user(keyring, RAY), "ray")
        self.fake.orgs["acme"] = ["Wanda", "sam"]
        self.clock.advance(600)
        self.assertIsNone(await self.user(keyring, RAY))
        self.assertEqual(await self.user(keyring, SAM), "sam")

    async def test_large_organisations_are_known_to_the_last_member(self) -> None:
        names = [f"member{number}" for number in range(220)]
        self.fake.people.update((name, Person()) for name in names)
        self.fake.people["member219"].keys.append(SAM)
        self.fake.orgs["acme"] = names
        self.assertEqual(await self.user(self.make(orgs=["acme"]), SAM, "member219"), "member219")

    async def test_users_are_found_by_the_name_that_they_log_in_with(self) -> None:
        keyring = self.make("*")
        self.assertEqual(await self.user(keyring, SAM, "SAM"), "sam")
        for line, login in ((SAM, "git"), (SAM, "ray"), (SAM, "nobody"), (SAM, "nokeys")):
            self.assertIsNone(await self.user(keyring, line, login))

    async def test_no_login_leads_out_of_the_place_of_names(self) -> None:
        keyring = self.make("*")
        for login in ("..", "../sam", "sam/x", "sam?x", "sam%2f", "s\u00e4m", "-sam", "x" * 300):
            self.assertIsNone(await self.user(keyring, SAM, login))
        self.assertEqual(self.fake.seen, [])

    async def test_somebody_who_is_shut_out_has_no_keys(self) -> None:
        self.fake.people["ray"].is_shut_out = True
        self.assertIsNone(await self.user(self.make("ray"), RAY))

    async def test_whoever_takes_over_the_name_of_a_member_is_not_the_member(self) -> None:
        """Although the list of members, which is remembered, still has the name."""
        keyring = self.make(orgs=["acme"])
        self.assertEqual(await self.user(keyring, WANDA), "Wanda")
        self.fake.people["ray"] = Person([EVE], number=4711)
        for login in ("git", "ray"):
            self.assertIsNone(await self.user(keyring, EVE, login))
            self.clock.advance(31)

    async def test_a_key_of_two_users_is_nobodys(self) -> None:
        self.fake.people["ray"].keys.append(WANDA)
        keyring = self.make("wanda", "ray")
        for _ in range(2):
            self.assertIsNone(await self.user(keyring, WANDA))
        self.assertIn("several users have one key", self.logged[-1])
        self.assertEqual(await self.user(keyring, RAY), "ray")
        self.assertEqual(await self.user(keyring, WANDA, "wanda"), "Wanda")
        listed = [key.line for key in await keyring.keys()]
        self.assertEqual(sorted(listed), sorted([LAPTOP, RAY]))

    async def test_all_keys_of_named_users_are_listed(self) -> None:
        keyring = self.make("wanda", "*", orgs=["acme"])
        listed: Sequence[KnownKey] = await keyring.keys()
        found = sorted((key.owner.user.partition("#")[0], key.line) for key in listed)
        self.assertEqual(found, sorted([("Wanda", WANDA), ("Wanda", LAPTOP), ("ray", RAY)]))

    async def test_a_known_key_leads_to_no_question(self) -> None:
        keyring = self.make("wanda", "ray", "sam")
        for line in (WANDA, RAY, EVE):
            await self.user(keyring, line)
        asked = len(self.fake.seen)
        for line in (WANDA, LAPTOP, RAY) * 5:
            await self.user(keyring, line)
        self.assertEqual(len(self.fake.seen), asked)
        self.clock.advance(600)
        await self.user(keyring, RAY)
        new = self.fake.paths()[asked:]
        self.assertTrue(new)
        self.assertEqual([path for path in new if "anda" in path or "sam" in path], [])

    async def test_thousands_of_keys_lead_to_few_questions(self) -> None:
        keyring = self.make("wanda", "ray", orgs=["acme"])
        blob = bytearray(blob_of(EVE))
        for number in range(3000):
            blob[-4:] = number.to_bytes(4, "big")
            login = ("git", "wanda", "root", "git")[number % 4]
            self.assertIsNone(await keyring.owner(OfferedKey(bytes(blob), login, "192.0.2.9")))
        self.assertLess(len(self.fake.seen), 15)
        self.assertEqual(await self.user(keyring, WANDA), "Wanda")

    async def test_thousands_of_names_lead_to_few_questions(self) -> None:
        keyring = self.make("*", cache_size=100)
        self.assertEqual(await self.user(keyring, SAM, "sam"), "sam")
        refused = 0
        for number in range(2000):
            address = f"198.51.100.{number % 200}"
            try:
                await self.user(keyring, EVE, f"user{number}", address)
            except TooManyRequests:
                refused += 1
        self.assertGreater(refused, 1900)
        self.assertLess(len(self.fake.seen), 100)
        self.assertLessEqual(len(keyring._others), 100)
        self.clock.advance(599)
        self.assertEqual(await self.user(keyring, SAM, "sam"), "sam")

    async def test_one_address_does_not_use_up_what_all_have(self) -> None:
        keyring = self.make("*")
        for number in range(10):
            await self.user(keyring, EVE, f"user{number}", "198.51.100.1")
        await self.failure_of(TooManyRequests, self.user(keyring, EVE, "user10", "198.51.100.1"))
        self.assertEqual(await self.user(keyring, SAM, "sam", "192.0.2.1"), "sam")
        self.clock.advance(60)
        self.assertIsNone(await self.user(keyring, EVE, "user10", "198.51.100.1"))

    async def test_who_was_known_lately_is_not_held_up_by_strangers(self) -> None:
        keyring = self.make("*")
        self.assertEqual(await self.user(keyring, SAM, "sam"), "sam")
        self.clock.advance(3600)
        for number in range(40):
            with contextlib.suppress(TooManyRequests):
                await self.user(keyring, EVE, f"user{number}", f"198.51.100.{number}")
        self.assertEqual(await self.user(keyring, SAM, "sam"), "sam")

    async def test_a_new_key_counts_soon_and_a_removed_one_is_forgotten(self) -> None:
        keyring = self.make("ray", "*")
        for login in ("ray", "sam"):
            self.assertIsNone(await self.user(keyring, EVE, login))
            self.fake.people[login].keys[:] = [EVE]
            self.clock.advance(30)
            self.assertEqual(await self.user(keyring, EVE, login), login)
            self.fake.people[login].keys[:] = []
            self.clock.advance(600)
            self.assertIsNone(await self.user(keyring, EVE, login))

    async def test_questions_at_the_same_time_are_one(self) -> None:
        keyring = self.make("wanda", "ray", orgs=["acme"])
        lines = (WANDA, LAPTOP, RAY, EVE) * 5
        waiting = [start(self.user(keyring, line)) for line in lines]
        users = await gatherResults(waiting)
        self.assertEqual(users, ["Wanda", "Wanda", "ray", None] * 5)
        self.assertLess(len(self.fake.seen), 10)

    async def test_a_forge_that_does_not_tell_lets_nobody_in(self) -> None:
        for failure in (
            status(500),
            status(200, "[1, 2"),
            status(200, "[[[[" * 10_000),
            status(200, '{"login": 7}'),
            status(302, "", Location="http://192.0.2.1/"),
            status(301, ""),
            status(404),
            cut,
            flood,
        ):
            for keyring in (self.make("ray"), self.make("*"), self.make(orgs=["acme"])):
                self.fake.failure = failure
                for login in ("git", "ray"):
                    with contextlib.suppress(ServiceUnavailable):
                        self.assertIsNone(await self.user(keyring, RAY, login), failure)
                self.fake.failure = None

    async def test_a_forge_that_is_away_is_left_alone_for_a_while(self) -> None:
        keyring = self.make("wanda", "ray")
        self.fake.failure = status(500)
        await self.failure_of(ServiceUnavailable, self.user(keyring, RAY))
        asked = len(self.fake.seen)
        for login in ("git", "ray", "wanda") * 10:
            await self.failure_of(ServiceUnavailable, self.user(keyring, RAY, login))
        self.assertEqual(len(self.fake.seen), asked)
        self.fake.failure = None
        self.clock.advance(10)
        self.assertEqual(await self.user(keyring, RAY), "ray")

    async def test_a_forge_that_never_answers_is_waited_for_within_limits(self) -> None:
        keyring = self.make("ray")
        self.fake.failure = hang
        arrival = self.fake.arrival()
        waiting = start(self.user(keyring, RAY))
        await arrival
        self.clock.advance(10)
        await self.failure_of(ServiceUnavailable, waiting)

    async def test_lists_without_end_are_refused(self) -> None:
        keyring = self.make(orgs=["acme"])
        page = [{"login": "x", "username": "x", "id": 1, "state": "active"}] * 100
        self.fake.failure = status(200, page)
        await self.failure_of(ServiceUnavailable, self.user(keyring, RAY))
        self.assertEqual(len(self.fake.seen), 101)
        self.fake.failure = status(200, page * 150)
        self.clock.advance(10)
        await self.failure_of(ServiceUnavailable, self.user(keyring, RAY))
        self.assertEqual(len(self.fake.seen), 102)

    async def test_what_is_remembered_stays_good_while_the_forge_is_away(self) -> None:
        keyring = self.make("ray")
        await self.user(keyring, RAY)
        self.fake.failure = status(500)
        self.clock.advance(599)
        self.assertEqual(await self.user(keyring, RAY), "ray")
        self.clock.advance(1)
        await self.failure_of(ServiceUnavailable, self.user(keyring, RAY))

    async def test_a_token_that_is_refused_is_the_operators_matter(self) -> None:
        keyring = self.make("ray", orgs=["acme"])
        self.fake.failure = status(401)
        error = await self.failure_of(ServiceUnavailable, self.user(keyring, RAY))
        self.assertIn("tell its operator", error.message)
        self.assertNotIn(TOKEN, "".join(self.logged))

    def test_the_realm_is_that_of_the_authenticator(self) -> None:
        host = self.fake.url.partition("//")[2]
        kind = self.factory.__class__.__name__.removesuffix("KeysFactory").lower()
        self.assertEqual(self.make("ray").realm, f"{kind}:{host}")
        self.assertEqual(self.make("ray", realm="basic").realm, "basic")

    def test_whose_keys_count_must_be_said(self) -> None:
        for options, path in (
            ({}, "users"),
            ({"users": ["a b"]}, "users.0"),
            ({"users": ["ok", "a/b"]}, "users.1"),
            ({"users": [""]}, "users.0"),
            ({"users": ["**"]}, "users.0"),
            ({"orgs": ["*"]}, "orgs.0"),
            ({"orgs": ["a//b"]}, "orgs.0"),
            ({"users": ["ok"], "token_file": "/nowhere"}, "token_file"),
        ):
            section = {"token_file": "", **self.place(), **options}
            error = self.assertRaises(ConfigError, self.build, **section)
            self.assertEqual(error.path, path)


class GitHubTests(PublishedMixin, ServerTokenTestCase):
    factory = GitHubKeysFactory()

    def make_fake(self) -> Fake:
        return FakeGitHub({TOKEN: HubToken("bot", ("read:org",))}, {})

    def place(self) -> dict[str, Any]:
        return {"api_url": self.fake.url}


class GiteaTests(PublishedMixin, ServerTokenTestCase):
    factory = GiteaKeysFactory()

    def make_fake(self) -> Fake:
        fake = FakeGitea({TOKEN: TeaToken("bot")}, {})
        fake.admins.add("bot")
        return fake


class GitLabTests(PublishedMixin, ServerTokenTestCase):
    factory = GitLabKeysFactory()

    def make_fake(self) -> Fake:
        return FakeGitLab({TOKEN: LabToken("bot")}, {})
