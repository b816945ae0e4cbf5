"""Who sends a request, and what they may do."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

import msgspec
from zope.interface import Interface

from giftless.interfaces.multipart import PartUpload
from giftless.lfs.objects import Extras, Oid, Permission, Repo


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says about who sends it.

    :ivar authorization: the values of all ``Authorization`` headers; CI
        runners add their own to an action's, so there may be two.
    :ivar token: the ``jwt`` query parameter, if given.
    :ivar address: the client's IP address; empty for a unix socket.
    """

    authorization: tuple[str, ...] = ()
    token: str | None = None
    address: str = ""

    @property
    def given(self) -> bool:
        """Whether the request carries any credential at all."""
        return bool(self.authorization) or self.token is not None

    def each(self) -> tuple[Credentials, ...]:
        """Return the credentials one by one: each alone, or none at all."""
        single = [Credentials((value,), address=self.address) for value in self.authorization]
        if self.token is not None:
            single.append(Credentials(token=self.token, address=self.address))
        return tuple(single) or (self,)

    def __repr__(self) -> str:
        return f"<Credentials: {len(self.authorization)} header(s)>"


class IGrants(Interface):
    """What one identity may do in the repository it was authenticated for."""

    def allows(permission: Permission, oid: Oid | None) -> bool:
        """Decide, without waiting for anything.

        :param permission: what is about to be done.
        :param oid: the object concerned; ``None`` for the whole repository.
        """


class Ticket(msgspec.Struct, frozen=True):
    """What an action token says.

    :ivar kind: the name of its :class:`~giftless.interfaces.ActionKind`.
    :ivar size: the object's size in bytes, as announced in the batch.
    :ivar extras: the ``x-*`` members that were given in the batch.
    :ivar upload: the upload in parts that it belongs to, if to any.
    """

    kind: str
    size: int
    extras: Extras = {}
    upload: PartUpload | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, and what they may do in its repository.

    :ivar name: the name for the access log and for locks.
    :ivar grants: an :class:`IGrants` provider.
    :ivar anonymous: whether nobody in particular asks; a refusal is then an
        invitation to show a credential.
    :ivar ticket: what the action token says that authenticates the request, if
        one does.
    """

    name: str
    grants: IGrants
    anonymous: bool = False
    ticket: Ticket | None = None


class IAuthenticator(Interface):
    """Turns a request's credentials into an identity."""

    def authenticate(credentials: Credentials, repo: Repo) -> Awaitable[Identity | None]:
        """Look at the credentials of a request to ``repo``.

        :returns: an awaitable of the identity; ``None`` if no credential is
            one of this authenticator's, so the next in the chain is asked.
        :raises giftless.errors.Unauthorized: if one is, and is bad.
        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """


class IAnonymous(Interface):
    """An authenticator that identifies nobody: it gives every client the same anonymous identity.

    If all authenticators of a server are such, a client that may not lock files is
    answered with 403 instead of 401: no credential would help.
    """
