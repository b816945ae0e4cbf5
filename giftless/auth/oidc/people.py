"""Find out who shows a token, and remember it for a while."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.auth.oidc.claims import ClaimNames, Claims, Person, subject_of
from giftless.auth.oidc.options import OIDCOptions
from giftless.auth.oidc.questions import Questions
from giftless.auth.oidc.signed import SignedTokens, issuer_of
from giftless.auth.tokens.unverified import TokenHeader
from giftless.auth.verdicts import Verdicts
from giftless.errors import UnfitCredential
from giftless.interfaces import Lookup, WallClock

#: For how many seconds the issuer is not asked again about a token that it does not know.
_UNKNOWN_TTL: Final = 30.0

#: The longest opaque token, in characters.
_MAX_OPAQUE: Final = 4096


class People:
    """Finds out whose tokens are.

    :param signed: verifies those that are JSON Web Tokens.
    :param questions: asks the issuer about others.
    :param options: when it is asked, and for how long an answer is remembered.
    :param clock: tells when answers expire.
    :param wall_clock: is compared with the tokens' dates.
    :param count: counts looks for what is remembered.
    """

    def __init__(
        self,
        signed: SignedTokens,
        questions: Questions,
        options: OIDCOptions,
        clock: IReactorTime,
        wall_clock: WallClock,
        count: Callable[[Lookup], None],
    ) -> None:
        self._signed = signed
        self._questions = questions
        self._options = options
        self._wall_clock = wall_clock
        self._names = ClaimNames(options.name_claim, options.groups_claim)
        self._introspects = bool(options.client_id)
        self._takes_opaque = self._introspects or options.userinfo == "tokens"
        size = options.cache_size
        self._verdicts: Verdicts[Person | None] = Verdicts(size, size, clock, count)

    async def find(self, token: str) -> Person | None:
        """Find out whose a token is.

        :param token: a token as RFC 6750 section 2.1 has it.
        :returns: ``None`` if it is none of the issuer's.
        :raises Unauthorized: if it is the issuer's, and not good here and now.
        :raises IdentityUnavailable: if that cannot be told now.
        """
        header = TokenHeader.of(token)
        if header is not None:
            if issuer_of(token) != self._options.issuer:
                return None
            if self._options.userinfo == "never":
                return self._names.person(await self._signed.claims(token, header))
        elif not self._takes_opaque or len(token) > _MAX_OPAQUE:
            return None
        digest = self._verdicts.digest(token.encode())
        return await self._verdicts.find(digest, lambda: self._ask(digest, token, header))

    async def check(self) -> None:
        """See :meth:`giftless.auth.oidc.signed.SignedTokens.check`."""
        await self._signed.check()

    async def _ask(self, digest: bytes, token: str, header: TokenHeader | None) -> Person | None:
        claims = await self._claims(token, header)
        if claims is None:
            self._verdicts.remember(digest, None, False, _UNKNOWN_TTL)
            return None
        person = self._names.person(claims)
        self._verdicts.remember(digest, person, True, self._lifetime(claims))
        return person

    async def _claims(self, token: str, header: TokenHeader | None) -> Claims | None:
        if header is not None:
            return await self._complete(token, await self._signed.claims(token, header))
        if self._introspects:
            said = await self._questions.introspect(token)
            return None if said is None else await self._complete(token, said)
        return await self._questions.userinfo(token)

    async def _complete(self, token: str, claims: Claims) -> Claims:
        """Add what the userinfo endpoint knows, if something is missing.

        :raises UnfitCredential: if it says that the token is somebody else's.
        """
        if self._options.userinfo == "never" or not self._names.missing(claims):
            return claims
        more = await self._questions.userinfo(token)
        if more is None:
            return claims
        # OpenID Connect Core 1.0, section 5.3.2: else claims of two could be mixed.
        if subject_of(claims) not in ("", subject_of(more)):
            raise UnfitCredential("the issuer says of the token that it is two people's (sub)")
        return {**more, **{name: value for name, value in claims.items() if value is not None}}

    def _lifetime(self, claims: Claims) -> float:
        """Return for how many seconds claims are remembered: not when the token has ended."""
        end = claims.get("exp")
        left = end - self._wall_clock() if isinstance(end, int | float) else math.inf
        return max(0.0, min(self._options.ttl, left))
