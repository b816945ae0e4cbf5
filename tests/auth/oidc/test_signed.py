"""Tokens that are JSON Web Tokens, good and hostile; every answer of the issuer is there."""

from __future__ import annotations

import json
from typing import Any

from zope.interface.verify import verifyObject

from giftless.errors import Unauthorized, UnfitCredential
from giftless.interfaces import Bearer, Credentials, Identity, Password
from giftless.interfaces.auth import ILogIn, IVouching
from tests.auth.oidc.support import NOW, bearer, in_memory, introspecting, level_of
from tests.contracts.authenticators import FOREIGN, ChainedContract
from tests.support.issuer import jwk
from tests.support.making import repo_of
from tests.support.openid import FakeOpenID
from tests.support.run import CoroutineTestCase
from tests.support.tokens import forge, private_key, public_pem, sign


class ContractTests(ChainedContract, CoroutineTestCase):
    def make_authenticator(self) -> Any:
        self.issuer = FakeOpenID()
        return in_memory(self.issuer)

    def accepted(self) -> list[Credentials]:
        token = self.issuer.token()
        return [
            Credentials((Bearer(token),)),
            *(Credentials((Password(user, token),)) for user in ("oauth2", "alice", "", "_jwt")),
        ]

    def test_it_provides_what_the_server_asks_for(self) -> None:
        verifyObject(ILogIn, self.authenticator)
        verifyObject(IVouching, self.authenticator)


class AskingContractTests(ContractTests):
    """The same for one that asks about whatever may be an opaque token."""

    def make_authenticator(self) -> Any:
        self.issuer = FakeOpenID()
        self.issuer.opaque["Opaque_token-1"] = {"active": True, "sub": "olga", "aud": "lfs"}
        return in_memory(self.issuer, **introspecting())

    def accepted(self) -> list[Credentials]:
        opaque = "Opaque_token-1"
        return [*super().accepted(), bearer(opaque), Credentials((Password("x", opaque),))]


class SignedTestCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.issuer = FakeOpenID()
        self.authenticator = in_memory(self.issuer)

    def show(self, token: str, path: str = "acme/rocket") -> Identity | None:
        return self.run_now(self.authenticator.authenticate(bearer(token), repo_of(path)))

    def shown(self, token: str, path: str = "acme/rocket") -> Identity:
        identity = self.show(token, path)
        assert identity is not None
        return identity

    def refusal(self, token: str, kind: type[Unauthorized] = Unauthorized) -> str:
        error = self.assert_fails(
            kind, self.authenticator.authenticate(bearer(token), repo_of("acme/rocket"))
        )
        self.assertIs(type(error), kind)
        message: str = error.message
        return message


