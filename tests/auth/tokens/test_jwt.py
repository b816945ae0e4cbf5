"""Tokens, good and hostile, against the authenticator for them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.auth.tokens.jwt import JWTAuthenticator, JWTFactory, JWTOptions, ScopedGrants
from giftless.base import schema
from giftless.errors import ConfigError, Unauthorized
from giftless.interfaces import (
    Bearer,
    Credentials,
    IAuthenticator,
    Identity,
    IGrants,
    Password,
    Unreadable,
)
from giftless.lfs.objects import Permission
from tests.support.making import environment, oid_of, repo_of
from tests.support.tokens import (
    ASYMMETRIC,
    SYMMETRIC,
    decode,
    ed448_key,
    encode,
    forge,
    private_key,
    private_pem,
    public_pem,
    sign,
    verification_key,
)

#: When the tests take place, in seconds since the epoch.
NOW = 1_800_000_000

LEEWAY = 10

ISSUER, AUDIENCE, KEY_ID = "https://issuer.example", "lfs", "key-1"

HEADER = {"kid": KEY_ID}

OID = oid_of(b"data")


def claims(**others: Any) -> dict[str, Any]:
    """Return the claims of a good token; ``None`` leaves one out."""
    everything = {
        "sub": "tess",
        "exp": NOW + 600,
        "nbf": NOW - 5,
        "iat": NOW - 5,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "scopes": ["obj:org/repo:read"],
        **others,
    }
    return {name: value for name, value in everything.items() if value is not None}


def authenticator(**options: Any) -> JWTAuthenticator:
    """Build an authenticator as the daemon does, at the time ``NOW``."""
    clock = Clock()
    clock.advance(NOW)
    settings = {"key": verification_key("HS256"), **options}
    return JWTFactory().build(JWTOptions(**settings), environment(reactor=clock))


def bearer(*tokens: str) -> Credentials:
    """Return the credentials of a request with these tokens."""
    return Credentials(tuple(Bearer(token) for token in tokens))


class JWTTestCase(SynchronousTestCase):
    """Short ways to ask an authenticator."""

    def start(
        self, authenticator: JWTAuthenticator, credentials: Credentials | str, repo: str
    ) -> Deferred[Identity | None]:
        """Begin to authenticate a request."""
        if isinstance(credentials, str):
            credentials = bearer(credentials)
        return Deferred.fromCoroutine(authenticator.authenticate(credentials, repo_of(repo)))

    def ask(
        self,
        authenticator: JWTAuthenticator,
        credentials: Credentials | str,
        repo: str = "org/repo",
    ) -> Identity | None:
        """Authenticate a request."""
        return self.successResultOf(self.start(authenticator, credentials, repo))

    def assert_accepted(
        self, authenticator: JWTAuthenticator, credentials: Credentials | str
    ) -> Identity:
        """Check that a request is identified, and may do what its token says."""
        identity = self.ask(authenticator, credentials)
        assert identity is not None, "the token is left to others"
        self.assertTrue(identity.grants.allows(Permission.READ, OID))
        self.assertFalse(identity.grants.allows(Permission.WRITE, OID))
        self.assertFalse(identity.anonymous)
        return identity

    def assert_refused(
        self, authenticator: JWTAuthenticator, credentials: Credentials | str, reason: str
    ) -> None:
        """Check that a request is refused, for a reason that is told."""
        asked = self.start(authenticator, credentials, "org/repo")
        self.assertRegex(self.failureResultOf(asked, Unauthorized).value.message, reason)

    def assert_left(self, authenticator: JWTAuthenticator, credentials: Credentials | str) -> None:
        """Check that a request is left to the next authenticator."""
        self.assertIsNone(self.ask(authenticator, credentials))


class Matrix:
    """What must hold for every algorithm; each has a class below."""

    algorithm: str

    def make(self: Any, **options: Any) -> JWTAuthenticator:
        """Build an authenticator that demands everything it can."""
        settings = {
            "algorithms": [self.algorithm],
            "key": verification_key(self.algorithm),
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "key_id": KEY_ID,
            "leeway": LEEWAY,
            **options,
        }
        return authenticator(**settings)

    def token(self: Any, **others: Any) -> str:
        """Make a token that is good but for these claims."""
        return sign(claims(**others), self.algorithm, headers=HEADER)

    def test_a_good_token_is_accepted(self: Any) -> None:
        self.assertEqual(self.assert_accepted(self.make(), self.token()).name, "tess")

    def test_clocks_may_differ_by_the_leeway(self: Any) -> None:
        """Clocks may disagree by the leeway, in both directions."""
        self.assert_accepted(self.make(), self.token(exp=NOW - LEEWAY + 1))
        self.assert_accepted(self.make(), self.token(nbf=NOW + LEEWAY, iat=NOW + LEEWAY))

    def test_an_expired_token_is_refused(self: Any) -> None:
        for exp in (NOW - LEEWAY, NOW - 3600, 0, -1, NOW - LEEWAY - 0.5):
            self.assert_refused(self.make(), self.token(exp=exp), "expired")

    def test_not_yet_valid(self: Any) -> None:
        for nbf in (NOW + LEEWAY + 1, NOW + 3600, 1e300):
            self.assert_refused(self.make(), self.token(nbf=nbf), "not valid yet")

    def test_issued_in_the_future(self: Any) -> None:
        self.assert_refused(self.make(), self.token(iat=NOW + LEEWAY + 1), "future")

    def test_another_issuer_is_refused(self: Any) -> None:
        for iss in ("https://evil.example", ISSUER + "/", "", None):
            self.assert_refused(self.make(), self.token(iss=iss), "issuer")

    def test_another_audience_is_refused(self: Any) -> None:
        for aud in ("other", "LFS", "", [], ["a", "b"], None):
            self.assert_refused(self.make(), self.token(aud=aud), "audience")
        self.assert_accepted(self.make(), self.token(aud=["other", AUDIENCE]))

    def test_a_token_without_expiry_can_be_refused(self: Any) -> None:
        """A token that is good for ever is refused if that is configured."""
        self.assert_accepted(self.make(), self.token(exp=None))
        self.assert_refused(self.make(require_exp=True), self.token(exp=None), "no expiry")
        self.assert_refused(self.make(), self.token(exp=NOW - 60), "expired")

    def test_a_wrong_key_is_refused(self: Any) -> None:
        token = sign(claims(), self.algorithm, "theirs", HEADER)
        self.assert_refused(self.make(), token, "signature")

    def test_a_changed_or_cut_token_is_refused(self: Any) -> None:
        """No part of a token can be exchanged or cut."""
        header, payload, signature = self.token().split(".")
        more = encode(claims(scopes=["obj"]))
        other = self.token(sub="other").split(".")[2]
        flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
        for token in (
            f"{header}.{more}.{signature}",
            f"{header}.{payload}.{other}",
            f"{header}.{payload}.{flipped}",
            f"{header}.{payload}.{encode(decode(signature)[:-1])}",
            f"{header}.{payload}.",
            f"{encode({'alg': self.algorithm, **HEADER, 'x': 1})}.{payload}.{signature}",
        ):
            self.assert_refused(self.make(), token, "signature")
        for token in (f"{header}.{payload}=.{signature}", f"{header}.{payload}.{signature}!"):
            self.assert_refused(self.make(), token, "malformed")

    def test_the_algorithm_none_is_refused(self: Any) -> None:
        for name in ("none", "None", "NONE", "nOnE"):
            token = forge({"alg": name, **HEADER}, claims())
            self.assert_refused(self.make(), token, "algorithm")
            self.assert_refused(self.make(), token + self.token().split(".")[2], "algorithm")

    def test_only_the_configured_algorithm_is_accepted(self: Any) -> None:
        """Exactly the configured algorithm is accepted, though the key fits others."""
        for algorithm in (*SYMMETRIC, *ASYMMETRIC):
            if algorithm != self.algorithm:
                token = sign(claims(), algorithm, headers=HEADER)
                self.assert_refused(self.make(), token, f"algorithm.*{self.algorithm}")

    def test_a_similar_algorithm_is_refused(self: Any) -> None:
        """An algorithm that only resembles the configured one is another."""
        for name in (self.algorithm.lower() + "\0", "", "ES256K", "HS1", f" {self.algorithm}"):
            self.assert_refused(self.make(), forge({"alg": name, **HEADER}, claims()), "algorithm")

    def test_other_key_id(self: Any) -> None:
        """Tokens that are not for this authenticator are left to the next, good or not."""
        for kid in ("key-2", "", "KEY-1", "../../../etc/passwd", "key-1\0", "key-1/../key-1"):
            self.assert_left(self.make(), sign(claims(), self.algorithm, headers={"kid": kid}))
            self.assert_left(self.make(), forge({"alg": "none", "kid": kid}, claims()))
        self.assert_left(self.make(), sign(claims(), self.algorithm))

    def test_key_id_is_only_a_string(self: Any) -> None:
        """A ``kid`` that looks like a path names no file."""
        kid = "../../../../dev/null"
        token = sign(claims(), self.algorithm, headers={"kid": kid})
        self.assert_accepted(self.make(key_id=kid), token)
        self.assert_accepted(self.make(key_id=None), token)
        forged = forge({"alg": self.algorithm, "kid": kid}, claims(), b"\0")
        self.assert_refused(self.make(key_id=None), forged, "signature")

    def test_key_in_the_header(self: Any) -> None:
        """A key that the token itself brings is not used."""
        theirs = private_key("RS256", "theirs")
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(theirs.public_key(), as_dict=True)
        for more in ({"jwk": jwk}, {"jku": "http://127.0.0.1:9/"}, {"x5u": "http://127.0.0.1:9/"}):
            token = sign(claims(), self.algorithm, "theirs", {**HEADER, **more})
            self.assert_refused(self.make(), token, "signature")

    def test_an_unknown_critical_extension_is_refused(self: Any) -> None:
        """What an issuer calls critical must be understood (RFC 7515 section 4.1.11)."""
        token = sign(claims(), self.algorithm, headers={**HEADER, "crit": ["exp"], "exp": NOW + 9})
        self.assert_refused(self.make(), token, "malformed")

    def test_a_detached_payload_is_refused(self: Any) -> None:
        """A token's claims stand in the token (RFC 7797 is not for tokens)."""
        header = {"alg": self.algorithm, **HEADER, "b64": False, "crit": ["b64"]}
        self.assert_refused(self.make(), forge(header, b""), "malformed")
        self.assert_refused(self.make(), forge(header, claims()), "malformed")

    def test_malformed_claims_are_refused(self: Any) -> None:
        """A good signature does not make sense of what is none."""
        key = private_key(self.algorithm)
        for payload in (
            b"",
            b"[]",
            b"null",
            b'"x"',
            b"{",
            b"\xff",
            b'{"exp": "soon"}',
            b"[" * 9000,
        ):
            token = jwt.PyJWS().encode(payload, key, self.algorithm, dict(HEADER))
            self.assert_refused(self.make(), token, "malformed")

    def test_a_huge_token_is_passed_on_unread(self: Any) -> None:
        """A token of a megabyte is put aside without being looked at."""
        token = self.token(sub="x" * 1024 * 1024)
        began = time.process_time()
        self.assert_left(self.make(), token)
        self.assert_left(self.make(), "." * 1024 * 1024)
        self.assert_left(self.make(), "A" * 1024 * 1024 + ".A.A")
        self.assertLess(time.process_time() - began, 0.5)


