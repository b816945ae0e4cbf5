"""What authentication by any forge promises, shown with GitHub's API."""

from __future__ import annotations

import email.utils
import gc
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto
from treq.testing import StubTreq
from twisted.internet.defer import gatherResults
from twisted.internet.ssl import CertificateOptions
from twisted.web.server import Site

from giftless.auth.forges.authenticator import ForgeAuthenticator
from giftless.auth.forges.github import GitHubFactory
from giftless.base.schema import convert
from giftless.errors import (
    ConfigError,
    Forbidden,
    LFSError,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from giftless.interfaces import Bearer, Credentials, Password
from tests.auth.forges.support import NOW, ForgeTestCase, level, start
from tests.contracts.authenticators import FOREIGN, AuthenticatorContract
from tests.support.forges import (
    Failure,
    FakeGitHub,
    HubRepo,
    HubToken,
    account_id,
    cut,
    flood,
    hang,
    hang_midway,
    status,
)
from tests.support.logs import observe
from tests.support.making import environment, repo_of
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase

WRITER = "ghp_writer0000000000000000000000000000000"
READER = "ghp_reader0000000000000000000000000000000"
STRANGER = "ghp_stranger00000000000000000000000000000"


def self_signed() -> CertificateOptions:
    """Make a certificate for 127.0.0.1 that nobody has vouched for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(key),
        certificate=crypto.X509.from_cryptography(certificate),
    )


class ForgeCase(ForgeTestCase):
    factory = GitHubFactory()

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeGitHub(
            {
                WRITER: HubToken("wanda", ("repo",)),
                READER: HubToken("ray", ("repo",)),
                STRANGER: HubToken("sam", ("repo",)),
            },
            {
                "acme/rocket": HubRepo({"wanda": "write", "ray": "read"}),
                "acme/anvil": HubRepo({"wanda": "write", "ray": "read"}),
                "other/thing": HubRepo({"wanda": "admin"}),
            },
        )
        self.serve(self.fake)
        self.forge = self.make()

    def make(self, **options: Any) -> Any:
        return self.build(**{"orgs": ["acme"], "api_url": self.fake.url, **options})

    def fail_with(self, failure: Failure, on: str = "") -> None:
        self.fake.failure, self.fake.fails_on = failure, on


class ContractTests(AuthenticatorContract, CoroutineTestCase):
    """Over a fake in memory, so that every answer is there at once."""

    def make_authenticator(self) -> Any:
        fake = FakeGitHub(
            {WRITER: HubToken("wanda", ("repo",))}, {"org/repo": HubRepo({"wanda": "write"})}
        )
        fake.url = "http://forge.example"
        options = convert({"orgs": ["org"], "api_url": fake.url}, GitHubFactory.Options, "auth.0")
        http: Any = StubTreq(fake)
        given = environment(http=http)
        return GitHubFactory().build(options, given)

    def accepted(self) -> list[Credentials]:
        return [
            Credentials((Password("wanda", WRITER),)),
            Credentials((Bearer(WRITER),)),
        ]


class RememberingTests(ForgeCase):
    async def test_the_forge_is_asked_once_in_a_push(self) -> None:
        for _ in range(20):
            self.assertEqual(await self.access(self.forge, WRITER), ("wanda", "write"))
        self.assertEqual(self.fake.paths(), ["/repos/acme/rocket", "/user"])

    async def test_who_may_write_is_remembered_for_write_ttl(self) -> None:
        forge = self.make(write_ttl=100, read_ttl=10)
        await self.access(forge, WRITER)
        self.clock.advance(99)
        await self.access(forge, WRITER)
        self.assertEqual(len(self.fake.seen), 2)
        self.fake.repos["acme/rocket"] = HubRepo({"wanda": "read"})
        self.clock.advance(1)
        self.assertEqual(await self.access(forge, WRITER), ("wanda", "read"))

    async def test_who_may_only_read_is_remembered_for_read_ttl(self) -> None:
        forge = self.make(write_ttl=100, read_ttl=10)
        self.assertEqual(await self.access(forge, READER), ("ray", "read"))
        self.fake.repos["acme/rocket"] = HubRepo({"ray": "write"})
        self.clock.advance(9)
        self.assertEqual(await self.access(forge, READER), ("ray", "read"))
        self.clock.advance(1)
        self.assertEqual(await self.access(forge, READER), ("ray", "write"))

    async def test_who_may_do_nothing_is_remembered_for_read_ttl(self) -> None:
        forge = self.make(write_ttl=100, read_ttl=10)
        self.assertEqual(await self.access(forge, STRANGER), ("sam", "nothing"))
        self.fake.repos["acme/rocket"] = HubRepo({"sam": "write"})
        self.clock.advance(9)
        self.assertEqual(await self.access(forge, STRANGER), ("sam", "nothing"))
        self.clock.advance(1)
        self.assertEqual(await self.access(forge, STRANGER), ("sam", "write"))

    async def test_what_holds_for_one_repository_says_nothing_of_another(self) -> None:
        self.fake.repos["acme/anvil"] = HubRepo({"wanda": "read"})
        self.assertEqual(await self.access(self.forge, WRITER), ("wanda", "write"))
        self.assertEqual(await self.access(self.forge, WRITER, "acme/anvil"), ("wanda", "read"))

    async def test_what_holds_for_one_token_says_nothing_of_another(self) -> None:
        await self.access(self.forge, WRITER)
        self.assertEqual(await self.access(self.forge, STRANGER), ("sam", "nothing"))

    async def test_a_name_is_asked_for_once_per_token(self) -> None:
        await self.access(self.forge, WRITER)
        await self.access(self.forge, WRITER, "acme/anvil")
        self.assertEqual(self.fake.paths().count("/user"), 1)

    async def test_no_more_is_remembered_than_cache_size(self) -> None:
        forge = self.make(cache_size=1)
        await self.access(forge, WRITER)
        await self.access(forge, WRITER, "acme/anvil")
        await self.access(forge, WRITER)
        self.assertEqual(self.fake.paths().count("/repos/acme/rocket"), 2)

    async def test_a_time_of_zero_asks_every_time(self) -> None:
        forge = self.make(write_ttl=0)
        await self.access(forge, WRITER)
        await self.access(forge, WRITER)
        self.assertEqual(self.fake.paths().count("/repos/acme/rocket"), 2)

    async def test_a_bad_token_is_not_remembered(self) -> None:
        """It may become good: tokens are sometimes replicated late."""
        await self.failure_of(Unauthorized, self.identify(self.forge, "ghp_new"))
        self.fake.tokens["ghp_new"] = HubToken("nora", ("repo",))
        self.assertEqual(await self.access(self.forge, "ghp_new"), ("nora", "nothing"))

    async def test_an_outage_does_not_touch_whom_it_remembers(self) -> None:
        await self.access(self.forge, WRITER)
        self.fail_with(status(500))
        self.assertEqual(await self.access(self.forge, WRITER), ("wanda", "write"))
        self.clock.advance(901)
        await self.failure_of(ServiceUnavailable, self.identify(self.forge, WRITER))

    async def test_requests_at_the_same_time_share_one_question(self) -> None:
        running = [start(self.access(self.forge, WRITER)) for _ in range(8)]
        self.assertEqual(await gatherResults(running), [("wanda", "write")] * 8)
        self.assertEqual(self.fake.paths(), ["/repos/acme/rocket", "/user"])

    async def test_what_is_remembered_of_tokens_is_counted(self) -> None:
        running = [start(self.access(self.forge, WRITER)) for _ in range(3)]
        await gatherResults(running)
        await self.access(self.forge, WRITER)
        await self.access(self.forge, READER)
        results = ["miss", "shared", "shared", "hit", "miss"]
        self.assertEqual(self.lookups, [("github", result) for result in results])

    async def test_a_refusal_that_is_remembered_is_a_hit(self) -> None:
        for _ in range(5):
            await self.failure_of(Unauthorized, self.identify(self.forge, "ghp_unknown"))
        results = ["miss"] * 3 + ["hit"] * 2
        self.assertEqual(self.lookups, [("github", result) for result in results])

    async def test_different_questions_at_the_same_time_have_their_own_answers(self) -> None:
        self.fake.repos["acme/anvil"] = HubRepo({"wanda": "read"})
        running = [
            start(self.access(self.forge, token, path))
            for token, path in (
                (WRITER, "acme/rocket"),
                (WRITER, "acme/anvil"),
                (READER, "acme/rocket"),
            )
        ]
        self.assertEqual(
            await gatherResults(running), [("wanda", "write"), ("wanda", "read"), ("ray", "read")]
        )

    async def test_requests_at_the_same_time_share_a_failure(self) -> None:
        self.fail_with(status(500))
        running = [start(self.identify(self.forge, WRITER)) for _ in range(4)]
        for one in running:
            await self.failure_of(ServiceUnavailable, one)
        self.assertEqual(len(self.fake.seen), 1)


class WhoseTests(ForgeCase):
    async def test_repositories_of_other_orgs_are_somebody_elses(self) -> None:
        self.assertIsNone(await self.identify(self.forge, WRITER, "other/thing"))
        self.assertEqual(self.fake.seen, [])

    async def test_paths_that_the_forge_cannot_have_are_somebody_elses(self) -> None:
        for path in ("acme", "acme/group/rocket"):
            self.assertIsNone(await self.identify(self.forge, WRITER, path), path)
        self.assertEqual(self.fake.seen, [])

    async def test_orgs_are_compared_as_the_forge_does(self) -> None:
        self.assertEqual(await self.access(self.forge, WRITER, "Acme/Rocket"), ("wanda", "write"))

    async def test_a_star_stands_for_every_org(self) -> None:
        forge = self.make(orgs=["*"])
        self.assertEqual(await self.access(forge, WRITER, "other/thing"), ("wanda", "write"))

    async def test_what_is_no_token_is_passed_on_unseen(self) -> None:
        """No other server is shown what is meant for another authenticator."""
        # Words of three parts that are no JWT could be tokens.
        opaque = [(Bearer(token),) for token in ("opaque-token", "a.b.c", "..")]
        spared = [credentials for credentials in FOREIGN if credentials.items not in opaque]
        for credentials in [
            *spared,
            Credentials((Password("_jwt", WRITER),)),
            Credentials((Bearer(WRITER, in_url=True),)),
            Credentials((Password("alice", "with spaces"),)),
            Credentials((Password("alice", "line\r\nX-Admin: 1"),)),
            Credentials((Password("alice", "caf\u00e9"),)),
            Credentials((Password("", ""),)),
            Credentials((Password("alice", "glpat-xxxxxxxxxxxxxxxxxxxx"),)),
            Credentials((Password("alice", "x" * 5000),)),
        ]:
            identity = await self.forge.authenticate(credentials, repo_of("acme/rocket"))
            self.assertIsNone(identity, credentials.items)
        self.assertEqual(self.fake.seen, [])

    async def test_a_token_may_come_as_password_as_user_or_as_bearer(self) -> None:
        for shown in (
            Password("wanda", WRITER),
            Password("x-access-token", WRITER),
            Password(WRITER, ""),
            Password(WRITER, "x-oauth-basic"),
            Bearer(WRITER),
        ):
            identity = await self.forge.authenticate(Credentials((shown,)), repo_of("acme/rocket"))
            self.assertEqual((identity.name, level(identity)), ("wanda", "write"), shown)

    async def test_the_user_that_comes_with_a_token_names_nobody(self) -> None:
        self.assertEqual(await self.access(self.forge, WRITER, user="admin"), ("wanda", "write"))

    async def test_of_two_credentials_each_is_tried(self) -> None:
        for items in (
            (Bearer(STRANGER), Password("x", WRITER)),
            (Password("x", "ghp_bad"), Bearer(WRITER)),
            (Bearer(WRITER), Password("x", "ghp_bad")),
        ):
            identity = await self.forge.authenticate(Credentials(items), repo_of("acme/rocket"))
            self.assertEqual(identity.name, "wanda", items)

    async def test_somebody_without_access_is_known_whatever_else_is_sent(self) -> None:
        items = (Password("x", "ghp_bad"), Bearer(STRANGER))
        identity = await self.forge.authenticate(Credentials(items), repo_of("acme/rocket"))
        self.assertEqual((identity.name, level(identity)), ("sam", "nothing"))


class PrincipalTests(ForgeCase):
    """Who owns what: an account of the forge, whatever it is called."""

    async def principal(self, forge: Any, token: str = WRITER) -> str:
        identity = await self.identify(forge, token)
        assert identity is not None
        return identity.principal

    async def test_an_account_is_known_by_its_number(self) -> None:
        place = self.fake.url.removeprefix("http://")
        self.assertEqual(
            await self.principal(self.forge), f"github:{place}#id:{account_id('wanda')}"
        )

    async def test_a_renamed_account_remains_who_it_was(self) -> None:
        before = await self.identify(self.make(), WRITER)
        user = {"login": "wanda-2", "id": account_id("wanda")}
        self.fail_with(status(200, user), "/user")
        after = await self.identify(self.make(), WRITER)
        assert before is not None and after is not None
        self.assertEqual((before.name, after.name), ("wanda", "wanda-2"))
        self.assertEqual(before.principal, after.principal)

    async def test_whoever_takes_a_free_name_is_somebody_else(self) -> None:
        before = await self.principal(self.make())
        self.fail_with(status(200, {"login": "wanda", "id": 7}), "/user")
        self.assertNotEqual(await self.principal(self.make()), before)

    async def test_two_forges_do_not_vouch_for_the_same_people(self) -> None:
        other = FakeGitHub(self.fake.tokens, self.fake.repos)
        self.serve(other)
        one, two = self.forge, self.make(api_url=other.url)
        self.assertNotEqual(await self.principal(one), await self.principal(two))

    async def test_the_realm_can_be_chosen(self) -> None:
        """So that an instance may move to another host."""
        found = await self.principal(self.make(realm="forge"))
        self.assertEqual(found, f"github:forge#id:{account_id('wanda')}")

    async def test_tokens_without_an_account_are_told_apart(self) -> None:
        one, two = "ghs_one000000000000000000", "ghs_two000000000000000000"
        for token in (one, two):
            self.fake.tokens[token] = HubToken(None, contents={"acme/rocket": "write"})
            self.assertEqual(await self.access(self.forge, token), ("github-app", "write"))
        first, second = await self.principal(self.forge, one), await self.principal(self.forge, two)
        self.assertNotEqual(first, second)
        self.assertEqual(await self.principal(self.make(), one), first)
        self.assertNotIn(one, first)

    async def test_a_forge_without_numbers_is_known_by_its_names(self) -> None:
        self.fail_with(status(200, {"login": "wanda"}), "/user")
        self.assertTrue((await self.principal(self.forge)).endswith("#login:wanda"))

    def test_the_realm_is_where_git_fetches_from(self) -> None:
        for options, realm in (
            ({"api_url": "https://api.github.com"}, "github:github.com"),
            ({"api_url": "https://GitHub.Example.com/api/v3"}, "github:github.example.com"),
            ({"git_url": "https://git.example.com"}, "github:git.example.com"),
        ):
            self.assertEqual(str(self.make(**options).realm), realm)


class FailureTests(ForgeCase):
    """A forge that does not answer is 503, one that wants peace 429: never a way in."""

    async def assert_refused(self, failure: Failure, kind: type[LFSError]) -> Any:
        """Check both questions: the one about the repository, and whose the token is."""
        for path in ("/repos/", "/user"):
            self.fail_with(failure, path)
            error = await self.failure_of(kind, self.identify(self.make(), WRITER))
        self.fake.failure = None
        return error

    async def assert_unavailable(self, failure: Failure) -> None:
        error = await self.assert_refused(failure, ServiceUnavailable)
        self.assertEqual((error.code, error.headers), (503, {"Retry-After": "30"}))
        self.assertIn("GitHub", error.message)

    async def test_a_token_that_the_forge_does_not_know_is_401(self) -> None:
        error = await self.failure_of(Unauthorized, self.identify(self.forge, "ghp_bad"))
        self.assertIn("GitHub does not accept this token", error.message)

    async def test_a_token_that_is_revoked_between_two_questions_is_401(self) -> None:
        await self.assert_refused(status(401, {"message": "Bad credentials"}), Unauthorized)

    async def test_errors_of_the_server_are_503(self) -> None:
        for code in (500, 502, 503, 504, 599):
            await self.assert_unavailable(status(code, "oops"))

    async def test_statuses_that_make_no_sense_are_503(self) -> None:
        for code in (204, 206, 299, 304):
            await self.assert_unavailable(status(code))

    async def test_answers_that_make_no_sense_are_503(self) -> None:
        for body in (
            "",
            "<!DOCTYPE html><title>Sign in</title>",
            "{",
            "[]",
            "null",
            '"write"',
            '{"permissions": "all", "login": ""}',
            '{"permissions": {"pull": 1, "push": 1}, "login": 7}',
            '{"permissions": {"push": true}, "login": null, "private": "no"}',
            '{"permissions": [true], "login": ["wanda"]}',
            "[" * 100_000,
            "\udc00\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        ):
            with self.subTest(body=body[:50]):
                await self.assert_unavailable(status(200, body))

    async def test_an_answer_that_breaks_off_is_503(self) -> None:
        await self.assert_unavailable(cut)

    async def test_an_answer_without_end_is_503(self) -> None:
        await self.assert_unavailable(flood)

    async def test_no_answer_in_time_is_503(self) -> None:
        for failure in (hang, hang_midway):
            for path in ("/repos/", "/user"):
                self.fail_with(failure, path)
                arrivals = 1 if path == "/repos/" else 2
                running = start(self.identify(self.make(timeout=5), WRITER))
                for _ in range(arrivals):
                    await self.fake.arrival()
                self.clock.advance(4.9)
                self.assertNoResult(running)
                self.clock.advance(0.2)
                error = await self.failure_of(ServiceUnavailable, running)
                self.assertIn("does not answer", error.message)

    async def test_nobody_listening_is_503(self) -> None:
        forge = self.make(api_url="http://127.0.0.1:1")
        error = await self.failure_of(ServiceUnavailable, self.identify(forge, WRITER))
        self.assertIn("cannot be reached", error.message)

    async def test_a_server_with_an_unknown_certificate_is_503(self) -> None:
        """It is shown nothing."""
        port = reactor.listenSSL(0, Site(self.fake), self_signed(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        forge = self.make(api_url=f"https://127.0.0.1:{port.getHost().port}")
        error = await self.failure_of(ServiceUnavailable, self.identify(forge, WRITER))
        self.assertIn("cannot be reached", error.message)
        self.assertEqual(self.fake.seen, [])

    async def test_a_refusal_in_words_is_no_permission(self) -> None:
        for code in (403, 404, 410, 451):
            self.fail_with(status(code, {"message": "Resource protected by SAML"}), "/repos/")
            self.assertEqual(await self.access(self.make(), WRITER), ("wanda", "nothing"))

    async def test_a_redirection_out_of_the_api_is_not_followed(self) -> None:
        """Least of all to another host, which would be shown the token."""
        other = FakeGitHub({}, {})
        self.serve(other)
        port = self.fake.url.rpartition(":")[2]
        api = f"{self.fake.url}/api"
        for code in (301, 302, 303, 307, 308):
            for target in (
                f"{other.url}/api/repos/acme/rocket",
                f"//{other.url.removeprefix('http://')}/api/repos/acme/rocket",
                f"http://127.0.0.1:{port}@{other.url.removeprefix('http://')}/api/x",
                f"{self.fake.url}/repos/acme/anvil",
                f"{self.fake.url}/apiary/acme/anvil",
                f"{api}/../repos/acme/anvil",
                "http://[",
                "https:/x",
                "\x00",
                "",
            ):
                self.fail_with(status(code, "", Location=target), "/repos/acme/rocket")
                forge = self.make(api_url=api)
                error = await self.failure_of(Forbidden, self.identify(forge, WRITER))
                self.assertIn("moved", error.message)
        self.assertEqual(other.seen, [])
        self.assertEqual(set(self.fake.paths()), {"/api/repos/acme/rocket"})

    async def test_a_circle_of_redirections_has_an_end(self) -> None:
        for target in ("/repos/acme/rocket", "/repos/acme/rocket/again"):
            self.fail_with(status(301, "", Location=target), "/repos/acme/rocket")
            await self.failure_of(Forbidden, self.identify(self.make(), WRITER))
        self.assertLess(len(self.fake.seen), 10)


class PatienceTests(ForgeCase):
    async def wait_for(self, failure: Failure) -> int:
        """Return how long a forge that fails like this wants to be left alone."""
        self.fail_with(failure)
        error = await self.failure_of(TooManyRequests, self.identify(self.make(), WRITER))
        self.assertEqual(error.code, 429)
        self.assertEqual(error.headers, {"Retry-After": str(error.retry_after)})
        wait: int = error.retry_after
        return wait

    async def test_a_time_to_wait_is_handed_on(self) -> None:
        date = email.utils.formatdate(NOW + 40, usegmt=True)
        for code in (403, 429):
            self.assertEqual(await self.wait_for(status(code, "", Retry_After="17")), 17)
            self.assertEqual(await self.wait_for(status(code, "", Retry_After=date)), 40)

    async def test_a_limit_that_is_used_up_is_waited_for(self) -> None:
        spent = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(NOW) + 90)}
        for code in (403, 429):
            self.assertEqual(await self.wait_for(status(code, "", **spent)), 90)
        lab = {"RateLimit_Remaining": "0", "RateLimit_Reset": str(int(NOW) + 50)}
        self.assertEqual(await self.wait_for(status(429, "Retry later\n", **lab)), 50)

    async def test_a_limit_that_is_told_in_words_is_waited_for(self) -> None:
        message = {"message": "You have exceeded a secondary rate limit. Please wait."}
        self.assertEqual(await self.wait_for(status(403, message)), 60)
        self.assertEqual(await self.wait_for(status(429, "Slow down")), 60)

    async def test_times_that_make_no_sense_are_replaced(self) -> None:
        for value, wait in (
            ("soon", 60),
            ("-5", 60),
            ("0", 1),
            ("1.5", 60),
            ("99999999999", 3600),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
            ("Thu, 99 Foo 1970", 60),
        ):
            self.assertEqual(await self.wait_for(status(429, "", Retry_After=value)), wait, value)
        spent = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "never"}
        self.assertEqual(await self.wait_for(status(403, "", **spent)), 60)

    async def test_a_forge_that_wants_peace_is_left_in_peace(self) -> None:
        self.fail_with(status(429, "", Retry_After="30"))
        await self.failure_of(TooManyRequests, self.identify(self.forge, WRITER))
        self.fake.failure = None
        self.clock.advance(10)
        for path in ("acme/rocket", "acme/anvil"):
            error = await self.failure_of(TooManyRequests, self.identify(self.forge, WRITER, path))
            self.assertEqual(error.retry_after, 20)
        self.assertEqual(len(self.fake.seen), 1)
        # Limits are per user: others go on, and so does this one afterwards.
        self.assertEqual(await self.access(self.forge, READER), ("ray", "read"))
        self.clock.advance(20)
        self.assertEqual(await self.access(self.forge, WRITER), ("wanda", "write"))

    async def test_the_last_request_before_the_limit_counts(self) -> None:
        self.fail_with(
            status(200, {"permissions": {"pull": True}}, X_RateLimit_Remaining="0"), "/repos/"
        )
        self.assertEqual(await self.access(self.forge, WRITER), ("wanda", "read"))


class SecrecyTests(ForgeCase):
    async def test_no_cookie_is_sent_to_the_forge(self) -> None:
        """A session that it begins for one person must not answer for another."""
        self.fail_with(status(404, "", Set_Cookie="_session=wanda; Path=/"))
        await self.identify(self.forge, WRITER)
        self.fake.failure = None
        await self.identify(self.forge, READER)
        self.assertGreater(len(self.fake.seen), 2)
        self.assertFalse([seen for seen in self.fake.seen if "cookie" in seen.headers])

    async def test_tokens_are_in_no_log_no_error_and_no_representation(self) -> None:
        events: list[str] = []

        observe(self, lambda event: events.append(repr(event)))
        said = [repr(self.forge), str(vars(self.forge))]
        said.append(repr(await self.identify(self.forge, WRITER)))
        self.fake.repos.clear()
        for failure in (
            status(500),
            status(200, "nonsense"),
            status(429),
            status(302, "", Location="/"),
            status(401),
            cut,
        ):
            self.fail_with(failure)
            try:
                await self.identify(self.make(), WRITER)
            except LFSError as error:
                said += [repr(error), error.message, repr(error.__cause__)]
        said.append(str(vars(self.forge)))
        self.assertTrue([event for event in events if "GitHub" in event])
        for text in (*said, *events):
            self.assertNotIn("writer000", text)

    async def test_what_is_remembered_holds_no_token(self) -> None:
        await self.identify(self.forge, WRITER)
        seen: dict[int, object] = {}
        pending: list[Any] = [vars(self.forge)]
        while pending:
            value = pending.pop()
            ours = type(value).__module__.startswith("giftless.")
            if id(value) not in seen and not isinstance(value, type):
                seen[id(value)] = value
                if isinstance(value, dict):
                    # Python 3.13 tells no referents of an object's own dictionary.
                    pending += [*value, *value.values()]
                elif ours or isinstance(value, list | tuple | set):
                    pending += gc.get_referents(value)
        texts = [value for value in seen.values() if isinstance(value, str | bytes)]
        self.assertIn("wanda", texts)
        for text in texts:
            self.assertNotIn("writer000", str(text))

    async def test_the_forge_is_told_who_asks(self) -> None:
        await self.identify(self.forge, WRITER)
        for seen in self.fake.seen:
            self.assertTrue(seen.headers["user-agent"].startswith("giftless/"))


class OptionsTests(ForgeCase):
    def problem(self, **options: Any) -> ConfigError:
        return self.assertRaises(ConfigError, self.make, **options)

    def test_orgs_must_be_given(self) -> None:
        """Whoever has an account on a public forge could use the server otherwise."""
        error = self.assertRaises(ConfigError, self.build, api_url=self.fake.url)
        self.assertEqual(error.path, "auth.0.orgs")
        self.assertEqual(self.problem(orgs=[]).path, "orgs")

    def test_orgs_must_be_possible_names(self) -> None:
        for org in ("", "/acme", "acme/", "a//b", "acme-*", "**"):
            error = self.problem(orgs=["fine", org])
            self.assertEqual(error.path, "orgs.1")
            self.assertIn("allowed is a name", error.problem)

    def test_urls_must_be_roots(self) -> None:
        for url in (
            "",
            "api.github.com",
            "ftp://api.github.com",
            "https://",
            "https://u:p@api.github.com",
            "https://api.github.com?x=1",
            "https://api.github.com#x",
            "https://api.github.com/a b",
            "https://api.github.com/\n",
        ):
            self.assertEqual(self.problem(api_url=url).path, "api_url", url)

    async def test_a_slash_at_a_urls_end_is_harmless(self) -> None:
        forge = self.make(api_url=self.fake.url + "/")
        self.assertEqual(await self.access(forge, WRITER), ("wanda", "write"))

    def test_times_and_sizes_must_be_possible(self) -> None:
        for options in (
            {"write_ttl": -1},
            {"read_ttl": -1},
            {"timeout": 0},
            {"cache_size": 0},
        ):
            (name,) = options
            self.assertEqual(self.problem(**options).path, f"auth.0.{name}")
        self.assertIn("unknown key", self.problem(colour="blue").problem)

    def test_it_is_an_authenticator(self) -> None:
        self.assertIsInstance(self.forge, ForgeAuthenticator)
