"""``auth: {type: jwt}``: accept JSON Web Tokens (RFC 7519), which say what they permit.

Any service that shares a secret with the daemon, or whose public key the
daemon knows, can give out tokens.  What a token permits stands in its
``scopes`` claim, in the grammar of :mod:`giftless.lfs.scopes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Final, Protocol

import msgspec
from zope.interface import implementer

from giftless.auth.chain import first_good
from giftless.auth.realms import Realm, shown_name, token_part
from giftless.auth.tokens.jwks import KeySet
from giftless.auth.tokens.signatures import (
    Algorithm,
    Key,
    is_symmetric,
    load_public_key,
    load_secret,
)
from giftless.auth.tokens.unverified import TOKEN_USER, TokenHeader, tokens_of
from giftless.auth.tokens.verifying import Dates, check_dates, verified_claims
from giftless.base.files import read_file
from giftless.base.urls import check_url
from giftless.errors import ConfigError, UnfitCredential
from giftless.interfaces import (
    Credentials,
    Environment,
    IAuthenticator,
    Identity,
    IGrants,
    IVouching,
    WallClock,
)
from giftless.lfs.objects import Oid, Permission, Repo
from giftless.lfs.scopes import parse_scopes, permissions_in

#: The claims that can tell whose a token is; the first one that is there does.
_WHOSE: Final = ("sub", "email", "name")

_NOTHING: Final[frozenset[Permission]] = frozenset()


class JWTOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of ``type: jwt``.

    :ivar algorithms: which signatures are accepted, and no others.
    :ivar key: the shared secret (for ``HS*``) or the public key in PEM;
        better in ``key_file`` or the environment.
    :ivar key_file: a file that holds it.
    :ivar jwks_url: where the issuer publishes its public keys.
    :ivar jwks_max_age: after how many seconds they are fetched again.
    :ivar issuer: the only ``iss`` that is accepted; any, if not set.
    :ivar audience: what must be in ``aud``; if not set, tokens for a
        particular audience are refused.
    :ivar leeway: for how many seconds clocks may disagree.
    :ivar key_id: the ``kid`` of the tokens that this authenticator is for;
        those with another are left to the next.
    :ivar basic_user: the user whose Basic password is a token; empty to
        take tokens as ``Bearer`` and ``?jwt=`` only.
    :ivar require_exp: whether tokens without expiry are refused.
    :ivar realm: what tells the people of these tokens from those of others; if
        not set, who is trusted: the issuer, where its keys are, or the ``kid``.
    :ivar private_key_file: the private key in PEM with which ``giftless
        token`` signs; the daemon does not read it.
    """

    algorithms: list[Algorithm] = msgspec.field(default_factory=lambda: ["HS256"])
    key: str | None = None
    key_file: str | None = None
    jwks_url: str | None = None
    jwks_max_age: Annotated[int, msgspec.Meta(ge=60)] = 3600
    issuer: str | None = None
    audience: str | None = None
    leeway: Annotated[int, msgspec.Meta(ge=0)] = 10
    key_id: str | None = None
    basic_user: str = TOKEN_USER
    require_exp: bool = False
    realm: str = ""
    private_key_file: str | None = None

    def __repr__(self) -> str:
        """Leave out everything: it may hold a secret."""
        return "<JWTOptions>"


class KeySource(Protocol):
    """Knows the keys that a token may be signed with."""

    async def find(self, header: TokenHeader) -> Sequence[Key] | None:
        """Find the keys that may verify a token.

        :returns: an awaitable of the keys; ``None`` if the token is not from
            this issuer.
        :raises giftless.errors.ServiceUnavailable: if that cannot be told now.
        """


class OneKey:
    """A key from the configuration.

    :param key: the key.
    """

    def __init__(self, key: Key) -> None:
        self._key = key

    async def find(self, header: TokenHeader) -> Sequence[Key] | None:
        """See :meth:`KeySource.find`."""
        return [self._key]


class _Claims(Dates, frozen=True):
    """The claims of a token that are of use here (RFC 7519 section 4.1)."""

    iss: str | None = None
    aud: str | list[str] | None = None
    sub: str | int | None = None
    email: str | None = None
    name: str | None = None
    scopes: str | list[str] | None = None
    scope: str | list[str] | None = None


