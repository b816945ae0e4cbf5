"""``auth: {type: anonymous}``: let every client read, or also write."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from zope.interface import implementer

from giftless.auth.grants import READ, READ_WRITE, RepoGrants
from giftless.auth.realms import Realm
from giftless.interfaces import Credentials, Environment, IAnonymous, IAuthenticator, Identity
from giftless.lfs.objects import Repo

#: What all anonymous clients are: one, whom nobody else can be.
ANYBODY: Final = Realm("anonymous")


class AnonymousOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``auth: [{type: anonymous}]``.

    :ivar access: what every client may do: ``read`` objects, or ``read-write``.
    """

    access: Literal["read", "read-write"] = "read"


@implementer(IAuthenticator, IAnonymous)
class AnonymousAuthenticator:
    """Gives every client the same anonymous identity.

    :param access: ``read`` or ``read-write``.
    """

    def __init__(self, access: str) -> None:
        permissions = READ_WRITE if access == "read-write" else READ
        self._identity = Identity(
            "anonymous", RepoGrants(permissions), ANYBODY.principal(), anonymous=True
        )

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        return self._identity


class AnonymousFactory:
    """Builds :class:`AnonymousAuthenticator` from :class:`AnonymousOptions`."""

    Options = AnonymousOptions

    def build(self, options: AnonymousOptions, environment: Environment) -> AnonymousAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`."""
        return AnonymousAuthenticator(options.access)
