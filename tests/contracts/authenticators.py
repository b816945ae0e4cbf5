"""What every authenticator promises (``giftless.interfaces.IAuthenticator``)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import jwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from giftless.errors import LFSError
from giftless.interfaces import Credentials, IAuthenticator, Identity, IGrants
from giftless.lfs.objects import Permission, Repo
from tests.support.making import oid_of, repo_of
from tests.support.run import CoroutineTestCase

if TYPE_CHECKING:
    _Mixin = CoroutineTestCase
else:
    _Mixin = object


def basic(user: str, password: str) -> str:
    """Return the value of a Basic ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


#: Credentials that belong to nobody here: each is somebody else's business.
FOREIGN = (
    Credentials(),
    Credentials(("",)),
    Credentials(("nonsense",)),
    Credentials(("Bearer",)),
    Credentials(("Bearer ",)),
    Credentials(("Bearer opaque-token",)),
    Credentials(("Bearer a.b.c",)),
    Credentials(("Bearer ..",)),
    Credentials(("Bearer " + "x" * 100_000,)),
    Credentials(("Bearer " + "a." * 50_000,)),
    Credentials(("Bearer \u00e9\u20ac.\udcff.",)),
    Credentials(("Basic",)),
    Credentials(("Basic !!!",)),
    Credentials(("Basic " + base64.b64encode(b"\xff\xfe:\xfd").decode(),)),
    Credentials(("Basic " + base64.b64encode(b"no colon").decode(),)),
    Credentials((basic("_jwt", "not a token"),)),
    Credentials(("Negotiate YIIZ",)),
    Credentials((), ""),
    Credentials((), "not a token"),
    Credentials(
        ("Bearer " + jwt.encode({"sub": "x"}, "k" * 32, "HS256", {"kid": "somebody-elses"}),)
    ),
    Credentials((), jwt.encode({"sub": "x"}, "k" * 32, "HS256", {"kid": "somebody-elses"})),
)


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
            for value in (*credentials.authorization, credentials.token or ""):
                for word in value.split():
                    if len(word) > 8:
                        self.assertNotIn(word, shown)

    # Every test case that takes this mixin runs it; no example is kept.
    @settings(suppress_health_check=[HealthCheck.differing_executors])
    @given(
        st.lists(
            st.sampled_from(["Bearer ", "Basic ", "basic ", ""]).flatmap(
                lambda scheme: st.text(max_size=40).map(lambda text: scheme + text)
            ),
            max_size=3,
        ),
        st.none() | st.text(max_size=40),
    )
    def test_whatever_is_sent_is_answered(self, headers: list[str], token: str | None) -> None:
        """With an identity, with None, or with an error for the client."""
        try:
            identity = self.authenticate(Credentials(tuple(headers), token))
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
            self.assertIsNone(
                self.authenticate(credentials), (credentials.authorization, credentials.token)
            )

    def test_foreign_credentials_beside_its_own_do_no_harm(self) -> None:
        """CI runners add an Authorization header to the action's own."""
        for own in self.accepted():
            if len(own.authorization) != 1:
                continue
            for other in self.foreign():
                for headers in (
                    own.authorization + other.authorization,
                    other.authorization + own.authorization,
                ):
                    self.assertIsNotNone(self.authenticate(Credentials(headers)), headers)
