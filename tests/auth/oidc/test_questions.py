"""What an issuer is asked about tokens, and what is made of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import gatherResults

from giftless.auth.oidc.questions import MOST_AT_ONCE, PAUSE
from giftless.errors import IdentityUnavailable, UnfitCredential
from tests.auth.oidc.support import NOW, OIDCTestCase, introspecting
from tests.support.openid import CLIENT, answer, cut, hold

OPAQUE = "an-opaque_token.of/some+length=="


class IntrospectionTests(OIDCTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.say()
        self.authenticator = self.build(**introspecting())

    def say(self, **others: Any) -> None:
        """Let the issuer say this about the token."""
        said = {"active": True, "sub": "olga", "aud": "lfs", "groups": ["writers"], **others}
        self.issuer.opaque[OPAQUE] = {key: each for key, each in said.items() if each is not None}

    async def test_a_good_token_is_asked_about_once_for_a_while(self) -> None:
        for _ in range(3):
            self.assertEqual(await self.show(self.authenticator, OPAQUE), ("olga", "write"))
        found = await gatherResults([self.showing(self.authenticator, OPAQUE) for _ in range(3)])
        self.assertEqual(found, [("olga", "write")] * 3)
        self.assertEqual(self.issuer.count("/introspect"), 1)
        self.clock.advance(60)
        self.say(active=False)
        self.assertIsNone(await self.show(self.authenticator, OPAQUE))

    async def test_nothing_is_remembered_beyond_the_end_of_a_token(self) -> None:
        self.say(exp=NOW + 20)
        await self.show(self.authenticator, OPAQUE)
        self.clock.advance(20)
        self.say(active=False)
        self.assertIsNone(await self.show(self.authenticator, OPAQUE))

    async def test_an_unknown_token_is_left_to_the_next_and_asked_about_once(self) -> None:
        for _ in range(3):
            self.assertIsNone(await self.show(self.authenticator, "a-password"))
        self.assertEqual(self.issuer.count("/introspect"), 1)
        self.clock.advance(30)
        await self.show(self.authenticator, "a-password")
        self.assertEqual(self.issuer.count("/introspect"), 2)

    async def test_a_secret_may_be_sent_in_the_form(self) -> None:
        self.issuer.document["introspection_endpoint_auth_methods_supported"] = [
            "client_secret_post"
        ]
        self.assertEqual(await self.show(self.authenticator, OPAQUE), ("olga", "write"))

    async def test_a_secret_is_not_sent_where_none_is_taken(self) -> None:
        self.issuer.document["introspection_endpoint_auth_methods_supported"] = ["private_key_jwt"]
        await self.failure(IdentityUnavailable, self.authenticator, OPAQUE)
        self.assertEqual(self.issuer.count("/introspect"), 0)

    async def test_a_secret_may_be_in_a_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f"{CLIENT[1]}\n")
        authenticator = self.build(client_id=CLIENT[0], client_secret_file=str(path))
        self.assertEqual(await self.show(authenticator, OPAQUE), ("olga", "write"))

    async def test_a_token_may_be_for_a_client_instead_of_an_audience(self) -> None:
        self.say(aud=None, client_id="lfs")
        self.assertEqual(await self.show(self.authenticator, OPAQUE), ("olga", "write"))

    async def test_what_an_issuer_says_to_be_nothing_is_not_said(self) -> None:
        names = ("introspection_endpoint_auth_methods_supported", "userinfo_endpoint")
        self.issuer.document = dict.fromkeys(names)
        nothing = dict.fromkeys(("iss", "exp", "nbf", "token_type", "cnf", "client_id"))
        said = {"active": True, "sub": "olga", "aud": "lfs", "groups": ["writers"]}
        self.issuer.opaque[OPAQUE] = {**said, **nothing}
        self.assertEqual(await self.show(self.authenticator, OPAQUE), ("olga", "write"))

    async def test_what_is_not_for_this_server_is_refused(self) -> None:
        for others, words in (
            ({"aud": "other"}, "audience"),
            ({"aud": ["other"], "client_id": "lfs"}, "audience"),
            ({"aud": None}, "audience"),
            ({"aud": None, "client_id": "other"}, "audience"),
            ({"iss": "https://other.example"}, "issuer"),
            ({"exp": NOW - 11}, "expired"),
            ({"nbf": NOW + 11}, "not valid yet"),
            ({"token_type": "refresh_token"}, "no access token"),
            ({"token_type": "DPoP"}, "no access token"),
            ({"cnf": {"x5t#S256": "x"}}, "bound to a key"),
            ({"sub": None}, "whose"),
        ):
            self.say(**others)
            error = await self.failure(UnfitCredential, self.authenticator, OPAQUE)
            self.assertIn(words, error.message)

    async def test_answers_that_make_no_sense_are_none(self) -> None:
        for failure in (
            answer(200, b"true"),
            answer(200, b"[]"),
            answer(200, b"{}"),
            answer(200, b'{"active": "yes"}'),
            answer(200, b'{"active": true, "aud": 7}'),
            answer(200, b"\xff"),
            answer(200, b"[" * 100_000),
            answer(200, b'{"active": true, "x": "' + b"y" * 300_000 + b'"}'),
            answer(401),
            answer(429),
            answer(302, location="/userinfo"),
        ):
            self.issuer.failures["/introspect"] = failure
            await self.failure(IdentityUnavailable, self.authenticator, OPAQUE)
        self.assertEqual(self.issuer.count("/userinfo"), 0)

    async def test_an_issuer_that_cannot_be_reached_is_left_alone_for_a_moment(self) -> None:
        await self.show(self.authenticator, OPAQUE)
        begun = hold(self.issuer, "/introspect")
        waiting = self.showing(self.authenticator, "another")
        await begun
        self.clock.advance(10)
        with self.assertRaises(IdentityUnavailable):
            await waiting
        self.issuer.failures.clear()
        for number in range(20):
            await self.failure(IdentityUnavailable, self.authenticator, f"{number}{OPAQUE}")
        self.assertEqual(self.issuer.count("/introspect"), 2)
        # Who is known does not notice.
        self.assertEqual(await self.show(self.authenticator, OPAQUE), ("olga", "write"))
        self.clock.advance(PAUSE)
        self.assertIsNone(await self.show(self.authenticator, f"1{OPAQUE}"))

    async def test_who_leaves_keeps_nobody_from_asking(self) -> None:
        await self.show(self.authenticator, "first")
        begun = hold(self.issuer, "/introspect")
        waiting = self.showing(self.authenticator, "another")
        await begun
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.assertEqual(self.logged, [])
        self.issuer.failures["/introspect"] = cut
        await self.failure(IdentityUnavailable, self.authenticator, OPAQUE)
        self.issuer.failures.clear()
        self.assertEqual(await self.show(self.authenticator, OPAQUE), ("olga", "write"))

    async def test_questions_that_wait_are_bounded(self) -> None:
        await self.show(self.authenticator, "first")
        begun = hold(self.issuer, "/introspect")
        waiting = [self.showing(self.authenticator, f"{n}") for n in range(MOST_AT_ONCE)]
        await begun
        await self.failure(IdentityUnavailable, self.authenticator, "one-more")
        self.clock.advance(10)
        for each in waiting:
            with self.assertRaises(IdentityUnavailable):
                await each

    async def test_secrets_are_not_logged(self) -> None:
        self.issuer.failures["/introspect"] = answer(401, b"s:ecret")
        await self.failure(IdentityUnavailable, self.authenticator, OPAQUE)
        self.issuer.failures["/introspect"] = cut
        self.clock.advance(PAUSE)
        await self.failure(IdentityUnavailable, self.authenticator, OPAQUE)
        self.assertEqual(len(self.logged), 2)
        for text in (*self.logged, repr(vars(self.authenticator)), repr(self.authenticator)):
            self.assertNotIn("ecret", text)
            self.assertNotIn(OPAQUE, text)

    async def test_an_issuer_without_such_an_endpoint_is_told(self) -> None:
        self.issuer.document["introspection_endpoint"] = ""
        await self.failure(IdentityUnavailable, self.authenticator, OPAQUE)
        self.assertIn("no introspection endpoint", self.logged[0])


class UserinfoTests(OIDCTestCase):
    async def test_claims_that_a_token_lacks_are_asked_for_once(self) -> None:
        authenticator, token = self.build(userinfo="claims"), self.issuer.token()
        self.issuer.people[token] = {
            "sub": "tess",
            "preferred_username": "Tess",
            "groups": ["writers"],
        }
        for _ in range(3):
            self.assertEqual(await self.show(authenticator, token), ("Tess", "write"))
        self.assertEqual(self.issuer.count("/userinfo"), 1)

    async def test_what_a_token_says_itself_is_not_asked_for(self) -> None:
        claims = {"preferred_username": "Tess", "groups": ["writers"]}
        token = self.issuer.token(**claims)
        authenticator = self.build(userinfo="claims")
        self.assertEqual(await self.show(authenticator, token), ("Tess", "write"))
        self.assertEqual(self.issuer.count("/userinfo"), 0)

    async def test_a_good_token_that_is_not_taken_there_says_what_it_says(self) -> None:
        token = self.issuer.token(groups=["writers"])
        authenticator = self.build(userinfo="claims")
        self.assertEqual(await self.show(authenticator, token), ("tess", "write"))

    async def test_claims_of_somebody_else_are_refused(self) -> None:
        token = self.issuer.token()
        self.issuer.people[token] = {"sub": "eve", "groups": ["admins"]}
        error = await self.failure(UnfitCredential, self.build(userinfo="claims"), token)
        self.assertIn("two people", error.message)

    async def test_a_bad_token_is_not_asked_about(self) -> None:
        authenticator = self.build(userinfo="tokens")
        for token in (self.issuer.token("other"), self.issuer.token(exp=NOW - 11)):
            self.issuer.people[token] = {"sub": "tess", "groups": ["admins"]}
            await self.failure(UnfitCredential, authenticator, token)
        self.assertEqual(self.issuer.count("/userinfo"), 0)

    async def test_opaque_tokens_are_asked_about_only_if_that_is_wanted(self) -> None:
        self.issuer.people[OPAQUE] = {"sub": "olga", "groups": ["writers"]}
        self.assertIsNone(await self.show(self.build(userinfo="claims"), OPAQUE))
        self.assertEqual(self.issuer.seen, [])
        authenticator = self.build(userinfo="tokens")
        self.assertEqual(await self.show(authenticator, OPAQUE), ("olga", "write"))
        self.assertIsNone(await self.show(authenticator, "unknown"))

    async def test_introspection_and_claims_add_up(self) -> None:
        self.issuer.opaque[OPAQUE] = {"active": True, "client_id": "lfs", "groups": None}
        self.issuer.people[OPAQUE] = {"sub": "olga", "name": "Olga", "groups": ["writers"]}
        authenticator = self.build(**introspecting(userinfo="claims", name_claim="name"))
        self.assertEqual(await self.show(authenticator, OPAQUE), ("Olga", "write"))

    async def test_answers_that_name_nobody_are_none(self) -> None:
        authenticator = self.build(userinfo="tokens")
        for failure in (
            answer(200, b"{}"),
            answer(200, b'{"sub": ""}'),
            answer(200, b'{"sub": ["olga"]}'),
            answer(200, b"null"),
            answer(500),
            answer(302, location="/keys"),
        ):
            self.issuer.failures["/userinfo"] = failure
            await self.failure(IdentityUnavailable, authenticator, OPAQUE)
        self.assertEqual(self.issuer.count("/keys"), 0)
