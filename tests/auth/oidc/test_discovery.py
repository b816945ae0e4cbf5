"""Where keys are found: an issuer that works, one that does not, and one that misleads."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.web.server import Request
from zope.interface.verify import verifyObject

from giftless.auth.tokens.jwks import INTERVAL, INTERVAL_WITHOUT_KEYS, TIMEOUT
from giftless.errors import ConfigError, IdentityUnavailable, Unauthorized
from giftless.interfaces import ICheckable
from tests.auth.oidc.support import OIDCTestCase
from tests.support.issuer import jwk
from tests.support.openid import FakeOpenID, answer, cut, hold
from tests.support.ports import free_port

DOCUMENT = "/.well-known/openid-configuration"

TESS = ("tess", "write")


class DiscoveryTestCase(OIDCTestCase):
    def token(self, **claims: Any) -> str:
        """Make a token of a writer that outlasts the test."""
        return self.issuer.token(groups=["writers"], **{"exp": 1_000_000, **claims})

    async def assert_unavailable(self, authenticator: Any) -> int:
        """Check that nothing can be said about tokens.

        :returns: after how many seconds to ask again.
        """
        error = await self.failure(IdentityUnavailable, authenticator, self.token())
        seconds: int = error.retry_after
        return seconds


class WorkingTests(DiscoveryTestCase):
    async def test_nothing_is_asked_before_the_first_token(self) -> None:
        authenticator = self.build()
        self.assertEqual(self.issuer.seen, [])
        self.assertEqual(await self.show(authenticator, self.token()), TESS)
        self.assertEqual(self.issuer.seen, [DOCUMENT, "/keys"])

    async def test_it_is_asked_once_for_many(self) -> None:
        authenticator, token = self.build(), self.token()
        found = await gatherResults([self.showing(authenticator, token) for _ in range(20)])
        self.assertEqual(found, [TESS] * 20)
        self.assertEqual(self.issuer.seen, [DOCUMENT, "/keys"])

    async def test_an_issuer_may_have_a_path_and_a_slash_at_its_end(self) -> None:
        self.issuer.url += "/"
        self.issuer.document["jwks_uri"] = f"{self.issuer.url}keys"
        self.assertEqual(await self.show(self.build(), self.token()), TESS)

    async def test_what_is_old_is_fetched_again(self) -> None:
        authenticator = self.build(jwks_max_age=100)
        await self.show(authenticator, self.token())
        self.clock.advance(99)
        await self.show(authenticator, self.token())
        self.assertEqual(len(self.issuer.seen), 2)
        self.clock.advance(1)
        await self.show(authenticator, self.token())
        self.assertEqual(self.issuer.seen, [DOCUMENT, "/keys"] * 2)

    async def test_keys_may_move(self) -> None:
        authenticator = self.build(jwks_max_age=100)
        await self.show(authenticator, self.token())
        self.issuer.document["jwks_uri"] = f"{self.issuer.url}/introspect/../keys"
        self.clock.advance(100)
        self.issuer.document["jwks_uri"] = f"{self.issuer.url}/keys?set=2"
        self.assertEqual(await self.show(authenticator, self.token()), TESS)

    async def test_a_new_key_is_found_when_a_token_names_it(self) -> None:
        authenticator = self.build()
        await self.show(authenticator, self.token())
        self.issuer.keys = [jwk("ES256", kid="next")]
        token = self.token(headers={"kid": "next"})
        self.assertEqual(await self.show(authenticator, token), TESS)
        self.assertEqual(self.issuer.count("/keys"), 2)

    async def test_a_flood_of_unknown_keys_asks_once_a_minute(self) -> None:
        authenticator = self.build()
        await self.show(authenticator, self.token())
        for number in range(200):
            token = self.token(headers={"kid": f"unknown-{number}"})
            await self.failure(Unauthorized, authenticator, token)
        self.assertEqual(self.issuer.seen, [DOCUMENT, "/keys", "/keys"])
        self.assertEqual(await self.show(authenticator, self.token()), TESS)


class CheckTests(DiscoveryTestCase):
    async def refused(self, **options: Any) -> str:
        """Check that the issuer is of no use.

        :returns: what is said.
        """
        with self.assertRaises(ConfigError) as caught:
            await self.build(**options).check()
        self.assertEqual(caught.exception.path, "issuer")
        return caught.exception.problem

    async def test_an_issuer_with_its_keys_is_fine(self) -> None:
        authenticator = self.build()
        verifyObject(ICheckable, authenticator)
        await authenticator.check()
        self.assertEqual(self.issuer.seen, [DOCUMENT, "/keys"])

    async def test_what_is_wrong_with_an_issuer_is_said(self) -> None:
        for path, failure, words in (
            (DOCUMENT, answer(404), "status 404.*written as the issuer itself writes it"),
            (DOCUMENT, answer(200, b"<html>"), "no such document"),
            (DOCUMENT, answer(200, b'{"issuer": "https://a", "jwks_uri": "x"}'), "another issuer"),
            (DOCUMENT, cut, "does not say where its keys are: .*reach it"),
            ("/keys", answer(500), "jwks_uri.*status 500"),
            ("/keys", answer(200, b'{"keys": []}'), "no key.*algorithms"),
        ):
            self.issuer.failures = {path: failure}
            self.assertRegex(await self.refused(), words)
        self.issuer.failures = {}
        self.assertRegex(await self.refused(algorithms=["RS256"]), "no key")

    async def test_an_issuer_that_does_not_answer_is_given_up(self) -> None:
        for path in (DOCUMENT, "/keys"):
            begun, refused = (
                hold(self.issuer, path),
                Deferred.fromCoroutine(self.refused()),
            )
            await begun
            self.clock.advance(TIMEOUT)
            self.assertIn("no answer in time", await refused)
            del self.issuer.failures[path]

    async def test_an_issuer_that_is_not_there_is_named(self) -> None:
        self.issuer.url = f"http://127.0.0.1:{free_port()}"
        self.assertIn("refused", await self.refused())


class FailingTests(DiscoveryTestCase):
    async def test_an_issuer_that_misbehaves_is_told_and_asked_again_later(self) -> None:
        for failure in (
            answer(500),
            answer(404),
            answer(200, b"<html>"),
            answer(200, b"[" * 100_000),
            answer(200, b"{}"),
            answer(200, b'{"issuer": 7, "jwks_uri": []}'),
            answer(200, b" " * 300_000),
            cut,
        ):
            authenticator = self.build()
            self.issuer.failures[DOCUMENT] = failure
            self.assertEqual(await self.assert_unavailable(authenticator), 5)
            before = len(self.issuer.seen)
            await self.assert_unavailable(authenticator)
            self.assertEqual(len(self.issuer.seen), before)
            self.clock.advance(INTERVAL_WITHOUT_KEYS)
            del self.issuer.failures[DOCUMENT]
            self.assertEqual(await self.show(authenticator, self.token()), TESS)

    async def test_who_waits_for_an_issuer_that_never_answers_is_told(self) -> None:
        for path in (DOCUMENT, "/keys"):
            authenticator, begun = self.build(), hold(self.issuer, path)
            waiting = [self.showing(authenticator, self.token()) for _ in range(3)]
            await begun
            self.assertEqual([each.called for each in waiting], [False] * 3)
            self.clock.advance(TIMEOUT)
            for each in waiting:
                with self.assertRaises(IdentityUnavailable):
                    await each
            del self.issuer.failures[path]

    async def test_who_leaves_does_not_end_the_question_of_others(self) -> None:
        authenticator, held = self.build(), hold(self.issuer, DOCUMENT)
        leaving, staying = (self.showing(authenticator, self.token()) for _ in range(2))
        request = await held
        leaving.addErrback(lambda _: None)
        leaving.cancel()
        del self.issuer.failures[DOCUMENT]
        self.issuer.answer(request)
        self.assertEqual(await staying, TESS)

    async def test_while_the_issuer_is_down_its_old_keys_go_on(self) -> None:
        authenticator = self.build(jwks_max_age=100)
        await self.show(authenticator, self.token())
        self.issuer.failures = {DOCUMENT: cut, "/keys": cut}
        for _ in range(5):
            self.clock.advance(100)
            self.assertEqual(await self.show(authenticator, self.token()), TESS)
            await self.settle(authenticator)
        before = len(self.issuer.seen)
        for _ in range(50):
            await self.show(authenticator, self.token())
        self.assertEqual(len(self.issuer.seen), before)
        self.clock.advance(INTERVAL)
        self.issuer.failures.clear()
        self.issuer.keys = [jwk("ES256", kid="next")]
        token = self.token(headers={"kid": "next"})
        self.assertEqual(await self.show(authenticator, token), TESS)
        await self.settle(authenticator)

    async def test_nobody_who_has_a_key_waits_again_for_an_issuer_that_is_silent(self) -> None:
        authenticator = self.build(jwks_max_age=100)
        await self.show(authenticator, self.token())
        for path in (DOCUMENT, "/keys"):
            held = hold(self.issuer, path)
            self.clock.advance(100)
            waiting = self.showing(authenticator, self.token())
            await held
            self.clock.advance(TIMEOUT)
            self.assertEqual(await waiting, TESS)
            held = hold(self.issuer, path)
            self.clock.advance(INTERVAL)
            self.assertEqual(await self.show(authenticator, self.token()), TESS)
            await held
            self.clock.advance(TIMEOUT)
            await self.settle(authenticator)
            del self.issuer.failures[path]


class MisleadingTests(DiscoveryTestCase):
    async def test_the_document_of_another_issuer_is_none(self) -> None:
        for issuer in ("https://sso.example", self.issuer.url + "/", ""):
            self.issuer.document["issuer"] = issuer
            await self.assert_unavailable(self.build())
        self.assertEqual(self.issuer.count("/keys"), 0)
        self.assertIn("another issuer", self.logged[0])

    async def test_a_redirect_is_not_followed(self) -> None:
        other = FakeOpenID()
        for path in (DOCUMENT, "/keys"):
            self.issuer.failures = {path: answer(302, location=f"{self.issuer.url}/elsewhere")}
            await self.assert_unavailable(self.build())
        self.assertEqual(self.issuer.count("/elsewhere"), 0)
        self.assertEqual(other.seen, [])

    async def test_no_plain_url_is_asked_but_on_this_machine(self) -> None:
        for name in ("jwks_uri", "introspection_endpoint", "userinfo_endpoint"):
            for url in (
                "http://sso.example/keys",
                "http://169.254.169.254/latest/meta-data",
                "http://10.0.0.1/keys",
                "ftp://127.0.0.1/keys",
                "file:///etc/passwd",
                "https://user:word@sso.example/keys",
                "keys",
            ):
                self.issuer.document = {name: url}
                await self.assert_unavailable(self.build())
        self.assertEqual(self.issuer.count("/keys"), 0)

    async def test_nothing_that_only_this_server_can_reach_is_dialled(self) -> None:
        """Not even where the issuer itself is on this machine, or in its network."""
        for host in ("169.254.169.254", "0.0.0.0", "224.0.0.1"):
            self.issuer.document = {"jwks_uri": f"https://{host}/keys"}
            await self.assert_unavailable(self.build())
            self.assertIn("no address that this server may lead to", self.logged[-1])

    async def test_an_endless_set_of_keys_is_not_read_to_its_end(self) -> None:
        def endless(request: Request) -> bytes:
            return b" " * 10_000_000

        self.issuer.failures["/keys"] = endless
        await self.assert_unavailable(self.build())
