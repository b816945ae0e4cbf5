"""Combine authenticators, and try several credentials of one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from zope.interface import implementer

from giftless.errors import CredentialNeeded, TooManyRequests, Unauthorized
from giftless.interfaces import Credentials, IAuthenticator, Identity, Unreadable
from giftless.lfs.objects import Repo

C = TypeVar("C")


async def first_good(
    shown: Iterable[C], identify: Callable[[C], Awaitable[Identity | None]]
) -> Identity | None:
    """Return the identity behind the first of several credentials that is good.

    :param shown: the credentials.
    :param identify: identifies one; see :meth:`IAuthenticator.authenticate`.
    :returns: the identity; ``None`` if no credential is this authenticator's.
    :raises Unauthorized: the first refusal, if none is good.
    """
    refusal: Unauthorized | None = None
    for credential in shown:
        try:
            identity = await identify(credential)
        except Unauthorized as error:
            refusal = refusal or error
        else:
            if identity is not None:
                return identity
    if refusal is not None:
        raise refusal
    return None


@implementer(IAuthenticator)
class AuthChain:
    """Asks authenticators in order.

    :param authenticators: :class:`~giftless.interfaces.IAuthenticator`
        providers; the first one to return an identity, or to refuse a
        credential as its own but bad, decides.
    """

    def __init__(self, authenticators: Sequence[IAuthenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity:
        """Return the identity behind ``credentials``.

        :raises Unauthorized: if no authenticator accepts them.
        """
        for authenticator in self._authenticators:
            identity = await authenticator.authenticate(credentials, repo)
            if identity is not None:
                return identity
        if credentials.given:
            raise Unauthorized("the credential is not accepted here; check it and try again")
        raise CredentialNeeded("a credential is needed to use this repository")


@implementer(IAuthenticator)
class EachCredential:
    """Shows the credentials of a request to an authenticator one by one.

    CI runners add an ``Authorization`` header to requests that have one
    already: one good credential is enough, whatever the others are.

    :param authenticator: judges each of them.
    """

    def __init__(self, authenticator: IAuthenticator) -> None:
        self._authenticator = authenticator

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """Return the first identity that is not anonymous, else the anonymous one.

        :raises Unauthorized: if one credential is refused or cannot be read, and
            none is good: a bad credential never makes a client anonymous.
        :raises TooManyRequests: if one cannot be checked now, none is refused
            and none is good.  A refusal comes first: it counts as a guess.
        """
        refusal: Unauthorized | None = None
        trouble: TooManyRequests | None = None
        anonymous: Identity | None = None
        for single in credentials.each():
            if single.items and isinstance(single.items[0], Unreadable):
                refusal = refusal or _unreadable()
                continue
            try:
                identity = await self._authenticator.authenticate(single, repo)
            except Unauthorized as error:
                refusal = refusal or error
            except TooManyRequests as error:
                trouble = trouble or error
            else:
                if identity is not None and not identity.anonymous:
                    return identity
                anonymous = anonymous or identity
        if refusal is not None:
            raise refusal
        if trouble is not None:
            raise trouble
        return anonymous


def _unreadable() -> Unauthorized:
    return Unauthorized(
        "the Authorization header is neither Basic with user and password nor Bearer with a"
        " token; correct it, or leave it out"
    )
