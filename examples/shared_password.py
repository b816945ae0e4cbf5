"""An authenticator in one file: one account, whose password a team shares.

Put this file into a ``twisted/plugins/`` folder, or into a directory that
``plugin_path`` names, and configure::

    auth:
      - {type: shared-password, user: team}
      - {type: anonymous, access: read}

with the password in the environment, as ``GIFTLESS_AUTH__0__PASSWORD``.  git
asks for user and password when it first needs them, and its credential helper
keeps them.
"""

from __future__ import annotations

import hmac
from typing import Literal

import msgspec
from zope.interface import implementer

from giftless.auth.grants import READ, READ_WRITE, RepoGrants
from giftless.errors import ConfigError, Unauthorized
from giftless.interfaces import (
    Credentials,
    Environment,
    IAuthenticator,
    IAuthenticatorFactory,
    Identity,
)
from giftless.lfs.objects import Repo

#: The shortest password that is taken, in characters.
MIN_LENGTH = 12


class SharedPasswordOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that may stand beside ``type: shared-password``.

    :ivar user: the account's name.
    :ivar password: its password.
    :ivar access: what it may do: ``read`` objects, or ``read-write``.
    """

    user: str
    password: str
    access: Literal["read", "read-write"] = "read-write"

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"<SharedPasswordOptions of {self.user}>"


@implementer(IAuthenticator)
class SharedPassword:
    """Knows one user.

    :param identity: who that is, and what they may do.
    :param password: their password.
    """

    def __init__(self, identity: Identity, password: str) -> None:
        self._identity = identity
        self._password = password.encode()

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See ``IAuthenticator.authenticate``.

        :raises Unauthorized: if the user is ours and the password is wrong.
        """
        # A request may have several: CI runners add a credential of their own.
        ours = [shown for shown in credentials.passwords if shown.user == self._identity.name]
        if not ours:
            # The next authenticator in the chain is asked.
            return None
        for shown in ours:
            # Takes equally long wherever the first difference is.
            if hmac.compare_digest(shown.password.encode(), self._password):
                return self._identity
        raise Unauthorized("the password is wrong")


@implementer(IAuthenticatorFactory)
class SharedPasswordFactory:
    """What giftless finds in this file: builds the authenticator from its options."""

    name = "shared-password"
    Options = SharedPasswordOptions

    def build(self, options: SharedPasswordOptions, environment: Environment) -> SharedPassword:
        """See ``IAuthenticatorFactory.build``."""
        if not options.user or ":" in options.user:
            raise ConfigError("user", f"found {options.user!r}, allowed is a name without ':'")
        if len(options.password) < MIN_LENGTH:
            # An error is shown and logged: it must not have the password.
            raise ConfigError("password", f"is too short; give {MIN_LENGTH} characters or more")
        grants = RepoGrants(READ_WRITE if options.access == "read-write" else READ)
        return SharedPassword(
            # Who has the password is one principal, other than anybody of the same name
            # whom another authenticator knows.
            Identity(options.user, grants, f"shared-password#{options.user}"),
            options.password,
        )


shared_password = SharedPasswordFactory()