for _algorithm in (*SYMMETRIC, *ASYMMETRIC):
    _name = f"{_algorithm}Tests"
    globals()[_name] = type(
        _name, (Matrix, JWTTestCase), {"algorithm": _algorithm, "__module__": __name__}
    )


class ConfusionTests(JWTTestCase):
    """A public key is public: nobody can sign with it."""

    def test_public_key_as_secret(self) -> None:
        """HS256 signed with the public key, in whatever form, is refused."""
        for algorithm in ASYMMETRIC:
            key = private_key(algorithm)
            pem = public_pem(key).encode()
            strict = authenticator(algorithms=[algorithm], key=pem.decode())
            for secret in (
                pem,
                pem.strip(),
                pem.rstrip(b"\n") + b"\0",
                b"".join(pem.split()[3:-3]),
            ):
                token = forge({"alg": "HS256", "typ": "JWT"}, claims(), secret)
                self.assert_refused(strict, token, "algorithm")
                # Not even when the header claims the right algorithm.
                token = forge({"alg": algorithm, "typ": "JWT"}, claims(), secret)
                self.assert_refused(strict, token, "signature")

    def test_eddsa_takes_keys_on_both_curves(self) -> None:
        """EdDSA takes keys on both of its curves."""
        token = jwt.encode(claims(aud=None), ed448_key(), "EdDSA")
        self.assert_accepted(
            authenticator(algorithms=["EdDSA"], key=public_pem(ed448_key())), token
        )
        self.assert_refused(
            authenticator(algorithms=["EdDSA"], key=verification_key("EdDSA")), token, "signature"
        )

    def test_each_of_several_algorithms_is_accepted(self) -> None:
        """With several algorithms for one key, each of them is accepted, and no other."""
        several = authenticator(
            algorithms=["RS256", "PS512"], key=verification_key("RS256"), audience=AUDIENCE
        )
        self.assert_accepted(several, sign(claims(), "RS256"))
        self.assert_accepted(several, sign(claims(), "PS512"))
        self.assert_refused(several, sign(claims(), "RS512"), "RS256 or PS512")


