"""What every authenticator promises (``giftless.interfaces.IAuthenticator``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from giftless.errors import LFSError
from giftless.interfaces import (
    Bearer,
    Credential,
    Credentials,
    IAuthenticator,
    Identity,
    IGrants,
    Password,
    Unreadable,
    Vouched,
)
from giftless.lfs.objects import Permission, Repo
from tests.support.making import oid_of, repo_of
from tests.support.run import CoroutineTestCase

if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object


#: A good JWT of somebody else.
_JWT = jwt.encode({"sub": "x"}, "k" * 32, "HS256", {"kid": "somebody-elses"})

#: Credentials that are none of the tested authenticator's own: it leaves them to others.
FOREIGN = (
    Credentials(),
    Credentials((Unreadable(),)),
    Credentials((Unreadable("negotiate"),)),
    Credentials((Unreadable("basic"),)),
    Credentials((Bearer(""),)),
    Credentials((Bearer("opaque-token"),)),
    Credentials((Bearer("a.b.c"),)),
    Credentials((Bearer(".."),)),
    Credentials((Bearer("x" * 100_000),)),
    Credentials((Bearer("a." * 50_000),)),
    Credentials((Bearer("\u00e9\u20ac.\ufffd."),)),
    Credentials((Password("_jwt", "not a token"),)),
    Credentials((Vouched("alice", "elsewhere"),)),
    Credentials((Bearer("", in_url=True),)),
    Credentials((Bearer("not a token", in_url=True),)),
    Credentials((Bearer(_JWT),)),
    Credentials((Bearer(_JWT, in_url=True),)),
)

_PASSWORDS = st.builds(Password, st.sampled_from(["", "_jwt", "alice"]) | st.text(), st.text())
_BEARERS = st.builds(Bearer, st.text(), st.booleans())
_OTHERS = st.builds(Unreadable, st.text()) | st.builds(Vouched, st.text(), st.text())


class AuthenticatorContract(_Mixin):
    """Tests of an ``IAuthenticator``."""

    def make_authenticator(self) -> Any:
        """Return the authenticator."""
        raise NotImplementedError

    def accepted(self) -> list[Credentials]:
        """Return credentials that it accepts for the repository ``org/repo``."""
        raise NotImplementedError

    def authenticate(self, credentials: Credentials, repo: Repo | None = None) -> Identity | None:
        """Ask the authenticator."""
        identity: Identity | None = self.run_now(
            self.authenticator.authenticate(credentials, repo or repo_of())
        )
        return identity

    def setUp(self) -> None:
        self.authenticator = self.make_authenticator()

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IAuthenticator, self.authenticator)

    def test_what_it_accepts_becomes_an_identity_with_grants(self) -> None:
        for credentials in self.accepted():
            identity = self.authenticate(credentials)
            self.assertIsInstance(identity, Identity)
            assert identity is not None
            self.assertTrue(identity.name)
            verifyObject(IGrants, identity.grants)
            for permission in Permission:
                for oid in (None, oid_of(b"x")):
                    self.assertIsInstance(identity.grants.allows(permission, oid), bool)

    def test_what_it_accepts_it_accepts_again(self) -> None:
        for credentials in self.accepted():
            first, second = self.authenticate(credentials), self.authenticate(credentials)
            assert first is not None and second is not None
            self.assertEqual(first.name, second.name)
            self.assertEqual(first.anonymous, second.anonymous)

    def test_no_secret_is_in_any_representation(self) -> None:
        for credentials in self.accepted():
            shown = f"{self.authenticator!r} {credentials!r} {self.authenticate(credentials)!r}"
            for item in credentials.items:
                for value in msgspec.structs.astuple(item):
                    if isinstance(value, str) and len(value) > 8:
                        self.assertNotIn(value, shown)

    # Every test case that takes this mixin runs it; no example is kept.
    @settings(suppress_health_check=[HealthCheck.differing_executors])
    @given(st.lists(_PASSWORDS | _BEARERS | _OTHERS, max_size=4))
    def test_whatever_is_sent_is_answered(self, items: list[Credential]) -> None:
        """With an identity, with None, or with an error for the client."""
        try:
            identity = self.authenticate(Credentials(tuple(items)))
        except LFSError as error:
            self.assertTrue(error.message)
        else:
            self.assertTrue(identity is None or isinstance(identity, Identity))


class ChainedContract(AuthenticatorContract):
    """Tests of an ``IAuthenticator`` that knows its own credentials from others."""

    def foreign(self) -> list[Credentials]:
        """Return credentials that are none of its own."""
        return list(FOREIGN)

    def test_foreign_credentials_are_passed_on(self) -> None:
        for credentials in self.foreign():
            self.assertIsNone(self.authenticate(credentials), credentials.items)

    def test_foreign_credentials_beside_its_own_do_no_harm(self) -> None:
        """CI runners add an Authorization header to the action's own."""
        for own in self.accepted():
            for other in self.foreign():
                for items in (own.items + other.items, other.items + own.items):
                    self.assertIsNotNone(self.authenticate(Credentials(items)), items)
