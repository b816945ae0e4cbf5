"""The tokens of actions: what they open, and everything that they do not."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import jwt
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from giftless.auth.actions import ActionOptions, ActionTokens
from giftless.base.schema import convert
from giftless.errors import BadAction, ConfigError, ExpiredAction, Forbidden
from giftless.interfaces import (
    ActionKind,
    Bearer,
    Credentials,
    IActionTokens,
    Identity,
    Lifetime,
    PartUpload,
    Password,
    Ticket,
    Unreadable,
)
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import Action, Extras, ObjectKey, Permission
from giftless.transfer.kinds import BUILT_IN
from tests.contracts.authenticators import ChainedContract
from tests.support.making import (
    SECRET,
    action_of,
    action_tokens,
    key_of,
    oid_of,
    partial,
    reader,
    repo_of,
    stranger,
    writer,
)
from tests.support.run import CoroutineTestCase

HREF = "https://lfs.example/org/repo/objects/storage/x"
KEY = key_of(b"abc")

#: What the tokens of each kind are good for.
PERMITS = {
    "upload": Permission.WRITE,
    "download": Permission.READ,
    "verify": Permission.READ_META,
    "confirm": Permission.READ_META,
    "parts": Permission.WRITE,
    "part": Permission.WRITE,
    "commit": Permission.WRITE,
    "abort": Permission.WRITE,
}


def token_of(action: Action) -> str:
    """Return the token in an action's header."""
    assert action.header is not None
    return action.header["Giftless-Action"]


def bearer(*tokens: str) -> Credentials:
    """Return credentials with an Authorization header for each token."""
    return Credentials(tuple(Bearer(token) for token in tokens))


