"""Tokens that are JSON Web Tokens: verified here, by the issuer's keys.

They are access tokens (:rfc:`9068`) or ID tokens (OpenID Connect Core 1.0, section 3.1.3.7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from giftless.auth.oidc.claims import Claims
from giftless.auth.oidc.discovery import Discovery
from giftless.auth.oidc.options import OIDCOptions
from giftless.auth.tokens.jwks import KeySet
from giftless.auth.tokens.parts import decode_part
from giftless.auth.tokens.signatures import Key
from giftless.auth.tokens.unverified import TokenHeader
from giftless.auth.tokens.verifying import Dates, check_dates, verified_claims
from giftless.base.http_client import reason_of
from giftless.errors import ConfigError, Unauthorized, UnfitCredential
from giftless.interfaces import Lookup, WallClock

#: What the header of an access token or an ID token may call it (``typ``), in lower case.
#: Others are not for servers to be shown: tokens of log-outs, proofs, and so on.
_KINDS: Final = ("", "jwt", "at+jwt", "application/at+jwt")


class _Form(msgspec.Struct, frozen=True):
    """The members of a header that say what a token is (RFC 7515 section 4.1)."""

    typ: str = ""
    crit: Any = None


class _Source(msgspec.Struct, frozen=True):
    iss: str


class _Terms(Dates, frozen=True):
    """The claims that decide whether a token is good here and now."""

    iss: str = ""
    aud: str | list[str] = ""
    cnf: Any = None
    events: Any = None


def issuer_of(token: str) -> str:
    """Return who says to have issued a JSON Web Token; nothing is verified.

    :returns: the ``iss``; empty if it has none.
    """
    try:
        return msgspec.json.decode(decode_part(token.split(".")[1]), type=_Source).iss
    except (ValueError, RecursionError):
        return ""


class SignedTokens:
    """Verifies the tokens of an issuer.

    :param discovery: tells where the keys are.
    :param options: what a token must fulfil.
    :param clock: tells when keys are old.
    :param wall_clock: is compared with the tokens' dates.
    :param count: counts looks for a key.
    """

    def __init__(
        self,
        discovery: Discovery,
        options: OIDCOptions,
        clock: IReactorTime,
        wall_clock: WallClock,
        count: Callable[[Lookup], None],
    ) -> None:
        self._discovery = discovery
        self._options = options
        self._clock = clock
        self._wall_clock = wall_clock
        self._count = count
        self._keys: KeySet | None = None
        self._keys_url = ""

    async def claims(self, token: str, header: TokenHeader) -> Claims:
        """Return what a token says, if it is good here and now.

        :param header: the token's header.
        :raises Unauthorized: if it is not; the message says why.
        :raises IdentityUnavailable: if the issuer's keys cannot be had.
        """
        _check_form(token)
        keys = await self._find(header)
        claims = verified_claims(token, header, keys, self._options.algorithms, dict[str, Any])
        try:
            terms = msgspec.convert(claims, _Terms)
        except msgspec.ValidationError:
            raise Unauthorized("the token is malformed; get a new one") from None
        self._check(terms)
        return claims

    async def check(self) -> None:
        """Ask the issuer where its keys are, and for the keys, whatever is known.

        :raises ConfigError: if it does not tell, with what to do about it.
        """
        try:
            metadata = await self._discovery.check()
        except Exception as error:  # whatever a connection can fail with
            raise ConfigError(
                "issuer",
                f"does not say where its keys are: {reason_of(error)}; is it written as the"
                " issuer itself writes it, and does this machine reach it?",
            ) from None
        try:
            await self._key_set(metadata.jwks_uri).check()
        except Exception as error:
            raise ConfigError(
                "issuer",
                f"does not give its keys (jwks_uri): {reason_of(error)}; does this machine reach"
                " them, and do 'algorithms' name what it signs with?",
            ) from None

    async def _find(self, header: TokenHeader) -> Sequence[Key]:
        url = (await self._discovery.metadata()).jwks_uri
        if self._keys is None or url != self._keys_url:
            self._keys, self._keys_url = self._key_set(url), url
        found = await self._keys.find(header)
        if found is None:
            raise Unauthorized("the token is signed with a key that its issuer does not have")
        return found

    def _key_set(self, url: str) -> KeySet:
        options, http = self._options, self._discovery.http
        return KeySet(url, options.algorithms, options.jwks_max_age, http, self._clock, self._count)

    def _check(self, terms: _Terms) -> None:
        check_dates(terms, self._wall_clock(), self._options.leeway, needs_end=True)
        refuse_others(terms.iss, terms.aud, self._options)
        if terms.events is not None:
            raise UnfitCredential("this token tells of events, and opens nothing")
        refuse_bound(terms.cnf)


def refuse_others(issuer: str, audience: str | Sequence[str], options: OIDCOptions) -> None:
    """Refuse a token that another issuer has made, or that is for other servers.

    :param issuer: its ``iss``.
    :param audience: its ``aud``.
    :param options: what they must be.
    :raises UnfitCredential: if one of them is something else.
    """
    if issuer != options.issuer:
        raise UnfitCredential("the token is from another issuer (iss)")
    audiences = [audience] if isinstance(audience, str) else audience
    if not set(audiences) & set(options.audiences):
        raise UnfitCredential("the token is for another audience (aud)")


def refuse_bound(confirmation: Any) -> None:
    """Refuse a token that is good only beside the proof of a key (``cnf``, RFC 7800).

    :raises UnfitCredential: if it is: whoever shows it as ``Bearer`` proves nothing.
    """
    if confirmation is not None:
        raise UnfitCredential("the token is bound to a key; get one that is not (cnf)")


def _check_form(token: str) -> None:
    """Check that a token is of a kind that is for servers, and has nothing that must be known.

    :raises Unauthorized: if not.
    """
    try:
        form = msgspec.json.decode(decode_part(token.partition(".")[0]), type=_Form)
    except (ValueError, RecursionError):
        raise Unauthorized("the token is malformed; get a new one") from None
    if form.crit is not None:
        raise Unauthorized("the token has extensions that must be understood (crit)")
    if form.typ.lower() not in _KINDS:
        raise Unauthorized("the token is neither an access token nor an ID token (typ)")
