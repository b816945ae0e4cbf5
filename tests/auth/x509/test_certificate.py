"""Whose a certificate is, and which of them are good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from giftless.auth.x509.certificate import CertificateAuthenticator, CertificateFactory
from giftless.base.schema import convert
from giftless.errors import ConfigError, IdentityUnavailable, LFSError, Unauthorized
from giftless.interfaces import Bearer, Certificate, Credentials, Identity, Password, Vouched
from tests.auth.forges.support import level
from tests.contracts.authenticators import ChainedContract
from tests.support.client_certificates import Authority, Issued
from tests.support.making import environment, repo_of
from tests.support.run import CoroutineTestCase

GRANTS = {"developers": {"org/*": "write"}, "*": {"public/**": "read"}}

#: The time of day of these tests: 2026.
NOW = 1_780_000_000.0

AUTHORITY = Authority()
ALICE = AUTHORITY.issue("alice", groups=["developers", "staff"])
BOB = AUTHORITY.issue("bob")
STRANGER = Authority("Somebody else").issue("alice", groups=["developers"])
#: It is called as the authority is, and has another key.
FORGED = Authority().issue("alice", groups=["developers"])


class CertificateCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authorities = self.directory / "authorities.pem"
        self.authorities.write_bytes(AUTHORITY.pem)

    def build(self, **others: Any) -> CertificateAuthenticator:
        factory = CertificateFactory()
        section = {"authorities_file": str(self.authorities), "grants": GRANTS, **others}
        options = convert(section, factory.Options, "auth.0")
        return factory.build(options, environment(reactor=self.clock))

    def ask(self, authenticator: Any, shown: Issued, path: str = "org/repo") -> Identity | None:
        credentials = Credentials((Certificate(shown.der),))
        found: Identity | None = self.run_now(
            authenticator.authenticate(credentials, repo_of(path))
        )
        return found

    def refusal(self, authenticator: Any, shown: Issued) -> str:
        credentials = Credentials((Certificate(shown.der),))
        asked = authenticator.authenticate(credentials, repo_of())
        error: Unauthorized = self.assert_fails(Unauthorized, asked)
        return error.message


class ContractTests(ChainedContract, CertificateCase):
    def setUp(self) -> None:
        CertificateCase.setUp(self)
        ChainedContract.setUp(self)

    def make_authenticator(self) -> CertificateAuthenticator:
        return self.build()

    def accepted(self) -> list[Credentials]:
        return [
            Credentials((Certificate(ALICE.der),)),
            Credentials((Certificate(STRANGER.der), Certificate(BOB.der))),
            Credentials((Password("alice", "x"), Certificate(BOB.der))),
        ]

    def foreign(self) -> list[Credentials]:
        return [
            *super().foreign(),
            Credentials((Password("alice", "secret"),)),
            Credentials((Bearer("token"),)),
            Credentials((Vouched("alice", "certificate"),)),
            Credentials((Certificate(STRANGER.der),)),
        ]


class WhoTests(CertificateCase):
    def test_people_may_do_what_their_groups_may(self) -> None:
        authenticator = self.build()
        for shown, path, name, expected in (
            (ALICE, "org/repo", "alice", "write"),
            (ALICE, "other/repo", "alice", "nothing"),
            (BOB, "org/repo", "bob", "nothing"),
            (BOB, "public/repo", "bob", "read"),
        ):
            identity = self.ask(authenticator, shown, path)
            assert identity is not None
            self.assertEqual(
                (identity.name, identity.principal, level(identity), identity.anonymous),
                (name, f"certificate#{name}", expected, False),
            )

    def test_a_renewed_certificate_is_the_same_person(self) -> None:
        authenticator = self.build(realm="corp")
        first = self.ask(authenticator, ALICE)
        second = self.ask(authenticator, AUTHORITY.issue("alice"))
        assert first is not None and second is not None
        self.assertEqual(first.principal, "certificate:corp#alice")
        self.assertEqual(second.principal, first.principal)

    def test_names_can_stand_elsewhere_in_it(self) -> None:
        shown = AUTHORITY.issue(
            "Alice Example",
            alternatives=[
                x509.RFC822Name("alice@example.com"),
                x509.UniformResourceIdentifier("spiffe://example.com/alice"),
                x509.DNSName("alice.example.com"),
            ],
        )
        for user, name in (
            ("cn", "Alice Example"),
            ("email", "alice@example.com"),
            ("uri", "spiffe://example.com/alice"),
        ):
            identity = self.ask(self.build(user=user), shown)
            assert identity is not None
            self.assertEqual(identity.name, name)

    def test_who_is_not_named_once_is_nobody(self) -> None:
        two = [x509.RFC822Name("a@example.com"), x509.RFC822Name("b@example.com")]
        for user, shown in (
            ("cn", AUTHORITY.issue()),
            ("cn", AUTHORITY.issue("alice", "bob")),
            ("email", ALICE),
            ("email", AUTHORITY.issue("alice", alternatives=two)),
        ):
            self.assertIn("does not name one user", self.refusal(self.build(user=user), shown))

    def test_certificates_of_other_authorities_are_passed_on(self) -> None:
        authenticator = self.build()
        for shown in (STRANGER, FORGED):
            self.assertIsNone(self.ask(authenticator, shown))

    def test_who_signed_an_intermediate_alone_is_not_trusted(self) -> None:
        """Only those in the file sign: who trusts a part trusts no more than that."""
        department = Authority("A department", AUTHORITY)
        self.authorities.write_bytes(department.pem)
        authenticator = self.build()
        self.assertIsNotNone(self.ask(authenticator, department.issue("dora")))
        self.assertIsNone(self.ask(authenticator, ALICE))

    def test_a_certificate_of_a_client_signs_no_others(self) -> None:
        """It is no authority, whoever has signed it."""
        chain = Authority("alice")
        self.authorities.write_bytes(AUTHORITY.pem)
        self.assertIsNone(self.ask(self.build(), chain.issue("bob")))


class GoodTests(CertificateCase):
    """Times, uses and revocations."""

    def test_a_certificate_is_good_within_its_times(self) -> None:
        authenticator = self.build()
        self.assertIn("has expired", self.refusal(authenticator, AUTHORITY.issue("a", days=9000)))
        self.clock.rightNow = 900_000_000.0  # 1998
        self.assertIn("not valid yet", self.refusal(authenticator, ALICE))

    def test_one_that_expires_is_soon_refused(self) -> None:
        shown = AUTHORITY.issue("alice", days=10000)
        self.clock.rightNow = shown.certificate.not_valid_after_utc.timestamp() - 10
        authenticator = self.build()
        self.assertIsNotNone(self.ask(authenticator, shown))
        self.clock.advance(61)
        self.assertIn("has expired", self.refusal(authenticator, shown))

    def test_a_certificate_of_a_server_is_not_for_clients(self) -> None:
        authenticator = self.build()
        shown = AUTHORITY.issue("web", uses=[ExtendedKeyUsageOID.SERVER_AUTH])
        self.assertIn("not for clients", self.refusal(authenticator, shown))
        for uses in ([], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]):
            self.assertIsNotNone(self.ask(authenticator, AUTHORITY.issue("any", uses=uses)))

    def test_what_is_revoked_is_refused_without_a_restart(self) -> None:
        revoked = self.directory / "revoked.pem"
        revoked.write_bytes(AUTHORITY.revoke(BOB))
        authenticator = self.build(revoked_file=str(revoked))
        self.assertIsNotNone(self.ask(authenticator, ALICE))
        self.assertIn("is revoked", self.refusal(authenticator, BOB))
        revoked.write_bytes(AUTHORITY.revoke(ALICE))
        self.clock.advance(2)
        self.assertIn("is revoked", self.refusal(authenticator, ALICE))
        self.assertIsNotNone(self.ask(authenticator, BOB))

    def test_nobody_is_let_in_by_a_list_that_is_too_old_or_somebody_elses(self) -> None:
        revoked = self.directory / "revoked.pem"
        for content in (AUTHORITY.revoke(days=9000), Authority("Other").revoke()):
            revoked.write_bytes(content)
            authenticator = self.build(revoked_file=str(revoked))
            asked = authenticator.authenticate(Credentials((Certificate(ALICE.der),)), repo_of())
            self.assert_fails(IdentityUnavailable, asked)

    def test_an_authority_that_is_taken_out_counts_no_more(self) -> None:
        authenticator = self.build()
        self.assertIsNotNone(self.ask(authenticator, ALICE))
        self.authorities.write_bytes(Authority("Another").pem)
        self.clock.advance(2)
        self.assertIsNone(self.ask(authenticator, ALICE))

    @settings(suppress_health_check=[HealthCheck.differing_executors], max_examples=50)
    @given(st.binary(min_size=1, max_size=8), st.integers(0, len(ALICE.der) - 1))
    def test_no_change_of_a_certificate_makes_another_person(self, noise: bytes, at: int) -> None:
        changed = ALICE.der[:at] + noise + ALICE.der[at + len(noise) :]
        authenticator = self.build()
        asked = authenticator.authenticate(Credentials((Certificate(changed),)), repo_of())
        try:
            identity = self.run_now(asked)
        except LFSError as error:
            self.assertTrue(error.message)
        else:
            self.assertTrue(identity is None or identity.name == "alice")

    def test_files_of_something_else_are_refused(self) -> None:
        wrong = self.directory / "wrong.pem"
        for option, content in (
            ("authorities_file", b""),
            ("authorities_file", ALICE.key_pem),
            ("revoked_file", AUTHORITY.pem),
            ("revoked_file", b"-----BEGIN X509 CRL-----\nAA\n-----END X509 CRL-----\n"),
        ):
            wrong.write_bytes(content)
            error = self.assertRaises(ConfigError, self.build, **{option: str(wrong)})
            self.assertEqual(error.path, option)