def encode(data: bytes) -> str:
    """Encode as the parts of a JWT are."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    """Decode a part of a JWT."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class ActionTokensTestCase(CoroutineTestCase):
    """A test case with something that makes and takes tokens.

    :ivar clock: its time.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.tokens = action_tokens(
            self.clock, lifetime=100, multipart_lifetime=500, verify_lifetime=1000, leeway=5
        )

    def action(
        self,
        operation: str = "upload",
        key: ObjectKey = KEY,
        size: int = 3,
        identity: Identity | None = None,
        extras: Extras | None = None,
        upload: PartUpload | None = None,
    ) -> Action:
        """Make an action."""
        ticket = Ticket(operation, size, extras or {}, upload)
        return action_of(self.tokens, ticket, key, HREF, identity or writer())

    def token(self, operation: str = "upload", **options: Any) -> str:
        """Make a token."""
        return token_of(self.action(operation, **options))

    def redeem(self, credentials: Credentials, path: str = "org/repo") -> Identity | None:
        """Come back with a token."""
        return self.run_now(self.tokens.authenticate(credentials, repo_of(path)))

    def accepted(self, credentials: Credentials) -> Identity:
        """Come back with a token that is good."""
        identity = self.redeem(credentials)
        assert identity is not None
        return identity

    def refusal(self, credentials: Credentials, path: str = "org/repo") -> Forbidden:
        """Come back with a token that is bad; it is 403 then, never 401."""
        error: Forbidden = self.assertRaises(Forbidden, self.redeem, credentials, path)
        self.assertIn(type(error), (BadAction, ExpiredAction))
        return error


class ActionTokensContractTests(ChainedContract, CoroutineTestCase):
    def make_authenticator(self) -> ActionTokens:
        return action_tokens()

    def accepted(self) -> list[Credentials]:
        tokens = [
            token_of(action_of(self.authenticator, Ticket(operation, 3), KEY, HREF, identity))
            for operation in PERMITS
            for identity in (writer(), stranger())
        ]
        return [
            *map(bearer, tokens),
            *(Credentials((Password("_jwt", token),)) for token in tokens),
            *(Credentials((Bearer(token, in_url=True),)) for token in tokens),
        ]

    def test_it_makes_tokens_too(self) -> None:
        verifyObject(IActionTokens, self.authenticator)


class WriterTests(ActionTokensTestCase):
    """Whoever may write gets what is in the trash, by a token for a download, too."""

    def writes(self, identity: Identity) -> bool:
        """Whether a token says that it was made for somebody who may write."""
        found = self.accepted(bearer(self.token("download", identity=identity)))
        assert found.ticket is not None
        self.assertFalse(found.grants.allows(Permission.WRITE, KEY.oid))
        return found.ticket.writer

    def test_a_token_remembers_whether_it_was_made_for_a_writer(self) -> None:
        self.assertTrue(self.writes(writer()))
        self.assertFalse(self.writes(reader()))

    def test_a_token_that_is_made_by_another_one_says_the_same(self) -> None:
        """An upload in parts asks for tokens by a token."""
        for writes in (True, False):
            ticket = Ticket("parts", 3, writer=writes)
            self.assertIs(self.writes(Identity("u", reader().grants, ticket=ticket)), writes)


class ActionTests(ActionTokensTestCase):
    def test_an_action_goes_where_it_should(self) -> None:
        for operation in PERMITS:
            self.assertEqual(self.action(operation).href, HREF)

    def test_an_action_tells_how_long_it_is_good(self) -> None:
        """The verification comes after the upload, so it is good for longer."""
        self.assertEqual(self.action("upload").expires_in, 100)
        self.assertEqual(self.action("download").expires_in, 100)
        for operation in ("verify", "confirm"):
            self.assertEqual(self.action(operation).expires_in, 1000)

    def test_parts_may_take_long_and_their_commit_longer(self) -> None:
        for operation in ("parts", "part"):
            self.assertEqual(self.action(operation).expires_in, 500)
        for operation in ("commit", "abort"):
            self.assertEqual(self.action(operation).expires_in, 1000)

    def test_an_upload_has_a_content_type(self) -> None:
        """The client sniffs one otherwise."""
        for operation in ("upload", "part"):
            header = self.action(operation).header or {}
            self.assertEqual(header["Content-Type"], "application/octet-stream")
        for operation in ("download", "verify", "confirm", "parts", "commit", "abort"):
            self.assertEqual(set(self.action(operation).header or {}), {"Giftless-Action"})

    def test_a_token_fits_into_a_header(self) -> None:
        token = self.token(extras={"filename": "\u00fc\u20ac\r\n\x00" * 50})
        self.assertTrue(token.isascii())
        self.assertNotIn(" ", token)

    def test_an_action_does_not_show_its_token(self) -> None:
        """Values end up in logs."""
        self.assertNotIn(self.token(), repr(self.action()))
        self.assertNotIn("s3cr3t", repr(Action("https://bucket.example/x?signature=s3cr3t")))
        self.assertIn("https://bucket.example/x", repr(Action("https://bucket.example/x?y")))

    def test_the_secret_is_not_shown(self) -> None:
        self.assertNotIn(SECRET.decode(), repr(self.tokens))
        self.assertNotIn(SECRET.decode(), repr(vars(self.tokens)))


class RedeemingTests(ActionTokensTestCase):
    def test_a_token_permits_its_operation_and_nothing_else(self) -> None:
        for operation, permitted in PERMITS.items():
            grants = self.accepted(bearer(self.token(operation))).grants
            for permission in Permission:
                self.assertIs(grants.allows(permission, KEY.oid), permission is permitted)

    def test_a_token_opens_its_object_and_nothing_else(self) -> None:
        for operation in PERMITS:
            grants = self.accepted(bearer(self.token(operation))).grants
            for permission in Permission:
                self.assertFalse(grants.allows(permission, oid_of(b"other")))
                self.assertFalse(grants.allows(permission, None))

    def test_a_token_opens_its_repository_and_no_other(self) -> None:
        for path in ("org/other", "other/repo", "org", "org/repo/sub", "Org/repo"):
            error = self.refusal(bearer(self.token()), path)
            self.assertEqual(error.cause, "bad-action")
            self.assertIn("another repository", error.message)

    def test_a_token_carries_the_announced_size_and_extras(self) -> None:
        extras = {"filename": "\u00fc.bin", "n": 5, "huge": 2**70, "f": 0.5, "no": None}
        identity = self.accepted(bearer(self.token(size=12345, extras=extras)))
        assert identity.ticket is not None
        self.assertEqual(identity.ticket.size, 12345)
        self.assertEqual(identity.ticket.extras, extras)

    def test_a_token_tells_who_asked_for_it(self) -> None:
        for name in ("rita", "R\u00efta <x@y>", "anonymous"):
            identity = self.accepted(bearer(self.token(identity=reader(name))))
            self.assertEqual(identity.name, name)

    def test_whoever_shows_a_token_is_somebody(self) -> None:
        """Else a refusal would be 401, and the client would loop."""
        self.assertFalse(self.accepted(bearer(self.token(identity=stranger()))).anonymous)

    def test_a_token_does_not_take_on_what_its_owner_may_do_beside(self) -> None:
        identity = self.accepted(bearer(self.token("download", identity=partial(KEY.oid))))
        self.assertFalse(identity.grants.allows(Permission.WRITE, KEY.oid))

    def test_a_token_is_good_until_its_time_is_over(self) -> None:
        for operation, lifetime in (("upload", 100), ("download", 100), ("verify", 1000)):
            token = self.token(operation)
            self.clock.advance(lifetime)
            self.accepted(bearer(token))
            self.clock.advance(5)  # clocks differ a little
            self.accepted(bearer(token))
            self.clock.advance(1)
            error = self.refusal(bearer(token))
            self.assertEqual(error.cause, "expired-action")
            self.assertIn("expired", error.message)

    def test_a_token_can_come_in_several_ways(self) -> None:
        token = self.token()
        for credentials in (
            bearer(token),
            Credentials((Password("_jwt", token),)),
            Credentials((Bearer(token, in_url=True),)),
        ):
            self.assertEqual(self.accepted(credentials).name, "will")

    def test_a_token_that_comes_in_another_way_is_not_seen(self) -> None:
        token = self.token()
        for shown in (Password("somebody", token), Password(token, "x"), Unreadable("token")):
            self.assertIsNone(self.redeem(Credentials((shown,))))

    def test_of_two_headers_each_is_tried(self) -> None:
        other = jwt.encode({"sub": "ci"}, "k" * 32, "HS256")
        expired = self.token("download")
        self.clock.advance(500)
        good = self.token()
        for tokens in ((other, good), (good, other), (expired, good), (good, expired)):
            self.assertTrue(self.accepted(bearer(*tokens)).grants.allows(Permission.WRITE, KEY.oid))
        self.accepted(Credentials((Password("ci", "password"), Bearer(good))))
        self.accepted(Credentials((Bearer(other), Bearer(good, in_url=True))))

    def test_a_bad_token_is_refused_even_beside_a_foreign_one(self) -> None:
        other = jwt.encode({"sub": "ci"}, "k" * 32, "HS256")
        expired = self.token()
        self.clock.advance(500)
        self.refusal(bearer(other, expired))
        self.refusal(bearer(expired, other))

    def test_tokens_outlive_the_process(self) -> None:
        """Workers share the secret, and a restart keeps it."""
        token = self.token()
        self.tokens = action_tokens(self.clock)
        self.accepted(bearer(token))


class ForgeryTests(ActionTokensTestCase):
    def forged(self, claims: dict[str, Any], key: Any = None, **options: Any) -> str:
        """Make a token as the server does, but from these claims."""
        (part,) = self.token().split(".")[1:2]
        all_claims = {**json.loads(decode(part)), **claims}
        all_claims = {name: value for name, value in all_claims.items() if value is not ...}
        options = {"algorithm": "HS256", "headers": {"kid": "giftless-action"}, **options}
        return jwt.encode(all_claims, self.tokens._key if key is None else key, **options)

    def test_the_tests_forgeries_are_good_where_nothing_is_changed(self) -> None:
        self.accepted(bearer(self.forged({})))

    def test_every_part_is_protected(self) -> None:
        parts = self.token().split(".")
        for index, part in enumerate(parts):
            data = decode(part)
            for position in range(len(data)):
                changed = bytearray(data)
                changed[position] ^= 1
                token = ".".join([*parts[:index], encode(bytes(changed)), *parts[index + 1 :]])
                with contextlib.suppress(Forbidden):
                    self.assertIsNone(self.redeem(bearer(token)))

    def test_the_signature_cannot_be_left_out(self) -> None:
        head, payload, _ = self.token().split(".")
        self.refusal(bearer(f"{head}.{payload}."))
        self.assertIsNone(self.redeem(bearer(f"{head}.{payload}")))

    def test_no_claim_can_be_changed(self) -> None:
        """Size, oid, repository, operation and time, each under the old signature."""
        head, payload, signature = self.token("download").split(".")
        claims = json.loads(decode(payload))
        for name, value in (
            ("size", 4),
            ("oid", str(oid_of(b"other"))),
            ("repo", "org/other"),
            ("op", "upload"),
            ("exp", 2_000_000_000),
            ("sub", "admin"),
            ("x", {"filename": "evil"}),
        ):
            changed = encode(json.dumps({**claims, name: value}).encode())
            for path in ("org/repo", "org/other"):
                self.refusal(bearer(f"{head}.{changed}.{signature}"), path)

    def test_alg_none_is_refused(self) -> None:
        _, payload, signature = self.token().split(".")
        for algorithm in ("none", "None", "NONE", ""):
            head = encode(json.dumps({"alg": algorithm, "kid": "giftless-action"}).encode())
            for end in ("", signature):
                self.refusal(bearer(f"{head}.{payload}.{end}"))

    def test_other_algorithms_are_refused(self) -> None:
        """Even with the right key."""
        for algorithm in ("HS384", "HS512"):
            self.refusal(bearer(self.forged({}, algorithm=algorithm)))
        self.flushWarnings()  # that the key is short for these

    def test_another_daemons_tokens_are_refused(self) -> None:
        other = ActionTokens(b"another secret" * 4, ActionOptions(), BUILT_IN, self.clock.seconds)
        self.refusal(bearer(token_of(action_of(other, Ticket("upload", 3), KEY, HREF, writer()))))

    def test_the_secret_itself_is_not_the_key(self) -> None:
        """What else is signed with the secret cannot be taken for a token."""
        self.refusal(bearer(self.forged({}, SECRET)))

    def test_foreign_tokens_are_passed_on(self) -> None:
        """Even if they are signed with the right key: they say whose they are."""
        for headers in (None, {"kid": ""}, {"kid": "giftless"}, {"kid": "../giftless-action"}):
            self.assertIsNone(self.redeem(bearer(self.forged({}, headers=headers))))
        head = encode(b'{"alg":"HS256","kid":["giftless-action"]}')
        self.assertIsNone(self.redeem(bearer(f"{head}.e30.AAAA")))

    def test_claims_that_the_server_would_not_make_are_refused(self) -> None:
        claims: Any
        for claims in (
            {"exp": ...},
            {"exp": "tomorrow"},
            {"exp": None},
            {"op": ...},
            {"repo": ...},
            {"repo": 5},
            {"oid": ...},
            {"size": ...},
            {"size": "3"},
            {"sub": ...},
            {"x": []},
        ):
            self.refusal(bearer(self.forged(claims)))

    def test_a_token_says_to_which_upload_it_belongs(self) -> None:
        """So that any process can go on with it."""
        upload = PartUpload("the store's+name/of=it", PartPlan(3, 2))
        for operation in PERMITS:
            ticket = self.accepted(bearer(self.token(operation, upload=upload))).ticket
            assert ticket is not None
            self.assertEqual((ticket.kind, ticket.upload), (operation, upload))
            ticket = self.accepted(bearer(self.token(operation))).ticket
            assert ticket is not None
            self.assertEqual((ticket.kind, ticket.upload), (operation, None))

    def test_a_size_of_parts_that_the_server_would_not_make_is_no_upload(self) -> None:
        for size in (0, -1):
            ticket = self.accepted(bearer(self.forged({"op": "part", "part_size": size}))).ticket
            assert ticket is not None
            self.assertIsNone(ticket.upload)

    def test_a_token_of_an_unknown_kind_is_refused(self) -> None:
        """A transfer may have been taken out of the configuration."""
        self.refusal(bearer(self.forged({"op": "delete"})))

    @given(st.text(max_size=200) | st.binary(max_size=200).map(encode))
    def test_no_payload_gets_in_without_a_signature(self, payload: str) -> None:
        head, _, signature = self.token().split(".")
        self.refusal(bearer(f"{head}.{payload.replace('.', '')}.{signature}"))


class KindTests(ActionTokensTestCase):
    """Any kind of action that the server knows can have tokens."""

    def tokens_of(self, *kinds: ActionKind) -> ActionTokens:
        return ActionTokens(
            SECRET, ActionOptions(lifetime=7), (*BUILT_IN, *kinds), self.clock.seconds
        )

    def test_a_kind_of_a_plugin_works_as_the_built_in_ones(self) -> None:
        kind = ActionKind("stage", Permission.WRITE, Lifetime.TRANSFER, {"X-Stage": "1"})
        self.tokens = self.tokens_of(kind)
        action = self.tokens.signer(kind, KEY.repo, writer()).action(KEY.oid, HREF, 3)
        self.assertEqual(action.expires_in, 7)
        self.assertEqual((action.header or {})["X-Stage"], "1")
        identity = self.accepted(bearer(token_of(action)))
        self.assertEqual(identity.ticket, Ticket("stage", 3, writer=True))
        self.assertTrue(identity.grants.allows(Permission.WRITE, KEY.oid))

    def test_a_kind_that_several_transfers_share_is_one(self) -> None:
        self.tokens_of(BUILT_IN[0])

    def test_two_kinds_of_one_name_are_refused(self) -> None:
        other = ActionKind("upload", Permission.READ, Lifetime.TRANSFER)
        error = self.assertRaises(ValueError, self.tokens_of, other)
        self.assertIn("'upload'", str(error))

    def test_a_kind_that_no_factory_names_makes_no_tokens(self) -> None:
        """Else its tokens would be refused when they come back."""
        for kind in (
            ActionKind("stage", Permission.WRITE, Lifetime.TRANSFER),
            ActionKind("upload", Permission.READ, Lifetime.TRANSFER),
        ):
            error = self.assertRaises(ValueError, self.tokens.signer, kind, KEY.repo, writer())
            self.assertIn(repr(kind.name), str(error))


class OptionsTests(CoroutineTestCase):
    def test_lifetimes_are_configuration(self) -> None:
        given: dict[str, Any] = {
            "lifetime": 60,
            "multipart_lifetime": 62,
            "verify_lifetime": 61,
            "leeway": 0,
            "verify": "always",
            "chunked_uploads": True,
        }
        options = convert(given, ActionOptions, "a")
        self.assertEqual(options, ActionOptions(**given))

    def test_impossible_lifetimes_are_refused(self) -> None:
        for name, value in (("lifetime", 0), ("verify_lifetime", -1), ("leeway", -1)):
            error = self.assertRaises(ConfigError, convert, {name: value}, ActionOptions, "actions")
            self.assertEqual(error.path, f"actions.{name}")

    def test_a_verification_is_a_matter_of_two_words(self) -> None:
        self.assertFalse(action_tokens().always_verify)
        self.assertFalse(action_tokens(verify="auto").always_verify)
        self.assertTrue(action_tokens(verify="always").always_verify)
        for value in ("never", "", True, None):
            error = self.assertRaises(
                ConfigError, convert, {"verify": value}, ActionOptions, "actions"
            )
            self.assertEqual(error.path, "actions.verify")

    def test_an_action_of_the_defaults_outlasts_a_long_batch(self) -> None:
        """A hundred objects wait behind eight workers, then are verified."""
        options = ActionOptions()
        self.assertGreaterEqual(options.lifetime, 600)
        self.assertGreater(options.multipart_lifetime, options.lifetime)
        self.assertGreater(options.verify_lifetime, options.multipart_lifetime)