class CredentialTests(JWTTestCase):
    """Where a token may stand in a request."""

    def setUp(self) -> None:
        """Make an authenticator, and a good and a bad token."""
        self.authenticator = authenticator(audience=AUDIENCE)
        self.good = sign(claims())
        self.bad = sign(claims(exp=NOW - 60))

    def test_it_provides_the_interfaces(self) -> None:
        verifyObject(IAuthenticator, self.authenticator)
        verifyObject(IGrants, ScopedGrants({}))

    def test_a_bearer_token_is_accepted(self) -> None:
        self.assert_accepted(self.authenticator, Credentials((Bearer(self.good),)))

    def test_a_token_may_be_the_password_of_a_user(self) -> None:
        """A token is the password of the user ``_jwt``, for git's credential helpers."""
        self.assert_accepted(self.authenticator, Credentials((Password("_jwt", self.good),)))
        self.assert_refused(
            self.authenticator, Credentials((Password("_jwt", self.bad),)), "expired"
        )

    def test_basic_of_others(self) -> None:
        """The password of anybody else is none of ours, whatever it looks like."""
        for user in ("tess", "", "_JWT", "_jwt2"):
            self.assert_left(self.authenticator, Credentials((Password(user, self.good),)))

    def test_the_name_of_that_user_can_be_changed(self) -> None:
        other = authenticator(audience=AUDIENCE, basic_user="token")
        self.assert_accepted(other, Credentials((Password("token", self.good),)))
        self.assert_left(other, Credentials((Password("_jwt", self.good),)))

    def test_basic_switched_off(self) -> None:
        off = authenticator(audience=AUDIENCE, basic_user="")
        for user in ("_jwt", ""):
            self.assert_left(off, Credentials((Password(user, self.good),)))
        self.assert_accepted(off, self.good)

    def test_a_token_in_the_query_is_accepted(self) -> None:
        self.assert_accepted(self.authenticator, Credentials((Bearer(self.good, in_url=True),)))
        self.assert_refused(
            self.authenticator, Credentials((Bearer(self.bad, in_url=True),)), "expired"
        )
        self.assert_left(self.authenticator, Credentials((Bearer("", in_url=True),)))

    def test_no_credential_is_passed_on(self) -> None:
        self.assert_left(self.authenticator, Credentials())

    def test_other_credentials_are_passed_on(self) -> None:
        """Other people's tokens are left to the next, signed JWTs excepted."""
        for text in (
            "ghp_" + "a" * 36,
            "",
            "..",
            "a.b.c",
            "a.b.c.d.e",
            encode(b"[]") + ".e30.",
            encode(b"{}") + ".e30.",
            encode({"alg": 5}) + ".e30.",
            encode({"alg": "HS256", "kid": ["x"]}) + ".e30.",
            encode(b"[" * 40000) + ".e30.",
            encode(b'{"alg": "HS256", "x": ' + b"[" * 40000) + ".e30.",
            "é.ü.",
        ):
            self.assert_left(self.authenticator, text)

    def test_a_header_that_cannot_be_read_is_left(self) -> None:
        for scheme in ("digest", "negotiate", "token", "bearer2", ""):
            self.assert_left(self.authenticator, Credentials((Unreadable(scheme),)))

    def test_one_good_token_of_several_is_enough(self) -> None:
        """Each of several tokens is tried; one that is good is enough."""
        for tokens in ((self.good, self.bad), (self.bad, self.good), ("opaque", self.good)):
            self.assert_accepted(self.authenticator, bearer(*tokens))
        self.assert_accepted(
            self.authenticator, Credentials((Bearer(self.bad), Bearer(self.good, in_url=True)))
        )
        self.assert_accepted(
            self.authenticator, Credentials((Password("_jwt", self.bad), Bearer(self.good)))
        )
        self.assert_refused(self.authenticator, bearer("opaque", self.bad), "expired")


