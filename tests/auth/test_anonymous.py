"""Every client is let in without a credential."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from giftless.auth.anonymous import AnonymousAuthenticator, AnonymousFactory
from giftless.auth.grants import READ, READ_WRITE, RepoGrants
from giftless.base.schema import convert
from giftless.errors import ConfigError
from giftless.interfaces import Credentials, IAnonymous
from giftless.lfs.objects import Permission
from tests.contracts.authenticators import FOREIGN, AuthenticatorContract
from tests.support.making import environment, oid_of
from tests.support.run import CoroutineTestCase


class AnonymousReadTests(AuthenticatorContract, CoroutineTestCase):
    def make_authenticator(self) -> AnonymousAuthenticator:
        return AnonymousAuthenticator("read")

    def accepted(self) -> list[Credentials]:
        return list(FOREIGN)

    def test_anybody_may_read_and_nobody_may_write(self) -> None:
        identity = self.authenticate(Credentials())
        assert identity is not None
        for oid in (None, oid_of(b"x")):
            self.assertTrue(identity.grants.allows(Permission.READ, oid))
            self.assertTrue(identity.grants.allows(Permission.READ_META, oid))
            self.assertFalse(identity.grants.allows(Permission.WRITE, oid))

    def test_the_identity_is_anonymous(self) -> None:
        """So a refusal asks for a credential."""
        identity = self.authenticate(Credentials())
        assert identity is not None
        self.assertTrue(identity.anonymous)
        self.assertIsNone(identity.ticket)


class AnonymousReadWriteTests(AuthenticatorContract, CoroutineTestCase):
    def make_authenticator(self) -> AnonymousAuthenticator:
        return AnonymousAuthenticator("read-write")

    def accepted(self) -> list[Credentials]:
        return list(FOREIGN)

    def test_anybody_may_do_everything(self) -> None:
        """But decide about what others have locked: nobody can be called to account."""
        identity = self.authenticate(Credentials())
        assert identity is not None
        for permission in Permission:
            allowed = identity.grants.allows(permission, oid_of(b"x"))
            self.assertIs(allowed, permission is not Permission.ADMIN)

    def test_it_says_that_it_identifies_nobody(self) -> None:
        verifyObject(IAnonymous, self.make_authenticator())


class FactoryTests(CoroutineTestCase):
    def may_write(self, **options: str) -> bool:
        """Build from a section of the configuration, and ask."""
        factory = AnonymousFactory()
        parsed = convert(options, factory.Options, "auth.0")
        built = factory.build(parsed, environment())
        identity = self.run_now(built.authenticate(Credentials(), None))  # type: ignore[arg-type]
        assert identity is not None
        return identity.grants.allows(Permission.WRITE, None)

    def test_reading_is_the_default(self) -> None:
        self.assertFalse(self.may_write())

    def test_writing_is_to_be_asked_for(self) -> None:
        self.assertFalse(self.may_write(access="read"))
        self.assertTrue(self.may_write(access="read-write"))

    def test_any_other_access_is_refused(self) -> None:
        for access in ("write", "admin", ""):
            error = self.assertRaises(ConfigError, self.may_write, access=access)
            self.assertEqual(error.path, "auth.0.access")
            self.assertIn("read, read-write", error.problem)


class GrantsTests(CoroutineTestCase):
    def test_grants_are_the_same_for_every_object(self) -> None:
        for permissions in (frozenset[Permission](), READ, READ_WRITE):
            grants = RepoGrants(permissions)
            for permission in Permission:
                for oid in (None, oid_of(b"x"), oid_of(b"y")):
                    self.assertIs(grants.allows(permission, oid), permission in permissions)
