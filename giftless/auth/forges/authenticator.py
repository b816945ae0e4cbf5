"""Authentication by a forge: lets in who may see the repository of the same name there.

The password that git sends is a token of the forge.  What the token's owner
may do with the repository of the same name there decides what they may do
here.  If the forge cannot answer, the request is refused: with 503, or with 429 if
the forge wants to be asked less often.

Tokens are not stored.  Answers are cached under a hash of the token, made with a
key that only this process has.
"""

from __future__ import annotations

import hmac
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from zope.interface import implementer

from giftless.auth.cache import TTLCache
from giftless.auth.forges.forge import Forge, ForgeOptions
from giftless.auth.forges.inquiry import Inquiry
from giftless.auth.forges.questions import TOKEN, limited
from giftless.auth.forges.repositories import Found, folded
from giftless.auth.forges.server_token import watch_token
from giftless.auth.forges.vouching import VouchedUsers
from giftless.auth.grants import RepoGrants
from giftless.auth.realms import Realm, shown_name, token_part
from giftless.auth.tokens.unverified import TOKEN_USER, TokenHeader
from giftless.base.shared_answers import Shared
from giftless.base.showing import describe
from giftless.errors import (
    BadRequest,
    ConfigError,
    Forbidden,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from giftless.interfaces import (
    Bearer,
    Credentials,
    Environment,
    Identity,
    IHosting,
    IVouching,
    Lookup,
    Password,
)
from giftless.lfs.objects import Permission, Repo

#: How often a forge is asked about a token that it refuses, within how many seconds.  More
#: than once, because a new token may not be known to all machines of a forge yet.
_REFUSALS: Final = 3
_REFUSED_TTL: Final = 30.0

#: How the tokens of each forge are known to begin: another forge's is not
#: shown to this one.
_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "GitHub": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    "GitLab": ("glpat-", "gloas-", "gldt-", "glcbt-", "glrt-", "glptt-", "glft-"),
}


class _Owner(NamedTuple):
    """Whose a token is: what they are called, and what stands for them in principals."""

    name: str
    part: str