class WhoTests(SignedTestCase):
    """Whom a good token names, and what groups give."""

    def test_the_subject_at_the_issuer_is_who_it_is(self) -> None:
        identity = self.shown(self.issuer.token(preferred_username="tess.of.acme"))
        self.assertEqual(identity.name, "tess.of.acme")
        self.assertEqual(identity.principal, "oidc:https://sso.example#sub:tess")
        self.assertFalse(identity.anonymous)

    def test_a_name_is_found_or_made(self) -> None:
        for claims, name in (
            ({"email": "t@x"}, "t@x"),
            ({}, "tess"),
            ({"preferred_username": ""}, "tess"),
            ({"preferred_username": ["a"]}, "tess"),
            ({"preferred_username": "a\nb"}, "a\N{REPLACEMENT CHARACTER}b"),
            ({"preferred_username": "x" * 500}, "x" * 127 + "\N{HORIZONTAL ELLIPSIS}"),
        ):
            self.assertEqual(self.shown(self.issuer.token(**claims)).name, name)

    def test_groups_give_what_the_grants_say(self) -> None:
        for groups, path, level in (
            (["writers"], "acme/rocket", "write"),
            (["writers", "admins"], "acme/rocket", "admin"),
            (["admins"], "other/thing", "admin"),
            (["writers"], "other/thing", "nothing"),
            ([], "public/site", "read"),
            ("staff writers", "acme/rocket", "write"),
            ("staff  writers ", "acme/rocket", "write"),
            # One group, whose name has a space of another kind.
            ("staff\u00a0writers", "acme/rocket", "nothing"),
            (None, "acme/rocket", "nothing"),
        ):
            token = self.issuer.token(groups=groups)
            self.assertEqual(level_of(self.shown(token, path)), level, (groups, path))

    def test_groups_of_a_wrong_type_are_none(self) -> None:
        for groups in (7, True, {"writers": True}, [["writers"]], [None, 7, {"name": "writers"}]):
            token = self.issuer.token(groups=groups)
            self.assertEqual(level_of(self.shown(token)), "nothing", groups)
        mixed = self.issuer.token(groups=[7, "writers"])
        self.assertEqual(level_of(self.shown(mixed)), "write")

    def test_a_claim_may_lie_in_others_and_have_dots_in_its_name(self) -> None:
        others: list[dict[str, Any]] = [{}, {"realm_access": "roles"}, {"resource_access": [1]}]
        for path, claims in (
            ("realm_access.roles", {"realm_access": {"roles": ["writers"]}}),
            ("https://acme.example/groups", {"https://acme.example/groups": ["writers"]}),
            (
                "resource_access.lfs.acme.example.roles",
                {"resource_access": {"lfs": {}, "lfs.acme.example": {"roles": ["writers"]}}},
            ),
        ):
            self.authenticator = in_memory(self.issuer, groups_claim=path)
            self.assertEqual(level_of(self.shown(self.issuer.token(**claims))), "write", path)
            for other in others:
                self.assertEqual(level_of(self.shown(self.issuer.token(**other))), "nothing")


