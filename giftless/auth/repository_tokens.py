"""Repository tokens: what ``git-lfs-authenticate`` gives to clients that go on over HTTP.

A token is a JWT (RFC 7519, HS256) signed with a key that is derived from the daemon's
secret.  It is bound to one user, one repository and one operation, and opens the API of
that repository only: batches and locks.  What the user may do is not in it: the
authenticators are asked each time it is shown, so whoever loses access loses it at once.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import msgspec
from zope.interface import implementer

from giftless.auth.chain import first_good
from giftless.auth.grants import ADMIN, READ
from giftless.auth.tokens.parts import decode_part, encode_part
from giftless.errors import Unauthorized, UnfitCredential
from giftless.interfaces import (
    Bearer,
    Credential,
    Credentials,
    IAuthenticator,
    Identity,
    IGrants,
    INarrowedGrants,
    Password,
    Vouched,
    WallClock,
)
from giftless.lfs.objects import Oid, Operation, Permission, Repo

#: For how many seconds an expired token is still taken: clocks may disagree.
_LEEWAY: Final = 10

#: What a user may do at most by a token for an operation.  ``git lfs unlock --force``
#: uses one for uploads.
_PERMITTED: Final[Mapping[str, frozenset[Permission]]] = {
    Operation.DOWNLOAD.value: READ,
    Operation.UPLOAD.value: ADMIN,
}


class _Claims(msgspec.Struct, frozen=True):
    """What a token says.

    :ivar exp: when it expires, in seconds since the epoch.
    :ivar op: the operation.
    :ivar repo: the path of the repository, as its URL names it.
    :ivar sub: the user.
    :ivar realm: the text of the realm that the user is in.
    """

    exp: int
    op: str
    repo: str
    sub: str
    realm: str


#: What every token begins with; nothing else does.
_BEGINNING: Final = (
    encode_part(msgspec.json.encode({"alg": "HS256", "kid": "giftless-repository", "typ": "JWT"}))
    + b"."
)
_BEGINNING_TEXT: Final = _BEGINNING.decode()


class RepositoryTokens:
    """Makes repository tokens, and reads those that it has made.

    :param secret: the daemon's secret; the signing key is derived from it.
    :param lifetime: for how many seconds a token is good; at least 1.
    :param wall_clock: tells when tokens expire.
    """

    def __init__(self, secret: bytes, lifetime: int, wall_clock: WallClock) -> None:
        self.lifetime = lifetime
        self._key = hmac.digest(secret, b"giftless repository tokens", "sha256")
        self._wall_clock = wall_clock

    def make(self, user: Vouched, repo: Repo, operation: Operation) -> str:
        """Make a token, without asking what the user may do.

        :param repo: the repository, as the token's URL names it.
        """
        expiry = int(self._wall_clock()) + self.lifetime
        claims = _Claims(expiry, operation.value, repo.path, user.user, user.realm)
        text = _BEGINNING + encode_part(msgspec.json.encode(claims))
        return (text + b"." + self._signature(text)).decode()

    def read(self, token: str, repo: Repo) -> tuple[Vouched, Operation]:
        """Return whose a token is, and for which operation.

        :param repo: the repository that the request's URL names.
        :raises Unauthorized: if it is not genuine.
        :raises UnfitCredential: if it has expired, or is for another repository.
        """
        text, _, signature = token.encode("utf-8", "surrogatepass").rpartition(b".")
        if not hmac.compare_digest(signature, self._signature(text)):
            raise Unauthorized("the token of git-lfs-authenticate is not genuine")
        encoded = text.removeprefix(_BEGINNING).decode()
        claims = msgspec.json.decode(decode_part(encoded), type=_Claims)
        if claims.exp + _LEEWAY < self._wall_clock():
            raise UnfitCredential("the token of git-lfs-authenticate has expired; try again")
        if claims.repo != repo.path:
            raise UnfitCredential("the token of git-lfs-authenticate is for another repository")
        return Vouched(claims.sub, claims.realm), Operation(claims.op)

    def _signature(self, text: bytes) -> bytes:
        return encode_part(hmac.digest(self._key, text, "sha256"))


@implementer(IAuthenticator)
class RepositoryTokenAuthenticator:
    """Recognises users by repository tokens.

    :param tokens: reads them.
    :param authenticator: says what a user may do whom the server itself vouches for.
    """

    def __init__(self, tokens: RepositoryTokens, authenticator: IAuthenticator) -> None:
        self._tokens = tokens
        self._authenticator = authenticator

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        return await first_good(
            _own(credentials), lambda shown: self._identify(shown, repo, credentials.address)
        )

    async def _identify(self, shown: Credential, repo: Repo, address: str) -> Identity:
        if not isinstance(shown, Bearer) or shown.in_url:
            raise UnfitCredential(
                "send the token of git-lfs-authenticate in the header Authorization, as Bearer"
            )
        user, operation = self._tokens.read(shown.token, repo)
        gone = f"{user.user} is not accepted here any more"
        try:
            identity = await self._authenticator.authenticate(Credentials((user,), address), repo)
        except Unauthorized:
            raise UnfitCredential(gone) from None
        if identity is None or identity.anonymous:
            raise UnfitCredential(gone)
        return replace(identity, grants=_NarrowedGrants(identity.grants, operation))


@implementer(IAuthenticator)
class RepositoryTokensRefused:
    """Refuses repository tokens where they open nothing, so that nobody else is shown one."""

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        for _ in _own(credentials):
            raise UnfitCredential(
                "the token of git-lfs-authenticate is for batches and locks, and nothing else"
            )
        return None


def _own(credentials: Credentials) -> Iterator[Credential]:
    """Yield the credentials that hold a repository token, or what looks like one."""
    for item in credentials.items:
        if isinstance(item, Bearer):
            texts: tuple[str, ...] = (item.token,)
        elif isinstance(item, Password):
            texts = (item.password, item.user)
        else:
            continue
        if any(text.startswith(_BEGINNING_TEXT) for text in texts):
            yield item


@implementer(INarrowedGrants)
class _NarrowedGrants:
    """Some of what other grants permit.

    :param grants: the others.
    :param operation: what the token is for: it bounds what is permitted.
    """

    def __init__(self, grants: IGrants, operation: Operation) -> None:
        self._grants = grants
        self._operation = operation
        self._permitted = _PERMITTED[operation.value]

    def allows(self, permission: Permission, oid: Oid | None) -> bool:
        """See :meth:`giftless.interfaces.IGrants.allows`."""
        return permission in self._permitted and self._grants.allows(permission, oid)

    def lacking(self, permission: Permission, oid: Oid | None) -> str:
        """See :meth:`giftless.interfaces.INarrowedGrants.lacking`."""
        if permission in self._permitted or not self._grants.allows(permission, oid):
            return ""
        return (
            f"the token of git-lfs-authenticate is for {self._operation.value} and does not give"
            f" {permission.value} access; ask for one for another operation"
        )
