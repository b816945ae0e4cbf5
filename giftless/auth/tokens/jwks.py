"""The public keys of a token issuer, from its JWK Set (RFC 7517).

Issuers change their keys while they run, so the set is fetched again when it
is old, and when a token names a key that is not in it.  If the issuer does not
answer, the keys that were fetched before are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.auth.cache import Errand
from giftless.auth.tokens.signatures import Key, fits
from giftless.auth.tokens.unverified import TokenHeader
from giftless.base.http_client import get
from giftless.errors import IdentityUnavailable
from giftless.interfaces import Lookup

#: How long the issuer may take to answer, in seconds.  Requests wait meanwhile.
TIMEOUT: Final = 5.0

#: How large a JWK Set may be, in bytes.
MAX_BYTES: Final = 262144

#: How long the issuer is left alone after an unknown key or a failure, in seconds.
INTERVAL: Final = 60.0

#: The same as long as there is no key at all, and so no token can be verified.
INTERVAL_WITHOUT_KEYS: Final = 5.0

_HEADERS: Final = {"Accept": "application/jwk-set+json, application/json"}

_log = Logger()

_FROM_JWK: Final = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key of an issuer.

    :ivar kid: its name, if it has one.
    :ivar key: the public key.
    :ivar algorithms: what it may verify; never empty.
    """

    kid: str | None
    key: Key
    algorithms: frozenset[str]


class KeySet:
    """The keys of an issuer, kept up to date.

    :param url: where the issuer publishes its JWK Set.
    :param algorithms: the asymmetric algorithms that are accepted.
    :param max_age: for how long a set is good, in seconds.
    :param http: fetches it.
    :param reactor: tells the time.
    :param count: counts looks for a key.
    """

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        max_age: float,
        http: HTTPClient,
        reactor: IReactorTime,
        count: Callable[[Lookup], None],
    ) -> None:
        self._url = url
        self._count = count
        self._algorithms = tuple(algorithms)
        self._max_age = max_age
        self._http = http
        self._reactor = reactor
        self._keys: tuple[PublishedKey, ...] = ()
        self._stale_at = -math.inf
        self._retry_at = -math.inf
        self._next_search_at = -math.inf
        self._fetching = Errand()
        self._failing = False

    async def find(self, header: TokenHeader) -> Sequence[Key] | None:
        """Find the keys that may verify a token.

        :param header: the token's header.
        :returns: an awaitable of the keys, none if its algorithm fits none of
            them; ``None`` if the token names a key that the issuer does not
            have, so it is not of this issuer.
        :raises IdentityUnavailable: if there are no keys, and none can be had.
        """
        if self._is_due(header):
            self._count("shared" if self._fetching.waiting else "miss")
            fetched = self._fetching.join(self._fetch)
            # Nobody who has a key waits for an issuer that was not there a moment ago.
            if not (self._failing and self._named(header)):
                await fetched
        else:
            self._count("hit")
        if not self._keys:
            wait = max(1, math.ceil(self._retry_at - self._reactor.seconds()))
            raise IdentityUnavailable(
                "tokens cannot be verified now: their issuer's keys cannot be had; try again later",
                wait,
            )
        named = self._named(header)
        if header.kid is not None and not named:
            return None
        return [entry.key for entry in named if header.alg in entry.algorithms]

    async def check(self) -> None:
        """Fetch the set, whatever is known.

        :raises Exception: whatever a connection can fail with, or ``ValueError`` with what is
            wrong with the set.
        """
        if not await self._download():
            raise ValueError("there is no key that can be used for the accepted algorithms")

    def _named(self, header: TokenHeader) -> Sequence[PublishedKey]:
        if header.kid is None:
            return self._keys
        return [entry for entry in self._keys if entry.kid == header.kid]

    def _is_due(self, header: TokenHeader) -> bool:
        """Whether the set must be fetched before a token can be judged."""
        now = self._reactor.seconds()
        stale = now >= self._stale_at
        if not stale and (self._named(header) or header.alg not in self._algorithms):
            return False
        if self._fetching.waiting:
            return True  # the request that is running answers this one too
        if now < self._retry_at:
            return False
        if not stale:
            if now < self._next_search_at:
                return False
            self._next_search_at = now + INTERVAL
        return True

    async def _fetch(self) -> None:
        """Fetch the set; whoever asks meanwhile waits for the same answer."""
        try:
            self._keys = await self._download()
        except Exception as error:  # whatever a connection can fail with
            self._failing = True
            # Its query may be a secret.
            url = self._url.partition("?")[0]
            _log.warn("there are no keys at {url}: {error!r}", url=url, error=error)
        else:
            self._failing = False
            self._stale_at = self._reactor.seconds() + self._max_age
            if self._keys:
                return
            # An empty set takes back all keys, but hardly for long.
            self._stale_at = -math.inf
            _log.warn("there is no key at {url} that can be used", url=self._url)
        interval = INTERVAL if self._keys else INTERVAL_WITHOUT_KEYS
        self._retry_at = self._reactor.seconds() + interval

    async def _download(self) -> tuple[PublishedKey, ...]:
        answer = await get(self._http, self._url, _HEADERS, MAX_BYTES, TIMEOUT, self._reactor)
        if answer.status != 200:
            raise ValueError(f"the answer has status {answer.status}")
        if not answer.whole:
            raise ValueError(f"the answer has more than {MAX_BYTES} bytes")
        return parse_key_set(answer.body, self._algorithms)


class _JWK(msgspec.Struct, frozen=True):
    """The public members of a JWK; those of a private key are never read."""

    kty: str
    kid: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    alg: str | None = None
    crv: str | None = None
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None


class _Document(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


def parse_key_set(document: bytes, algorithms: Sequence[str]) -> tuple[PublishedKey, ...]:
    """Read a JWK Set.

    :param algorithms: the asymmetric algorithms that are accepted.
    :returns: the keys that can verify one of them; others are none of our
        business (RFC 7517 section 5).
    :raises ValueError: if it is no JWK Set.
    """
    try:
        raw_keys = msgspec.json.decode(document, type=_Document).keys
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the answer is no JWK Set: {error}") from None
    keys = (_parse_key(raw, algorithms) for raw in raw_keys)
    return tuple(key for key in keys if key is not None)


def _parse_key(raw: bytes, algorithms: Sequence[str]) -> PublishedKey | None:
    try:
        jwk = msgspec.json.decode(raw, type=_JWK)
        if jwk.use not in (None, "sig") or "verify" not in (jwk.key_ops or ["verify"]):
            return None
        members = {name: value for name, value in msgspec.structs.asdict(jwk).items() if value}
        key: Any = _FROM_JWK[jwk.kty](members)
    except (ValueError, KeyError, RecursionError, jwt.InvalidKeyError, UnsupportedAlgorithm):
        return None
    usable = frozenset(name for name in algorithms if fits(key, name) and jwk.alg in (None, name))
    return PublishedKey(jwk.kid, key, usable) if usable else None
