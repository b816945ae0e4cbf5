"""Authentication by the tokens of an issuer, and grants by groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from zope.interface import implementer

from giftless.auth.chain import first_good
from giftless.auth.grant_lists import GrantLists
from giftless.auth.grants import RepoGrants
from giftless.auth.oidc.people import People
from giftless.auth.realms import Realm
from giftless.auth.tokens.unverified import MAX_TOKEN_CHARS
from giftless.interfaces import (
    Bearer,
    Credentials,
    IAuthenticator,
    ICheckable,
    Identity,
    ILogIn,
    IVouching,
    Password,
)
from giftless.lfs.objects import Repo

#: What a token consists of (RFC 6750 section 2.1): nothing that means something else in a
#: header, or that base64 passes over.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


@implementer(IAuthenticator, IVouching, ILogIn, ICheckable)
class OIDCAuthenticator:
    """Lets in who has logged in at an issuer.

    :param people: knows whose tokens are.
    :param grants: what the members of each group may do.
    :param issuer: the issuer's URL.
    :param scopes: what clients ask the issuer for.
    """

    def __init__(
        self, people: People, grants: GrantLists, issuer: str, scopes: Sequence[str]
    ) -> None:
        self.realm = Realm("oidc", issuer)
        self.issuer = issuer
        self.scopes = tuple(scopes)
        self._people = people
        self._grants = grants

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        With several tokens, one that is good is enough.
        """
        return await first_good(_tokens(credentials), lambda token: self._identify(token, repo))

    async def _identify(self, token: str, repo: Repo) -> Identity | None:
        person = await self._people.find(token)
        if person is None:
            return None
        grants = RepoGrants(self._grants.permissions(person.groups, repo))
        return Identity(person.name, grants, self.realm.principal(f"sub:{person.subject}"))

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`."""
        await self._people.check()


def _tokens(credentials: Credentials) -> Iterator[str]:
    """Find what may be a token.

    git's helpers hand it over as a password, beside whatever user the remote's URL names.  One
    in a URL is for this server alone, and none of an issuer's.
    """
    for item in credentials.items:
        token = ""
        if isinstance(item, Password):
            token = item.password
        elif isinstance(item, Bearer) and not item.in_url:
            token = item.token
        if len(token) <= MAX_TOKEN_CHARS and _TOKEN.fullmatch(token):
            yield token
