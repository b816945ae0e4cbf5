"""The keys of an issuer: what is taken from its JWK Set, and when it is asked."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from giftless.auth.tokens.jwks import (
    INTERVAL,
    INTERVAL_WITHOUT_KEYS,
    MAX_BYTES,
    TIMEOUT,
    KeySet,
    parse_key_set,
)
from giftless.auth.tokens.jwt import JWTAuthenticator, JWTFactory, JWTOptions
from giftless.auth.tokens.signatures import Key
from giftless.auth.tokens.unverified import TokenHeader
from giftless.errors import ServiceUnavailable, Unauthorized
from giftless.interfaces import Bearer, Credentials, Lookup
from tests.support.issuer import Issuer, jwk, key_set
from tests.support.making import environment, repo_of
from tests.support.strategies import json_values
from tests.support.tokens import ASYMMETRIC, forge, private_key, public_pem, sign

MAX_AGE = 3600.0

ALGORITHMS = ("RS256", "ES256")


class ParsingTests(SynchronousTestCase):
    """Which keys of a set are used."""

    def kids(self, *keys: Any, algorithms: tuple[str, ...] = ALGORITHMS) -> list[str | None]:
        """Return the names of the keys that are usable."""
        return [key.kid for key in parse_key_set(key_set(*keys), algorithms)]

    def test_a_key_verifies_the_algorithms_that_it_fits(self) -> None:
        """A key verifies those of the accepted algorithms that it fits, and no others."""
        document = key_set(*(jwk(name, kid=name) for name in ASYMMETRIC))
        fitting = {key.kid: sorted(key.algorithms) for key in parse_key_set(document, ASYMMETRIC)}
        rsa_algorithms = ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]
        self.assertEqual(
            fitting,
            {name: rsa_algorithms if name[:2] in ("RS", "PS") else [name] for name in ASYMMETRIC},
        )

    def test_the_published_key_is_read(self) -> None:
        """What is read is the key that was published."""
        for name in ASYMMETRIC:
            (entry,) = parse_key_set(key_set(jwk(name)), [name])
            self.assertEqual(entry.key, private_key(name).public_key())

    def test_keys_for_other_algorithms_are_left_out(self) -> None:
        """Keys for algorithms that are not accepted are left out."""
        self.assertEqual(self.kids(jwk("EdDSA"), jwk("ES384"), jwk("RS256", kid="r")), ["r"])
        self.assertEqual(
            self.kids(jwk("RS256"), jwk("ES256", kid="e"), algorithms=("ES256",)), ["e"]
        )

    def test_a_published_secret_is_left_out(self) -> None:
        """A secret that somebody publishes is none, even if it names a fitting algorithm."""
        secret = {"kty": "oct", "k": "eA" * 43, "kid": "s"}
        self.assertEqual(self.kids(secret, {**secret, "alg": "RS256"}), [])

    def test_algorithm_of_a_key(self) -> None:
        """A key that is for one algorithm is not used for another."""
        self.assertEqual(self.kids(jwk("RS256", alg="RS512")), [])
        self.assertEqual(self.kids(jwk("RS256", alg="RS256", kid="r")), ["r"])

    def test_use_of_a_key(self) -> None:
        self.assertEqual(self.kids(jwk("RS256", use="enc")), [])
        self.assertEqual(self.kids(jwk("RS256", key_ops=["encrypt"])), [])
        self.assertEqual(self.kids(jwk("RS256", use="sig", kid="a", key_ops=None)), ["a"])
        self.assertEqual(self.kids(jwk("RS256", key_ops=["verify", "sign"], kid="b")), ["b"])

    def test_weak_keys_are_left_out(self) -> None:
        weak = rsa.generate_private_key(65537, 1024).public_key()
        odd = ec.generate_private_key(ec.SECP256K1()).public_key()
        self.assertEqual(
            self.kids(RSAAlgorithm.to_jwk(weak, True), ECAlgorithm.to_jwk(odd, True)), []
        )

    def test_the_private_part_of_a_key_is_ignored(self) -> None:
        """Of a private key that an issuer publishes, only the public one is read."""
        members = ECAlgorithm.to_jwk(private_key("ES256"), as_dict=True)
        (entry,) = parse_key_set(key_set(members), ALGORITHMS)
        self.assertEqual(entry.key, private_key("ES256").public_key())

    def test_a_malformed_key_leaves_the_others_usable(self) -> None:
        """A key that makes no sense does not spoil the others."""
        good = jwk("ES256", kid="good")
        bad: Any
        for bad in (
            None,
            1,
            "x",
            [],
            {},
            {"kty": "EC"},
            {"kty": ["EC"]},
            {"kty": "none"},
            {**good, "kid": 5},
            {**good, "x": "!!!!"},
            {**good, "x": good["y"], "y": good["y"]},
            {**good, "crv": "P-384"},
            {**good, "crv": None},
            {**good, "x": 7},
            {**jwk("RS256"), "n": ""},
            {**jwk("RS256"), "e": "AA"},
            {**jwk("RS256"), "n": "AQAB"},
        ):
            self.assertEqual(self.kids(bad, good), ["good"], bad)

    def test_a_key_needs_no_name(self) -> None:
        self.assertEqual(self.kids(jwk("ES256", kid=None)), [None])

    def test_unknown_members_are_ignored(self) -> None:
        """Members that are not known are ignored."""
        document = {"keys": [jwk("ES256", x5c=["MII"], x5t="x")], "issued": 1}
        self.assertEqual(len(parse_key_set(json.dumps(document).encode(), ALGORITHMS)), 1)

    def test_malformed_documents_are_no_key_set(self) -> None:
        for document in (
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b"null",
            b'{"keys": {}}',
            b'{"keys": null}',
            b'{"keys": [}',
            b"\xff",
            b"[" * 100000,
            b'{"keys": ' + b"[" * 100000,
            b'{"x": ' + b"[" * 100000,
        ):
            with self.assertRaises(ValueError):
                parse_key_set(document, ALGORITHMS)

    @given(json_values)
    def test_any_document_is_read_or_refused(self, value: Any) -> None:
        """Whatever is published, it is a key set, or it is none."""
        for document in (value, {"keys": value}, {"keys": [value]}):
            try:
                keys = parse_key_set(json.dumps(document).encode(), ALGORITHMS)
            except ValueError:
                continue
            self.assertEqual(keys, ())


class KeySetTestCase(TestCase):
    """An issuer that works, and short ways to ask for its keys."""

    def setUp(self) -> None:
        """Let an issuer publish one key."""
        self.issuer = Issuer(reactor)
        self.issuer.listen()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.issuer.close()))
        self.issuer.publish(jwk("ES256", "first"))
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.lookups: list[Lookup] = []
        where = self.issuer.url, ALGORITHMS, MAX_AGE, self.issuer.http
        self.keys = KeySet(*where, self.clock, self.lookups.append)

    async def find(self, kid: str | None = "first", alg: str = "ES256") -> list[Key] | None:
        """Ask for the keys of a token."""
        found = await self.keys.find(TokenHeader(alg, kid))
        return None if found is None else list(found)

    def finding(self, kid: str | None = "first") -> Deferred[list[Key] | None]:
        """Begin to ask for the keys of a token."""
        return Deferred.fromCoroutine(self.find(kid))

    async def assert_unavailable(self) -> int:
        """Check that nothing can be said about tokens.

        :returns: after how many seconds to ask again.
        """
        try:
            found = await self.find()
        except ServiceUnavailable as error:
            return error.retry_after
        raise AssertionError(f"keys were found: {found}")

    @property
    def questions(self) -> int:
        """How often the issuer was asked."""
        return len(self.issuer.paths)

    def public(self, which: str, algorithm: str = "ES256") -> Key:
        """Return the key that should be found."""
        key: Key = private_key(algorithm, which).public_key()
        return key


class KeySetTests(KeySetTestCase):
    """When the issuer is asked, and what happens if it does not answer."""

    # -- when all is well

    async def test_the_issuer_is_asked_for_the_first_token(self) -> None:
        """The issuer is asked when the first token comes, and not before."""
        self.assertEqual(self.questions, 0)
        self.assertEqual(await self.find(), [self.public("first")])
        self.assertEqual(self.questions, 1)

    async def test_keys_are_kept_for_a_while(self) -> None:
        for _ in range(3):
            self.assertEqual(await self.find(), [self.public("first")])
            self.clock.advance(MAX_AGE / 4)
        self.assertEqual(self.questions, 1)

    async def test_looks_for_keys_are_counted(self) -> None:
        first = [self.finding() for _ in range(3)]
        await gatherResults(first)
        await self.find()
        await self.find("unknown")
        await self.find("unknown again")
        self.assertEqual(self.lookups, ["miss", "shared", "shared", "hit", "miss", "hit"])

    async def test_a_withdrawn_key_expires(self) -> None:
        """A key that the issuer took back is not used after that time."""
        await self.find()
        self.issuer.publish(jwk("ES256", "second"))
        self.clock.advance(MAX_AGE)
        self.assertIsNone(await self.find("first"))
        self.assertEqual(self.questions, 2)

    async def test_a_new_key_is_accepted_at_once(self) -> None:
        """A token with a new key is accepted at once."""
        await self.find()
        self.issuer.publish(jwk("ES256", "first"), jwk("ES256", "second"))
        self.assertEqual(await self.find("second"), [self.public("second")])
        self.assertEqual(await self.find("first"), [self.public("first")])
        self.assertEqual(self.questions, 2)

    async def test_unknown_names_rarely_ask_the_issuer(self) -> None:
        """Unknown names make the issuer be asked once a minute at most."""
        await self.find()
        for number in range(20):
            self.assertIsNone(await self.find(f"unknown-{number}"))
        self.assertEqual(self.questions, 2)
        self.clock.advance(INTERVAL - 1)
        self.assertIsNone(await self.find("unknown"))
        self.assertEqual(self.questions, 2)
        self.clock.advance(1)
        self.assertIsNone(await self.find("unknown"))
        self.assertEqual(self.questions, 3)

    async def test_unknown_key_at_first(self) -> None:
        """The answer to the first question is not asked for twice."""
        self.assertIsNone(await self.find("unknown"))
        self.assertEqual(self.questions, 1)

    async def test_path_as_name(self) -> None:
        """A name is looked up in the set, and becomes part of no URL."""
        for kid in ("../../admin", "/etc/passwd", "http://127.0.0.1:9/", "first\0", "first/", ""):
            self.assertIsNone(await self.find(kid))
        self.assertEqual(set(self.issuer.paths), {b"/keys"})

    async def test_a_foreign_algorithm_does_not_ask_the_issuer(self) -> None:
        """A token that cannot be the issuer's is no reason to ask it."""
        await self.find()
        self.assertIsNone(await self.find("unknown", "HS256"))
        self.assertIsNone(await self.find("unknown", "none"))
        self.assertEqual(self.questions, 1)

    async def test_known_key_with_another_algorithm(self) -> None:
        """A token that names our key is ours, though nothing may verify it."""
        self.assertEqual(await self.find("first", "RS256"), [])
        self.assertEqual(await self.find("first", "HS256"), [])
        self.assertEqual(await self.find("first", "none"), [])

    async def test_a_token_without_key_name_gets_all_that_fit(self) -> None:
        """A token that names no key may be signed with each that fits."""
        self.issuer.publish(
            jwk("ES256", "first"), jwk("RS256", "other"), jwk("ES256", "second", kid=None)
        )
        self.assertEqual(await self.find(None), [self.public("first"), self.public("second")])
        self.assertEqual(await self.find(None, "HS256"), [])

    async def test_two_keys_may_have_one_name(self) -> None:
        """Two keys may have one name."""
        self.issuer.publish(jwk("ES256", "first"), jwk("ES256", "second", kid="first"))
        self.assertEqual(await self.find(), [self.public("first"), self.public("second")])

    # -- questions at the same time

    async def test_tokens_share_one_question(self) -> None:
        """Tokens that come while the issuer is asked wait for the same answer."""
        self.issuer.holding = True
        asked = self.issuer.asked()
        finding = [self.finding() for _ in range(10)]
        await asked
        self.issuer.release()
        for found in await gatherResults(finding):
            self.assertEqual(found, [self.public("first")])
        self.assertEqual(self.questions, 1)

    async def test_tokens_with_one_new_key_share_one_question(self) -> None:
        """So do several tokens with the same new key."""
        await self.find()
        self.issuer.publish(jwk("ES256", "second"))
        self.issuer.holding = True
        asked = self.issuer.asked()
        finding = [self.finding("second") for _ in range(3)]
        await asked
        self.assertEqual(await self.find("first"), [self.public("first")])  # needs no answer
        finding.append(self.finding("second"))
        self.issuer.release()
        for found in await gatherResults(finding):
            self.assertEqual(found, [self.public("second")])
        self.assertEqual(self.questions, 2)

    async def test_a_cancelled_wait_leaves_the_others_theirs(self) -> None:
        """One who does not wait any longer takes the answer from nobody."""
        self.issuer.holding = True
        asked = self.issuer.asked()
        impatient, patient = self.finding(), self.finding()
        await asked
        impatient.cancel()
        self.failureResultOf(impatient)
        self.issuer.release()
        self.assertEqual(await patient, [self.public("first")])

    # -- when the issuer does not answer

    async def test_a_slow_issuer_is_given_up(self) -> None:
        """Whoever waits is told after a while, and the connection is closed."""
        self.issuer.holding = True
        asked = self.issuer.asked()
        waiting = Deferred.fromCoroutine(self.assert_unavailable())
        await asked
        gone = self.issuer.held[0].notifyFinish()
        self.clock.advance(TIMEOUT - 0.1)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertEqual(await waiting, INTERVAL_WITHOUT_KEYS)
        await self.assertFailure(gone, ConnectionDone, ConnectionLost)

    async def test_an_endless_body_is_given_up(self) -> None:
        """A body that never ends is waited for no longer."""
        self.issuer.headers = {"Content-Length": "99999"}
        self.issuer.holding = True
        asked = self.issuer.asked()
        waiting = Deferred.fromCoroutine(self.assert_unavailable())
        await asked
        (request,) = self.issuer.held
        request.write(b"{")
        await deferLater(reactor, 0.05)
        self.assertNoResult(waiting)
        gone = request.notifyFinish()
        self.clock.advance(TIMEOUT)
        await waiting
        await self.assertFailure(gone, ConnectionDone, ConnectionLost)

    async def test_an_issuer_can_withdraw_all_keys(self) -> None:
        """An issuer can take back all its keys, and publish others soon."""
        await self.find()
        self.issuer.publish()
        self.clock.advance(MAX_AGE)
        for _ in range(3):
            self.assertEqual(await self.assert_unavailable(), INTERVAL_WITHOUT_KEYS)
            self.clock.advance(INTERVAL_WITHOUT_KEYS)
        self.assertEqual(await self.assert_unavailable(), INTERVAL_WITHOUT_KEYS)
        self.assertEqual(self.questions, 5)
        self.issuer.publish(jwk("ES256", "second"))
        self.clock.advance(INTERVAL_WITHOUT_KEYS)
        self.assertEqual(await self.find("second"), [self.public("second")])