class ClaimTests(JWTTestCase):
    """What an identity is made of."""

    def identify(self, repo: str = "org/repo", **others: Any) -> Identity:
        """Return who a token with these claims stands for."""
        identity = self.ask(authenticator(), sign(claims(aud=None, **others)), repo)
        assert identity is not None
        return identity

    def test_audience_without_configuration(self) -> None:
        """A token for somebody in particular is not for a server without a name."""
        self.assert_refused(authenticator(), sign(claims()), "audience")
        self.assert_accepted(authenticator(), sign(claims(aud=None)))

    def test_issuer_without_configuration(self) -> None:
        """Any issuer who has the key is believed, if none is configured."""
        self.assert_accepted(authenticator(), sign(claims(aud=None, iss="anybody")))
        self.assert_accepted(authenticator(), sign(claims(aud=None, iss=None)))

    def test_the_name_is_the_first_known_claim(self) -> None:
        people = {"email": "tess@example.com", "name": "Tess"}
        self.assertEqual(self.identify(sub="u1", **people).name, "u1")
        self.assertEqual(self.identify(sub=None, **people).name, "tess@example.com")
        self.assertEqual(self.identify(sub="", name="Tess").name, "Tess")
        self.assertEqual(self.identify(sub=None).name, "jwt")

    def test_a_numeric_subject_is_accepted(self) -> None:
        """Some issuers number their users, against RFC 7519."""
        token = jwt.PyJWS().encode(
            json.dumps(claims(aud=None, sub=0)).encode(), private_key("HS256"), "HS256"
        )
        self.assertEqual(self.assert_accepted(authenticator(), token).name, "0")

    def test_a_name_is_shown_without_control_characters(self) -> None:
        name = self.identify(sub="a b\n127.0.0.1\tadmin\x1b[2J\u2028\u202e\x00é").name
        self.assertEqual(name, "a b\ufffd127.0.0.1\ufffdadmin\ufffd[2J\ufffd\ufffd\ufffdé")

    def principals(self, people: Iterable[dict[str, Any]], **options: Any) -> list[str]:
        """Return the principals of tokens with these claims."""
        found = []
        for person in people:
            identity = self.ask(authenticator(**options), sign(claims(aud=None, **person)))
            assert identity is not None
            found.append(identity.principal)
        return found

    def test_each_subject_is_a_principal_of_its_own(self) -> None:
        """Whatever is alike in them: white space, the beginning, the form in Unicode."""
        subjects = ["a b", "a_b", "a\tb", "A b", "x" * 128 + "1", "x" * 128 + "2", "x" * 127]
        subjects += ["\u00e9", "e\u0301", "jwt", "a%20b", "a#b", "sub:a b", "\u0430 b"]
        found = self.principals([{"sub": subject} for subject in subjects])
        self.assertEqual(len(set(found)), len(subjects))
        self.assertEqual(found[0], f"jwt#iss:{ISSUER}#sub:a b")

    def test_one_subject_of_two_issuers_is_two_principals(self) -> None:
        """Also if no issuer is demanded, and also one that claims to be another realm."""
        people: list[dict[str, Any]]
        people = [{"iss": "https://a"}, {"iss": "https://b"}, {"iss": None}, {"iss": ""}]
        found = self.principals(people)
        found += self.principals([{"iss": "https://a"}], issuer="https://a")
        found += self.principals([{"iss": "https://b"}], issuer="https://b")
        found += self.principals([{"iss": "https://a"}], realm="https://b#iss:https://a")
        self.assertEqual(len(set(found)), len(found), found)
        self.assertEqual(found[4], "jwt:https://a#sub:tess")

    def test_what_is_trusted_tells_realms_apart(self) -> None:
        for options, realm in (
            ({}, "jwt"),
            ({"key_id": KEY_ID}, f"jwt:kid={KEY_ID}"),
            ({"key_id": KEY_ID, "issuer": ISSUER}, f"jwt:{ISSUER}"),
            ({"issuer": ISSUER, "realm": "staff"}, "jwt:staff"),
            (
                {"key": None, "jwks_url": "https://a/keys?x=1", "algorithms": ["RS256"]},
                "jwt:https://a/keys",
            ),
        ):
            self.assertEqual(str(authenticator(**options).realm), realm)

    def test_claims_of_different_kinds_are_different_principals(self) -> None:
        """Who may choose a name must not become who has it as subject."""
        people: list[dict[str, Any]] = [
            {"sub": "tess"},
            {"sub": None, "email": "tess"},
            {"sub": None, "name": "tess"},
            {"sub": "email:tess"},
        ]
        self.assertEqual(len(set(self.principals(people))), 4)

    def test_tokens_that_do_not_say_whose_they_are_are_nobody_elses(self) -> None:
        one, two = self.principals([{"sub": None}, {"sub": None, "exp": NOW + 601}])
        self.assertNotEqual(one, two)
        self.assertEqual(self.principals([{"sub": None}]), [one])

    def test_a_long_name_is_shown_with_an_ellipsis(self) -> None:
        self.assertEqual(self.identify(sub="x" * 9999).name, "x" * 127 + "\u2026")
        self.assertEqual(self.identify(sub="x" * 128).name, "x" * 128)

    def test_both_claims_of_scopes_count(self) -> None:
        """Both ``scopes`` and ``scope`` count, as a list or as text."""
        for others in (
            {"scopes": ["obj:org/repo:read"]},
            {"scopes": "obj:foe/repo:read obj:org/repo:read"},
            {"scopes": None, "scope": "openid obj:org/repo:read"},
            {"scopes": [], "scope": ["obj:org/repo:read"]},
            {"scopes": ["obj:org/repo:verify"], "scope": "obj:org/repo:read"},
        ):
            grants = self.identify(**others).grants
            self.assertTrue(grants.allows(Permission.READ, OID), others)
            self.assertFalse(grants.allows(Permission.WRITE, OID), others)

    def test_a_token_without_scopes_permits_nothing(self) -> None:
        """A good token without scopes is somebody who may do nothing."""
        others: dict[str, Any]
        for others in ({"scopes": None}, {"scopes": []}, {"scopes": ""}, {"scopes": ["admin"]}):
            identity = self.identify(**others)
            self.assertFalse(identity.anonymous)
            for permission in Permission:
                self.assertFalse(identity.grants.allows(permission, OID))
                self.assertFalse(identity.grants.allows(permission, None))

    def test_a_token_for_another_repository_permits_nothing(self) -> None:
        """A token for one repository permits nothing on another."""
        for repo in ("org/other", "org", "foe/repo", "org/repo/sub"):
            grants = self.identify(repo).grants
            for permission in Permission:
                self.assertFalse(grants.allows(permission, OID))

    def test_a_token_for_one_object_permits_no_other(self) -> None:
        """A token for one object permits it there, and nothing else."""
        grants = self.identify(scopes=[f"obj:org/repo/{OID}:read"]).grants
        self.assertTrue(grants.allows(Permission.READ, OID))
        self.assertFalse(grants.allows(Permission.READ, oid_of(b"other")))
        self.assertFalse(grants.allows(Permission.READ, None))
        self.assertFalse(grants.allows(Permission.WRITE, OID))


