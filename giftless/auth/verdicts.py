"""Remember whether credentials are right, and ask about each once at a time.

Credentials are not kept: what is remembered stands under a digest, made with a key that only
this process has, and would be of no use to whoever reads it elsewhere.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

from giftless.auth.cache import TTLCache
from giftless.base.shared_answers import Shared
from giftless.interfaces import Lookup

V = TypeVar("V")


class Verdicts(Generic[V]):
    """Remembers whether credentials are right.

    :param right: how many right ones are remembered at most.
    :param wrong: how many wrong ones are.
    :param clock: tells when a verdict expires.
    :param count: counts looks for a verdict.
    """

    def __init__(
        self, right: int, wrong: int, clock: IReactorTime, count: Callable[[Lookup], None]
    ) -> None:
        self._count = count
        self._key = secrets.token_bytes(32)
        # Two tables, so that a guesser cannot crowd out those who know.
        self._right: TTLCache[bytes, tuple[V]] = TTLCache(right, clock)
        self._wrong: TTLCache[bytes, tuple[V]] = TTLCache(wrong, clock)
        self._shared: Shared[bytes, V] = Shared()

    def digest(self, shown: bytes) -> bytes:
        """Return what a credential is known by.

        :param shown: all of it that a verdict depends on.
        """
        return hmac.digest(self._key, shown, "sha256")

    async def find(self, digest: bytes, ask: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the verdict on a credential.

        :param digest: what it is known by.
        :param ask: finds out, unless the verdict is remembered or somebody else asks just
            now; it remembers what it finds.
        """
        for known in (self._right, self._wrong):
            if (verdict := known.get(digest)) is not None:
                self._count("hit")
                return verdict[0]
        self._count("shared" if digest in self._shared else "miss")
        return await self._shared.ask(digest, ask())

    def remember(self, digest: bytes, verdict: V, is_right: bool, ttl: float) -> None:
        """Remember a verdict.

        :param digest: what the credential is known by.
        :param is_right: whether it is right.
        :param ttl: for how many seconds.
        """
        (self._right if is_right else self._wrong).put(digest, (verdict,), ttl)
