"""A plugin file for these tests: an authenticator with a user for each outcome."""

from typing import Any

import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer

from giftless.auth.grants import READ, READ_WRITE, RepoGrants
from giftless.errors import ServiceUnavailable, Unauthorized
from giftless.interfaces import (
    Credentials,
    Environment,
    IAuthenticator,
    IAuthenticatorFactory,
    Identity,
    ILogIn,
    Password,
)
from giftless.lfs.objects import Permission, Repo

#: What each user may do.
USERS: dict[str, frozenset[Permission]] = {
    "owner": READ_WRITE | {Permission.ADMIN},
    "writer": READ_WRITE,
    "editor": READ_WRITE,
    "reader": READ,
    "stranger": frozenset(),
}


class StaffOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """There are none."""


@implementer(IAuthenticator, ILogIn)
class Staff:
    """Knows the users above, one that makes it fail and one for whom it is away."""

    issuer = "https://sso.example"
    scopes = ("openid",)

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        shown: Any
        for shown in (*credentials.passwords, *credentials.bearers):
            return self._find(shown.user if isinstance(shown, Password) else shown.token)
        return None

    def _find(self, name: str) -> Identity:
        if name == "outage":
            raise ServiceUnavailable("the staff office is closed; come back later", 7)
        if name == "fault":
            raise RuntimeError("the staff office burns")
        if name not in USERS:
            raise Unauthorized("nobody of this name works here")
        return Identity(name, RepoGrants(USERS[name]))


@implementer(IPlugin, IAuthenticatorFactory)
class StaffFactory:
    """Builds :class:`Staff`."""

    name = "staff"
    Options = StaffOptions

    def build(self, options: StaffOptions, environment: Environment) -> Staff:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`."""
        return Staff()


staff = StaffFactory()