@implementer(IAuthenticator, IVouching)
class JWTAuthenticator:
    """Accepts tokens that are signed with certain keys.

    :param keys: the keys.
    :param options: what else a token must fulfil.
    :param wall_clock: is compared with the tokens' dates.
    """

    def __init__(self, keys: KeySource, options: JWTOptions, wall_clock: WallClock) -> None:
        self.realm = Realm("jwt", _trusted(options))
        self._keys = keys
        self._options = options
        self._wall_clock = wall_clock

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`.

        With several tokens, one that is good is enough.
        """
        tokens = tokens_of(credentials, self._options.basic_user)
        return await first_good(tokens, lambda token: self._recognise(token, repo))

    async def _recognise(self, token: str, repo: Repo) -> Identity | None:
        key_id = self._options.key_id
        header = TokenHeader.of(token)
        if header is None or (key_id is not None and header.kid != key_id):
            return None
        keys = await self._keys.find(header)
        if keys is None:
            return None
        claims = verified_claims(token, header, keys, self._options.algorithms, _Claims)
        self._check(claims)
        return self._identity(claims, token, repo)

    def _check(self, claims: _Claims) -> None:
        """Check that a token is good here and now.

        :raises UnfitCredential: if it is not; the message says why.
        """
        options = self._options
        now = self._wall_clock()
        check_dates(claims, now, options.leeway, needs_end=options.require_exp)
        if options.issuer is not None and claims.iss != options.issuer:
            raise UnfitCredential("the token is from another issuer (iss)")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if options.audience is None and audiences is None:
            return
        if options.audience not in (audiences or ()):
            raise UnfitCredential("the token is for another audience (aud)")

    def _identity(self, claims: _Claims, token: str, repo: Repo) -> Identity:
        scopes = [*parse_scopes(claims.scopes or ()), *parse_scopes(claims.scope or ())]
        name, whose = "jwt", token_part(token)
        for claim in _WHOSE:
            value = getattr(claims, claim)
            if value not in (None, ""):
                name, whose = str(value), f"{claim}:{value}"
                break
        # Without an issuer that is demanded, the token's own is part of who this is.
        unchecked = self._options.issuer is None and claims.iss is not None
        parts = (f"iss:{claims.iss}", whose) if unchecked else (whose,)
        grants = ScopedGrants(permissions_in(scopes, repo))
        return Identity(shown_name(name), grants, self.realm.principal(*parts))


@implementer(IGrants)
class ScopedGrants:
    """What scopes permit in one repository.

    :param permissions: the permissions on single objects, and under ``None``
        those on all.
    """

    def __init__(self, permissions: Mapping[Oid | None, frozenset[Permission]]) -> None:
        self._permissions = permissions

    def allows(self, permission: Permission, oid: Oid | None) -> bool:
        """See :meth:`giftless.interfaces.IGrants.allows`."""
        return permission in self._permissions.get(
            None, _NOTHING
        ) or permission in self._permissions.get(oid, _NOTHING)


def _trusted(options: JWTOptions) -> str:
    """Return what the tokens' people are known by; empty if nothing tells them from others."""
    if options.realm or options.issuer:
        return options.realm or options.issuer or ""
    if options.jwks_url is not None:
        return options.jwks_url.partition("?")[0]
    return "" if options.key_id is None else f"kid={options.key_id}"


class JWTFactory:
    """Builds :class:`JWTAuthenticator` from :class:`JWTOptions`."""

    Options = JWTOptions

    def build(self, options: JWTOptions, environment: Environment) -> JWTAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`."""
        key = configured_key(options)
        keys: KeySource
        if key is not None:
            keys = OneKey(key)
        else:
            assert options.jwks_url is not None
            keys = KeySet(
                options.jwks_url,
                options.algorithms,
                options.jwks_max_age,
                environment.http,
                environment.reactor,
                partial(environment.count_lookup, "jwks"),
            )
        return JWTAuthenticator(keys, options, environment.wall_clock)


def configured_key(options: JWTOptions) -> Key | None:
    """Return the key that tokens are verified with.  Blocks.

    :returns: the key; ``None`` if keys come from ``jwks_url``.
    :raises ConfigError: if the options cannot work.
    """
    _check_algorithms(options)
    given = [name for name in ("key", "key_file", "jwks_url") if getattr(options, name) is not None]
    if len(given) != 1:
        found = "none" if not given else " and ".join(given)
        raise ConfigError(
            given[-1] if given else "key",
            f"found {found}, but exactly one of key, key_file and jwks_url must be set",
        )
    (option,) = given
    if options.jwks_url is not None:
        check_url("jwks_url", options.jwks_url, query=True)
        return None
    data = read_file(options.key_file, option) if options.key_file else (options.key or "").encode()
    load = load_secret if is_symmetric(options.algorithms[0]) else load_public_key
    try:
        return load(data.strip() if data.isascii() else data, options.algorithms)
    except ValueError as error:
        raise ConfigError(option, str(error)) from None


def _check_algorithms(options: JWTOptions) -> None:
    symmetric = [name for name in options.algorithms if is_symmetric(name)]
    if not options.algorithms:
        raise ConfigError("algorithms", "found an empty list, allowed is one algorithm or more")
    if symmetric and len(symmetric) < len(options.algorithms):
        raise ConfigError(
            "algorithms",
            f"found {', '.join(options.algorithms)}, but shared secrets (HS*) and public keys"
            " must not be mixed; make two authenticators, each with a key_id",
        )
    if symmetric and options.private_key_file is not None:
        raise ConfigError(
            "private_key_file", f"is of no use: {symmetric[0]} signs with the secret itself"
        )
    if symmetric and options.jwks_url is not None:
        raise ConfigError(
            "algorithms",
            f"found {symmetric[0]}, but what jwks_url publishes are public keys; name the"
            " issuer's algorithms, such as RS256 or ES256",
        )