class HostileTests(SignedTestCase):
    """What must open nothing."""

    def test_tokens_of_others_are_left_to_the_next(self) -> None:
        for iss in ("https://other.example", "https://sso.example/", "", None):
            self.assertIsNone(self.show(self.issuer.token(iss=iss)), iss)
        for claims in ({"iss": 7}, {"iss": [self.issuer.url]}, [self.issuer.url], self.issuer.url):
            token = forge({"alg": "ES256", "kid": "ours"}, json.dumps(claims).encode(), b"x")
            self.assertIsNone(self.show(token), claims)
        self.assertEqual(self.issuer.seen, [])

    def test_unsigned_and_wrongly_signed_tokens_are_refused(self) -> None:
        claims = {"iss": self.issuer.url, "aud": "lfs", "sub": "tess", "exp": 2000}
        public = public_pem(private_key("ES256")).encode()
        for token, words in (
            (forge({"alg": "none"}, claims), "algorithm"),
            (forge({"alg": "none", "kid": "ours"}, claims), "algorithm"),
            (forge({"alg": "HS256", "kid": "ours"}, claims, public), "algorithm"),
            (forge({"alg": "ES256", "kid": "ours"}, claims, public), "signature is wrong"),
            (sign(claims, "ES256", "theirs", {"kid": "ours"}), "signature is wrong"),
            (sign(claims, "ES256", "theirs"), "signature is wrong"),
            (sign(claims, "RS256", headers={"kid": "ours"}), "signature is wrong"),
            (sign(claims, "ES256", "theirs", {"kid": "theirs"}), "does not have"),
            (sign(claims, "ES384", headers={"kid": "ours"}), "algorithm"),
        ):
            self.assertIn(words, self.refusal(token))

    def test_what_a_token_is_not_good_for_is_told(self) -> None:
        for claims, words in (
            ({"audience": "other"}, "audience"),
            ({"audience": ["other", "Lfs"]}, "audience"),
            ({"audience": []}, "audience"),
            ({"audience": None}, "audience"),
            ({"exp": NOW - 11}, "expired"),
            ({"exp": None}, "no expiry"),
            ({"nbf": NOW + 11}, "not valid yet"),
            ({"iat": NOW + 11}, "future"),
            ({"sub": None}, "whose"),
            ({"sub": ""}, "whose"),
            ({"sub": 7}, "whose"),
            ({"sub": "x" * 256}, "whose"),
            ({"cnf": {"jkt": "x"}}, "bound to a key"),
            ({"events": {"log-out": {}}}, "opens nothing"),
        ):
            self.assertIn(words, self.refusal(self.issuer.token(**claims), UnfitCredential))

    def test_claims_of_a_wrong_type_are_malformed(self) -> None:
        wrong: list[dict[str, Any]] = [{"audience": 7}, {"audience": {"lfs": 1}}, {"nbf": "1"}]
        for claims in wrong:
            self.assertIn("malformed", self.refusal(self.issuer.token(**claims)))

    def test_kinds_of_tokens_that_are_not_for_servers_are_refused(self) -> None:
        for typ in ("at+jwt", "AT+JWT", "application/at+jwt", "JWT", None):
            self.shown(self.issuer.token(headers={"typ": typ}))
        for typ in ("logout+jwt", "dpop+jwt", "rt+jwt", "JOSE"):
            self.assertIn("typ", self.refusal(self.issuer.token(headers={"typ": typ})))
        critical = self.issuer.token(headers={"crit": ["b64"], "b64": True})
        self.assertIn("crit", self.refusal(critical))
        self.assertIn("malformed", self.refusal(self.issuer.token(headers={"typ": 7})))

    def test_several_audiences_may_be_good(self) -> None:
        self.authenticator = in_memory(self.issuer, audience=["lfs", "https://lfs.example"])
        for audience in ("lfs", "https://lfs.example", ["x", "lfs"]):
            self.shown(self.issuer.token(audience))
        self.refusal(self.issuer.token("x"), UnfitCredential)

    def test_what_base64_passes_over_makes_no_second_token(self) -> None:
        token = self.issuer.token()
        for junk in (f"{token}\r\nX: y", f"{token}\n", f"{token}%", f" {token}", f"{token}é"):
            self.assertIsNone(self.show(junk))

    def test_a_token_in_a_url_is_nobodys(self) -> None:
        shown = Credentials((Bearer(self.issuer.token(), in_url=True),))
        found = self.run_now(self.authenticator.authenticate(shown, repo_of("acme/rocket")))
        self.assertIsNone(found)

    def test_huge_tokens_are_not_looked_at(self) -> None:
        self.assertIsNone(self.show(self.issuer.token(x="y" * 70_000)))
        self.assertIsNone(self.show("x" * 10_000_000))
        nested = forge({"alg": "ES256", "kid": "ours"}, b'{"x":' + b"[" * 20_000)
        self.assertIsNone(self.show(nested))
        self.assertEqual(self.issuer.seen, [])

    def test_one_good_token_is_enough(self) -> None:
        bad, good = self.issuer.token(exp=1), self.issuer.token()
        for first, second in ((bad, good), (good, bad)):
            shown = Credentials((Password("oauth2", first), Bearer(second)))
            found = self.run_now(self.authenticator.authenticate(shown, repo_of("acme/rocket")))
            assert found is not None
            self.assertEqual(found.name, "tess")

    def test_opaque_tokens_are_nobodys_unless_the_issuer_can_be_asked(self) -> None:
        for credentials in (bearer("opaque"), *FOREIGN):
            found = self.run_now(self.authenticator.authenticate(credentials, repo_of()))
            self.assertIsNone(found)
        self.assertEqual(self.issuer.seen, [])

    def test_published_keys_of_another_kind_are_of_no_use(self) -> None:
        """A secret that the issuer publishes by mistake verifies nothing."""
        self.issuer.keys = [{"kty": "oct", "k": "eA" * 43, "kid": "ours"}, jwk("ES256", "other")]
        claims = {"iss": self.issuer.url, "aud": "lfs", "sub": "x", "exp": 2000}
        self.assertIn("does not have", self.refusal(self.issuer.token()))
        secret = forge({"alg": "HS256", "kid": "ours"}, claims, b"x" * 64)
        self.assertIn("does not have", self.refusal(secret))
