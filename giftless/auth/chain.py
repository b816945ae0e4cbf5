"""Ask several authenticators, or one of them about several credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from zope.interface import implementer

from giftless.errors import CredentialNeeded, Unauthorized
from giftless.interfaces import Credentials, IAnonymous, IAuthenticator, IConfined, Identity
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


def not_accepted() -> Unauthorized:
    """Return the error for a credential that nobody takes, or whose account has another.

    In the same words, because names are not for guessing.
    """
    return Unauthorized("the credential is not accepted here; check it and try again")


def turn(authenticator: IAuthenticator) -> int:
    """Return what decides when an authenticator is asked: the smallest first.

    Those that are confined to a path come first, the longest before all, because the others
    must not see what is meant for them.  Anonymous access comes last: who shows a credential
    must meet all who may take it first.
    """
    if IConfined.providedBy(authenticator):
        return -len(authenticator.path.segments)
    return int(IAnonymous.providedBy(authenticator))


def in_order(authenticators: Iterable[IAuthenticator]) -> Sequence[IAuthenticator]:
    """Return authenticators as they are asked: by :func:`turn`, then as they are given."""
    return sorted(authenticators, key=turn)


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
            raise not_accepted()
        raise CredentialNeeded("a credential is needed to use this repository")
