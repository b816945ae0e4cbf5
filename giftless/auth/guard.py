"""Stand before all authenticators: what holds for credentials of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError
from zope.interface import implementer

from giftless.auth.chain import not_accepted
from giftless.auth.prefixes import Prefixes
from giftless.auth.throttle import Guesses
from giftless.errors import (
    BadRequest,
    TooManyRequests,
    Unauthorized,
    UnfitCredential,
)
from giftless.interfaces import (
    Certificate,
    Credentials,
    IAuthenticator,
    Identity,
    Unreadable,
    Vouched,
)
from giftless.lfs.objects import Repo

#: How many credentials one request may carry.  CI runners add one ``Authorization``
#: header to requests that have one already.
MAX_CREDENTIALS: Final = 4


@implementer(IAuthenticator)
class Guard:
    """Shows the credentials of a request to an authenticator one by one.

    One good credential is enough, whatever the others are.  A bad one never makes a
    client anonymous: whoever shows a credential is somebody, or is refused.

    :param authenticator: judges each of them.
    :param guesses: counts them; ``None`` not to.
    :param names_people: whether the authenticator takes any credentials for a repository.  If
        not, they are passed over: to refuse one would make git ask for another.
    :param prefixes: below which paths other accounts are meant: what is good, or a guess,
        below one says nothing about the others.
    """

    def __init__(
        self,
        authenticator: IAuthenticator,
        guesses: Guesses | None,
        names_people: Callable[[Repo], bool] = lambda _: True,
        prefixes: Prefixes | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._guesses = guesses
        self._names_people = names_people
        self._prefixes = prefixes or Prefixes({})

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        :raises BadRequest: if there are too many credentials; none is looked at.
        :raises Unauthorized: if one credential is refused or cannot be read, and
            none is good.
        :raises TooManyRequests: if one cannot be checked now, none is refused
            and none is good.
        """
        if not credentials.given or not self._names_people(repo):
            unnamed = Credentials((), credentials.address)
            return await self._authenticator.authenticate(unnamed, repo)
        if len(credentials.items) > MAX_CREDENTIALS:
            if self._guesses is not None:
                self._guesses.refuse(credentials, self._prefixes.of(repo.segments))
            raise BadRequest(f"a request may carry at most {MAX_CREDENTIALS} credentials")
        refusal: Unauthorized | None = None
        trouble: TooManyRequests | None = None
        for single in credentials.each():
            try:
                identity = await self._identify(single, repo)
                if identity is not None:
                    return identity
            except Unauthorized as error:
                refusal = refusal or error
            except TooManyRequests as error:
                trouble = trouble or error
        raise refusal or trouble or not_accepted()

    async def _identify(self, single: Credentials, repo: Repo) -> Identity | None:
        """Return whose a credential is, and count it as a guess unless it is none.

        :returns: ``None`` if nobody takes it.
        """
        if isinstance(single.items[0], Unreadable):
            # Nobody compares it with anything: it is no guess.
            raise Unauthorized(
                "the Authorization header is neither Basic with user and password nor Bearer"
                " with a token; correct it, or leave it out"
            )
        guesses = self._guesses
        if guesses is None or isinstance(single.items[0], Vouched | Certificate):
            # Who is vouched for, or has the key of a certificate, has proved who they are:
            # a refusal tells them nothing.
            return await self._named(single, repo)
        attempt = await guesses.begin(single, self._prefixes.of(repo.segments))
        try:
            identity = await self._named(single, repo)
        except UnfitCredential:
            guesses.no_guess(attempt)
            raise
        except Unauthorized:
            guesses.bad(attempt, single)
            raise
        except CancelledError:
            guesses.left(attempt)
            raise
        except Exception:
            guesses.no_guess(attempt)
            raise
        if identity is None:
            guesses.bad(attempt, single)
        else:
            guesses.good(attempt)
        return identity

    async def _named(self, single: Credentials, repo: Repo) -> Identity | None:
        identity = await self._authenticator.authenticate(single, repo)
        return None if identity is None or identity.anonymous else identity
