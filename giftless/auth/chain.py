"""Authenticators in a row: the first that knows a credential decides."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from giftless.errors import Unauthorized
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
        raise Unauthorized("a credential is needed to use this repository")
