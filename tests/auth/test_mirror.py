"""Callers whom another server knows."""

from __future__ import annotations

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from giftless.auth.guard import Guard
from giftless.auth.mirror import MirrorAuthenticator
from giftless.errors import Unauthorized, UnfitCredential
from giftless.interfaces import (
    ActionToken,
    Bearer,
    Credential,
    Credentials,
    IDeferring,
    Identity,
    Password,
    Ticket,
    Unreadable,
    Vouched,
)
from giftless.lfs.objects import ACTION_HEADER, Permission
from giftless.transfer.kinds import DOWNLOAD
from tests.support.making import action_tokens, key_of, links_of, reader, repo_of
from tests.support.run import CoroutineTestCase


class MirrorAuthenticatorTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.authenticator = MirrorAuthenticator(b"k" * 32)

    def identify(self, *items: Credential) -> Identity | None:
        """Identify who shows some credentials."""
        return self.run_now(self.authenticator.authenticate(Credentials(items), repo_of()))

    def test_it_is_what_it_says(self) -> None:
        verifyObject(IDeferring, self.authenticator)

    def test_the_credential_goes_with_the_identity_and_is_shown_to_nobody(self) -> None:
        for credential in (Password("ray", "secret word"), Bearer("secret")):
            identity = self.identify(credential)
            assert identity is not None
            self.assertEqual(identity.credential, credential)
            self.assertFalse(identity.anonymous)
            self.assertNotIn("secret", repr(identity))
            self.assertTrue(identity.grants.allows(Permission.WRITE, None))
            self.assertFalse(identity.grants.allows(Permission.ADMIN, None))

    def test_who_shows_nothing_is_nobody(self) -> None:
        identity = self.identify()
        assert identity is not None
        self.assertTrue(identity.anonymous)
        self.assertIsNone(identity.credential)

    def test_a_name_is_shown_only_if_it_can_be_no_token(self) -> None:
        for user, password, name in (
            ("ray", "x", "ray"),
            ("ray.o@example.com", "x", "ray.o@example.com"),
            ("ray", "", "somebody"),
            ("ray", "x-oauth-basic", "somebody"),
            ("ghp_0123456789", "x", "somebody"),
            ("glpat-0123456789", "x", "somebody"),
            ("a" * 40, "x", "somebody"),
            ("two words", "x", "somebody"),
        ):
            identity = self.identify(Password(user, password))
            assert identity is not None
            self.assertEqual(identity.name, name)

    def test_everybody_has_a_principal_of_their_own(self) -> None:
        shown = (Password("a", "b"), Password("a", "c"), Bearer("a"), Bearer("b"))
        principals = {identity.principal for each in shown if (identity := self.identify(each))}
        self.assertEqual(len(principals), len(shown))

    def test_tokens_of_giftless_are_taken_by_nobody(self) -> None:
        signer = action_tokens(Clock()).signer(DOWNLOAD, repo_of(), reader())
        key = key_of(b"data")
        header = signer.action(key.oid, links_of().storage(key.oid, {}), 4).header
        assert header is not None
        token = header[ACTION_HEADER]
        for shown in (Bearer(token), Password("_jwt", token), Password(token, "x")):
            self.fail_with(UnfitCredential, shown)

    def fail_with(self, kind: type[Exception], *items: Credential) -> None:
        """Check that credentials are refused."""
        with self.assertRaises(kind):
            self.identify(*items)

    def test_what_no_other_server_may_see_is_left_alone(self) -> None:
        for shown in (
            Bearer("jwt", in_url=True),
            ActionToken("x"),
            Vouched("ray", "basic"),
            Unreadable("negotiate"),
        ):
            self.assertIsNone(self.identify(shown))
            guard = Guard(self.authenticator, None)
            with self.assertRaises(Unauthorized):
                self.run_now(guard.authenticate(Credentials((shown,)), repo_of()))

    def test_a_ticket_shows_nothing_of_its_pass(self) -> None:
        self.assertNotIn("sealed", repr(Ticket("download", 4, passed="sealed")))
