"""Verify what a token says: its signature, and the dates in it (RFC 7519 section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from giftless.auth.tokens.signatures import Key, verify
from giftless.auth.tokens.unverified import TokenHeader
from giftless.errors import Unauthorized, UnfitCredential

T = TypeVar("T")


class Dates(msgspec.Struct, frozen=True):
    """The claims that are times, in seconds since the epoch.

    :ivar exp: when the token ends.
    :ivar nbf: before when it is not good.
    :ivar iat: when it was issued.
    """

    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None


def verified_claims(
    token: str,
    header: TokenHeader,
    keys: Sequence[Key],
    algorithms: Sequence[str],
    claims: type[T],
) -> T:
    """Return the claims of a token whose signature is right.

    :param header: the token's header.
    :param keys: any of these may have signed it.
    :param algorithms: those that are accepted, and no others.
    :param claims: what the claims are decoded as.
    :raises Unauthorized: if the signature is wrong, or the token malformed.
    """
    if header.alg not in algorithms:
        raise Unauthorized(f"the token's algorithm is not accepted; use {' or '.join(algorithms)}")
    try:
        for key in keys:
            payload = verify(token, key, header.alg)
            if payload is not None:
                return msgspec.json.decode(payload, type=claims)
    except (ValueError, RecursionError):
        raise Unauthorized("the token is malformed; get a new one") from None
    raise Unauthorized("the token's signature is wrong; get a new one")


def check_dates(dates: Dates, now: float, leeway: float, *, needs_end: bool) -> None:
    """Check that a token is good now.

    :param now: the time of day, in seconds since the epoch.
    :param leeway: for how many seconds clocks may disagree.
    :param needs_end: whether a token without expiry is refused.
    :raises UnfitCredential: if it is not; the message says why.
    """
    if dates.exp is None and needs_end:
        raise UnfitCredential("the token has no expiry (exp); get one that has")
    if dates.exp is not None and now >= dates.exp + leeway:
        raise UnfitCredential("the token has expired; get a new one")
    if dates.nbf is not None and now + leeway < dates.nbf:
        raise UnfitCredential("the token is not valid yet (nbf)")
    if dates.iat is not None and now + leeway < dates.iat:
        raise UnfitCredential("the token is issued in the future (iat); check the clocks")