@implementer(IHosting, IVouching)
class ForgeAuthenticator:
    """Lets in who may see the repository of the same name on a forge.

    :param forge: the forge.
    :param options: which repositories, how long, how many.
    :param environment: its client asks the forge, and must keep no cookies; its reactor
        tells when answers expire, and when to give up waiting for one; its wall clock is
        compared with the forge's dates.
    :raises ConfigError: if ``orgs`` is empty or names something impossible.
    """

    def __init__(self, forge: Forge, options: ForgeOptions, environment: Environment) -> None:
        self._count: Callable[[Lookup], None] = partial(environment.count_lookup, forge.kind)
        self.realm = Realm(forge.kind, options.realm or forge.place)
        self.git_url = forge.git_url
        self._forge = forge
        self._options = options
        self._orgs = _parse_orgs(options.orgs)
        if options.by_id:
            try:
                self._numbered(0)
            except BadRequest as error:
                raise ConfigError("realm", f"cannot be part of a path: {error.message}") from None
        self._http = environment.http
        self._clock = clock = environment.reactor
        self._wall_clock = environment.wall_clock
        self._key = secrets.token_bytes(32)
        size = options.cache_size
        self._identities: TTLCache[tuple[bytes, Repo], Identity] = TTLCache(size, clock)
        self._owners: TTLCache[bytes, _Owner] = TTLCache(size, clock)
        self._limited: TTLCache[bytes, float] = TTLCache(size, clock)
        self._refused: TTLCache[bytes, tuple[int, Unauthorized]] = TTLCache(size, clock)
        self._shared: Shared[tuple[bytes, Repo], Identity] = Shared()
        self._vouched: VouchedUsers | None = None
        if options.token_file:
            token = watch_token(options.token_file, environment)
            inquire = partial(self._inquiry, "")
            self._vouched = VouchedUsers(
                forge, options, token, inquire, self._identity, clock, self._count
            )

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        :raises ForgeLimit: if the forge wants to be asked less often.
        """
        if not self._serves(repo):
            return None
        for vouched in credentials.vouched:
            if self._vouched is not None and vouched.realm == str(self.realm):
                return await self._vouched.identify(vouched.user, repo)
        known: Identity | None = None
        refusal: Unauthorized | None = None
        for user, token in _tokens(credentials):
            if self._is_foreign(token):
                continue
            try:
                identity = await self._identify(user, token, repo)
            except Unauthorized as error:
                refusal = error
                continue
            if identity.grants.allows(Permission.READ, None):
                return identity
            known = known or identity
        if known is None and refusal is not None:
            raise refusal
        return known

    def _serves(self, repo: Repo) -> bool:
        """Whether the repository is one that may be asked about.

        Forges do not distinguish upper and lower case in names.
        """
        parents = folded(repo).segments[:-1]
        return self._forge.has(repo) and any(parents[: len(org)] == org for org in self._orgs)

    def _is_foreign(self, token: str) -> bool:
        return any(
            token.startswith(prefixes)
            for name, prefixes in _PREFIXES.items()
            if name != self._forge.name
        )

    async def _identify(self, user: str, token: str, repo: Repo) -> Identity:
        digest = hmac.digest(self._key, f"{user}\0{token}".encode(), "sha256")
        # One entry for all spellings: they are one repository to the forge.
        key = digest, folded(repo)
        identity = self._identities.get(key)
        if identity is not None:
            self._count("hit")
            return identity
        times, refusal = self._refused.get(digest) or (0, None)
        if refusal is not None and times >= _REFUSALS:
            self._count("hit")
            raise type(refusal)(refusal.message)
        until = self._limited.get(digest)
        if until is not None:
            self._count("hit")
            raise limited(self._forge.name, math.ceil(until - self._clock.seconds()))
        self._count("shared" if key in self._shared else "miss")
        inquiry = self._inquiry(user, token, repo)
        return await self._shared.ask(key, self._inquire(key, inquiry))

    def _inquiry(self, user: str, token: str, repo: Repo) -> Inquiry:
        return Inquiry(
            self._forge.name,
            user,
            token,
            repo,
            self._http,
            self._options.timeout,
            self._clock,
            self._wall_clock,
        )

    async def _inquire(self, key: tuple[bytes, Repo], inquiry: Inquiry) -> Identity:
        digest, _ = key
        try:
            found = await self._forge.look_up(inquiry)
            owner = self._owners.get(digest) or await self._find_owner(inquiry)
        except Unauthorized as error:
            # A wrong token that is sent again and again is one guess, and no new question.
            times, _ = self._refused.get(digest) or (0, None)
            self._refused.put(digest, (times + 1, type(error)(error.message)), _REFUSED_TTL)
            raise
        except ServiceUnavailable:
            raise
        except TooManyRequests as error:
            # To go on asking could get the forge to shut us out.
            until = self._clock.seconds() + error.retry_after
            self._limited.put(digest, until, error.retry_after)
            raise
        identity = self._identity(inquiry.repo, found, owner.name, owner.part)
        self._owners.put(digest, owner, self._options.write_ttl)
        self._identities.put(key, identity, self._options.ttl(found.permissions))
        return identity

    def _identity(self, asked: Repo, found: Found, name: str, part: str) -> Identity:
        """Make the identity of somebody.

        :param asked: the repository that was asked for.
        :param name: what they are called.
        :param part: what stands for them in principals.
        :raises Forbidden: if the forge has moved the repository out of reach.
        """
        grants, kept = RepoGrants(found.permissions), self._kept_as(asked, found)
        return Identity(shown_name(name), grants, self.realm.principal(part), repo=kept)

    def _kept_as(self, asked: Repo, found: Found) -> Repo | None:
        """Return the name under which a repository's objects and locks are kept.

        :returns: ``None`` for that which was asked for: nothing may be done there, or
            the forge does not tell another one.
        """
        if not found.permissions:
            return None
        if found.repo is not None and not self._serves(found.repo):
            raise Forbidden(
                f"{self._forge.name} has moved {asked} to {found.repo}, which is not served here"
            )
        if not self._options.by_id:
            return found.repo
        if found.id is None:
            raise Forbidden(
                f"{self._forge.name} does not tell this token the number of {asked}, by which its"
                " objects are kept here; use a token that may read the API"
            )
        return self._numbered(found.id)

    async def clone_url(self, repo: Repo, token: str) -> str | None:
        """See :meth:`giftless.interfaces.IHosting.clone_url`."""
        name: Repo | None = repo
        if self._options.by_id:
            last = repo.segments[-1]
            if not (last.isascii() and last.isdecimal() and self._numbered(int(last)) == repo):
                return None
            name = await self._forge.name_of(self._inquiry("", token, repo), int(last))
        return self._forge.clone_url(name) if name is not None and self._serves(name) else None

    def _numbered(self, number: int) -> Repo:
        """Return the name of a repository with a number.

        :raises BadRequest: if the realm cannot be part of one.
        """
        return Repo.parse([*str(self.realm).split("/"), str(number)])

    async def _find_owner(self, inquiry: Inquiry) -> _Owner:
        account = await self._forge.account(inquiry)
        if account is None:
            return _Owner(self._forge.unnamed, token_part(inquiry.token))
        return _Owner(account.name, account.part)


def _parse_orgs(orgs: Sequence[str]) -> list[tuple[str, ...]]:
    if not orgs:
        raise ConfigError(
            "orgs", "found an empty list, allowed is one organisation or more, or '*' for all"
        )
    parsed = []
    for index, org in enumerate(orgs):
        segments = () if org == "*" else tuple(org.encode().lower().decode().split("/"))
        if "" in segments or any("*" in segment for segment in segments):
            raise ConfigError(
                f"orgs.{index}",
                f"found {describe(org)}, allowed is a name, 'group/subgroup', or '*'",
            )
        parsed.append(segments)
    return parsed


def _tokens(credentials: Credentials) -> Iterator[tuple[str, str]]:
    """Find what may be a forge's token, and the user that came with it.

    A bearer token that is a JWT is never a forge's; a JWT as password may be, because
    some forges give out such tokens.
    """
    for item in credentials.items:
        found = ("", "")
        if isinstance(item, Password) and item.user != TOKEN_USER:
            # Tokens may stand in a remote's URL, where the user is.
            in_user = item.password in ("", "x-oauth-basic")
            found = ("", item.user) if in_user else (item.user, item.password)
        elif isinstance(item, Bearer) and not item.in_url and TokenHeader.of(item.token) is None:
            found = ("", item.token)
        if TOKEN.fullmatch(found[1]):
            yield found
