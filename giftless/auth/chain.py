"""Authenticators in a row: the first that knows a credential decides."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from giftless.errors import CredentialNeeded, TooManyRequests, Unauthorized
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo


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

        :raises Unauthorized: if no authenticator knows them.
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
    """Tries the credentials of a request one by one.

    CI runners add an ``Authorization`` header to requests that have one
    already: one good credential is enough, whatever the others are.

    :param authenticator: knows what a single credential is worth.
    """

    def __init__(self, authenticator: IAuthenticator) -> None:
        self._authenticator = authenticator

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """Return the first identity that is somebody's.

        :raises Unauthorized: if one credential is refused and none is good;
            nobody is let in as anonymous with a bad credential.
        :raises TooManyRequests: if one cannot be told now, none is refused
            and none is good.  A refusal comes first: it counts as a guess.
        """
        refusal: Unauthorized | None = None
        trouble: TooManyRequests | None = None
        anonymous: Identity | None = None
        for single in credentials.each():
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