class Outage:
    """What must hold for every kind of failure; each has a class below."""

    async def misbehave(self: Any) -> None:
        """Let the issuer fail."""
        raise NotImplementedError

    async def recover(self: Any) -> None:
        """Let the issuer work again, with another key beside the first."""
        self.issuer.status = 200
        self.issuer.headers = {}
        self.issuer.cut = False
        self.issuer.publish(jwk("ES256", "first"), jwk("ES256", "second"))

    async def test_tokens_are_undecided_without_keys(self: Any) -> None:
        """Nothing can be said about tokens; the issuer is asked again soon."""
        await self.misbehave()
        self.assertEqual(await self.assert_unavailable(), INTERVAL_WITHOUT_KEYS)
        questions = self.questions
        self.clock.advance(INTERVAL_WITHOUT_KEYS - 0.5)
        self.assertEqual(await self.assert_unavailable(), 1)
        self.assertEqual(self.questions, questions)
        await self.recover()
        self.assertEqual(await self.assert_unavailable(), 1)
        self.clock.advance(0.5)
        self.assertEqual(await self.find(), [self.public("first")])

    async def test_the_previous_keys_stay_in_use(self: Any) -> None:
        """The keys from before are used, and the issuer is asked once a minute."""
        await self.find()
        await self.misbehave()
        questions = self.questions
        self.clock.advance(MAX_AGE)
        for _ in range(3):
            self.assertEqual(await self.find(), [self.public("first")])
            self.assertIsNone(await self.find("second"))
        self.assertLessEqual(self.questions, questions + 1)
        self.clock.advance(1000 * MAX_AGE)
        # Who has a key that is known does not wait now; the other one does.
        self.assertEqual(await self.find(), [self.public("first")])
        self.assertIsNone(await self.find("second"))
        await self.recover()
        self.clock.advance(INTERVAL)
        self.assertEqual(await self.find("second"), [self.public("second")])

    async def test_with_a_new_key(self: Any) -> None:
        """A token with a key that cannot be looked up now is nobody's."""
        await self.find()
        await self.misbehave()
        questions = self.questions
        for _ in range(3):
            self.assertIsNone(await self.find("second"))
        self.assertEqual(await self.find(), [self.public("first")])
        self.assertLessEqual(self.questions, questions + 1)
        await self.recover()
        self.clock.advance(INTERVAL)
        self.assertEqual(await self.find("second"), [self.public("second")])