class ConfigurationTests(SynchronousTestCase):
    """What is refused before the daemon starts."""

    def assert_refused(self, path: str, reason: str, **options: Any) -> None:
        """Check that options are refused, and what is said about it."""
        with self.assertRaises(ConfigError) as caught:
            JWTFactory().build(JWTOptions(**options), environment())
        self.assertEqual(caught.exception.path, path)
        self.assertRegex(caught.exception.problem, reason)
        for secret in (options.get("key"), private_key("HS256")):
            if secret:
                self.assertNotIn(secret, str(caught.exception))

    def key_file(self, data: bytes) -> str:
        """Write a key's file and return its name."""
        path = Path(self.mktemp())
        path.write_bytes(data)
        return str(path)

    def test_exactly_one_key(self) -> None:
        self.assert_refused("key", "exactly one")
        both = {"key": private_key("HS256"), "key_file": self.key_file(b"x" * 64)}
        self.assert_refused("key_file", "key and key_file", **both)
        self.assert_refused(
            "jwks_url",
            "key and jwks_url",
            algorithms=["RS256"],
            key=verification_key("RS256"),
            jwks_url="https://issuer.example/keys",
        )

    def test_an_empty_list_of_algorithms_is_refused(self) -> None:
        self.assert_refused("algorithms", "one algorithm or more", algorithms=[], key="x" * 64)

    def test_unknown_algorithms_are_refused(self) -> None:
        """``none`` and everything else that is not supported cannot be configured."""
        for name in ("none", "hs256", "HS1", "ES256K", "RSA-OAEP"):
            with self.assertRaises(ConfigError) as caught:
                schema.convert({"algorithms": ["HS256", name]}, JWTOptions, "auth.0")
            self.assertEqual(caught.exception.path, "auth.0.algorithms.1")

    def test_secrets_and_public_keys_cannot_be_mixed(self) -> None:
        """Secrets and public keys cannot be mixed, whatever the key is."""
        for algorithms in (["HS256", "RS256"], ["ES256", "HS512"], ["EdDSA", "HS256"]):
            for key in (verification_key("RS256"), private_key("HS512")):
                self.assert_refused("algorithms", "mixed", algorithms=algorithms, key=key)

    def test_public_key_as_secret(self) -> None:
        """Nothing that others may know becomes a secret."""
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(private_key("RS256").public_key())
        for algorithm in SYMMETRIC:
            for key in (
                *(verification_key(name) for name in ASYMMETRIC),
                private_pem(private_key("RS256")),
                jwk,
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9xXlY4cVqLxWRZSN6Xcf0iFzOK",
            ):
                self.assert_refused("key", "needs a secret", algorithms=[algorithm], key=key)

    def test_a_short_secret_is_refused(self) -> None:
        """A secret is at least as long as its hash (RFC 7518 section 3.2)."""
        for algorithm, length in (("HS256", 32), ("HS384", 48), ("HS512", 64)):
            for short in ("", "x", "x" * (length - 1), " " * 70 + "x" * (length - 1) + "\n" * 70):
                self.assert_refused(
                    "key", f"{algorithm} needs {length}", algorithms=[algorithm], key=short
                )
            options: dict[str, Any] = {"algorithms": [algorithm], "key": "x" * length}
            JWTFactory().build(JWTOptions(**options), environment())
        self.assert_refused("key", "HS512 needs 64", algorithms=["HS256", "HS512"], key="x" * 63)

    def test_secret_as_public_key(self) -> None:
        for algorithm in ASYMMETRIC:
            for key in ("x" * 64, "", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
                self.assert_refused("key", "PEM", algorithms=[algorithm], key=key)

    def test_private_key_as_public_key(self) -> None:
        for algorithm in ASYMMETRIC:
            key = private_pem(private_key(algorithm))
            self.assert_refused("key", "private key", algorithms=[algorithm], key=key)

    def test_key_of_another_kind(self) -> None:
        """A key must fit every algorithm that is configured."""
        kinds = {"RS": "RSA", "PS": "RSA"}
        for algorithm in ASYMMETRIC:
            for other in ASYMMETRIC:
                kind = kinds.get(algorithm[:2], algorithm)
                if kinds.get(other[:2], other) != kind:
                    key = verification_key(other)
                    self.assert_refused("key", algorithm, algorithms=[algorithm], key=key)
                    self.assert_refused("key", algorithm, algorithms=[other, algorithm], key=key)

    def test_weak_keys_are_refused(self) -> None:
        weak_rsa = public_pem(rsa.generate_private_key(65537, 1024))
        self.assert_refused("key", "RS256", algorithms=["RS256"], key=weak_rsa)
        odd_curve = public_pem(ec.generate_private_key(ec.SECP256K1()))
        self.assert_refused("key", "ES256", algorithms=["ES256"], key=odd_curve)

    def test_a_secret_can_be_in_a_file(self) -> None:
        """White space around a text is no part of it; binary is taken as it is."""
        token = jwt.encode({"exp": NOW + 60}, "s" * 40, "HS256")
        self.assert_key_file_verifies(b"\n" + b"s" * 40 + b"\r\n", token)
        binary = b"\n" + bytes(range(200, 240)) + b"\n"
        self.assert_key_file_verifies(binary, jwt.encode({"exp": NOW + 60}, binary, "HS256"))

    def assert_key_file_verifies(self, data: bytes, token: str) -> None:
        """Check that a key file's content verifies a token."""
        clock = Clock()
        clock.advance(NOW)
        built = JWTFactory().build(
            JWTOptions(key_file=self.key_file(data)), environment(reactor=clock)
        )
        identity = self.successResultOf(
            Deferred.fromCoroutine(built.authenticate(bearer(token), repo_of()))
        )
        self.assertIsNotNone(identity)

    def test_a_public_key_can_be_in_a_file(self) -> None:
        path = self.key_file(verification_key("ES256").encode())
        JWTFactory().build(JWTOptions(algorithms=["ES256"], key_file=path), environment())

    def test_unreadable_key_file(self) -> None:
        self.assert_refused("key_file", "cannot be read", key_file="/nonexistent")
        self.assert_refused("key_file", "cannot be read", key_file="/")

    def test_encrypted_private_key_as_key(self) -> None:
        pem = private_key("ES256").private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        )
        self.assert_refused("key", "private key", algorithms=["ES256"], key=pem.decode())

    def test_key_set_with_secrets(self) -> None:
        self.assert_refused("algorithms", "public keys", jwks_url="https://issuer.example/keys")

    def test_key_set_url(self) -> None:
        for url in (
            "",
            "keys.json",
            "file:///etc/passwd",
            "https://",
            "https://u:p@h/",
            "http://[",
        ):
            self.assert_refused("jwks_url", "http", algorithms=["RS256"], jwks_url=url)

    def test_useless_private_key_file(self) -> None:
        self.assert_refused(
            "private_key_file", "no use", key=private_key("HS256"), private_key_file="x"
        )

    def test_private_key_file_is_not_read(self) -> None:
        """The daemon works where the private key is not."""
        JWTFactory().build(
            JWTOptions(
                algorithms=["ES256"], key=verification_key("ES256"), private_key_file="/nonexistent"
            ),
            environment(),
        )

    def test_the_representation_hides_the_secret(self) -> None:
        """What is printed by accident holds no secret."""
        secret = private_key("HS256")
        options = JWTOptions(key=secret)
        built = JWTFactory().build(options, environment())
        for value in (options, built, vars(built), [options], bearer(secret)):
            self.assertNotIn(secret, f"{value!r} {value}")