class RefusedConnectionTests(Outage, KeySetTestCase):
    """The issuer is down."""

    async def misbehave(self) -> None:
        """See :meth:`Outage.misbehave`."""
        await self.issuer.close()

    async def recover(self) -> None:
        """See :meth:`Outage.recover`."""
        await super().recover()
        self.issuer.listen()


class ServerErrorTests(Outage, KeySetTestCase):
    """The issuer fails, though it sends keys."""

    async def misbehave(self) -> None:
        """See :meth:`Outage.misbehave`."""
        self.issuer.status = 500


class NotFoundTests(Outage, KeySetTestCase):
    """The issuer has nothing there, and says so in JSON."""

    async def misbehave(self) -> None:
        """See :meth:`Outage.misbehave`."""
        self.issuer.status = 404
        self.issuer.publish()


class RedirectTests(Outage, KeySetTestCase):
    """Keys that come from somewhere else are not the issuer's."""

    async def misbehave(self) -> None:
        """See :meth:`Outage.misbehave`."""
        self.issuer.status = 302
        self.issuer.headers = {"Location": f"{self.issuer.url}/elsewhere"}

    async def test_a_redirection_is_not_followed(self) -> None:
        await self.misbehave()
        await self.assert_unavailable()
        self.assertEqual(self.issuer.paths, [b"/keys"])


class GarbageTests(Outage, KeySetTestCase):
    """The issuer answers with something else."""

    async def misbehave(self) -> None:
        """See :meth:`Outage.misbehave`."""
        self.issuer.body = b"<html>please log in</html>"


class TooLargeTests(Outage, KeySetTestCase):
    """The issuer sends more than any set has."""

    async def misbehave(self) -> None:
        """See :meth:`Outage.misbehave`."""
        self.issuer.body += b" " * MAX_BYTES


class LostConnectionTests(Outage, KeySetTestCase):
    """The connection breaks in the middle of the keys."""

    async def misbehave(self) -> None:
        """See :meth:`Outage.misbehave`."""
        self.issuer.cut = True


class AuthenticatorTests(KeySetTestCase):
    """The authenticator with an issuer's keys."""

    def setUp(self) -> None:
        """Build the authenticator as the daemon does."""
        super().setUp()
        self.authenticator = self.build()

    def build(self, **options: Any) -> JWTAuthenticator:
        """Build an authenticator for the issuer."""
        return JWTFactory().build(
            JWTOptions(**{"algorithms": list(ALGORITHMS), "jwks_url": self.issuer.url, **options}),
            environment(reactor=self.clock, http=self.issuer.http),
        )

    async def name(self, *tokens: str) -> str | None:
        """Return who shows these tokens."""
        credentials = Credentials(tuple(Bearer(token) for token in tokens))
        identity = await self.authenticator.authenticate(credentials, repo_of())
        return None if identity is None else identity.name

    def token(self, kid: str | None = "first", which: str = "first", **claims: Any) -> str:
        """Make a token."""
        headers = {} if kid is None else {"kid": kid}
        everything = {"sub": "tess", "exp": self.clock.seconds() + 60, **claims}
        return sign(everything, "ES256", which, headers)

    async def assert_refused(self, token: str, reason: str) -> None:
        """Check that a token is refused, for a reason that is told."""
        try:
            name = await self.name(token)
        except Unauthorized as error:
            self.assertIn(reason, error.message)
        else:
            self.fail(f"not refused: {name}")

    async def test_a_good_token_is_accepted(self) -> None:
        self.assertEqual(await self.name(self.token()), "tess")
        self.assertEqual(await self.name(self.token(kid=None)), "tess")

    async def test_a_bad_token_of_a_known_key_is_refused(self) -> None:
        """A token that names one of the keys is this issuer's, and must be good."""
        await self.assert_refused(self.token(exp=self.clock.seconds() - 60), "expired")
        await self.assert_refused(self.token(which="second"), "signature")
        await self.assert_refused(self.token(kid=None, which="second"), "signature")
        for algorithm in ("none", "HS256"):
            pem = public_pem(private_key("ES256", "first")).encode()
            forged = forge({"alg": algorithm, "kid": "first"}, {"exp": 2e9}, pem)
            await self.assert_refused(forged, "algorithm")
        await self.assert_refused(
            sign({"exp": 2e9}, "RS256", "first", {"kid": "first"}), "signature"
        )

    async def test_a_token_of_another_issuer_is_passed_on(self) -> None:
        """A token that names another key is left to the next."""
        self.assertIsNone(await self.name(self.token("second", "second")))
        self.assertIsNone(await self.name(sign({}, "HS256", headers={"kid": "second"})))
        self.assertIsNone(await self.name("opaque"))
        self.assertIsNone(await self.name())

    async def test_nothing_to_ask(self) -> None:
        """Without a JWT, the issuer is left alone."""
        await self.name("opaque")
        self.assertEqual(self.questions, 0)

    async def test_a_key_id_selects_its_tokens(self) -> None:
        """With a ``key_id``, only tokens with that one are for this authenticator."""
        self.issuer.publish(jwk("ES256", "first"), jwk("ES256", "second"))
        self.authenticator = self.build(key_id="second")
        self.assertIsNone(await self.name(self.token()))
        self.assertEqual(self.questions, 0)
        self.assertEqual(await self.name(self.token("second", "second")), "tess")

    async def test_the_configured_max_age_counts(self) -> None:
        self.authenticator = self.build(jwks_max_age=60)
        await self.name(self.token())
        self.clock.advance(60)
        await self.name(self.token())
        self.assertEqual(self.questions, 2)

    async def test_tokens_are_undecided_without_keys(self) -> None:
        """While there are no keys, tokens are neither good nor bad."""
        self.issuer.status = 500
        try:
            await self.name(self.token())
        except ServiceUnavailable as error:
            self.assertEqual((error.code, error.headers), (503, {"Retry-After": "5"}))
        else:
            self.fail("not refused")
        self.assertIsNone(await self.name("opaque"))
