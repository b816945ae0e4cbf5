"""Count guesses of credentials, and refuse those that are too many.

A guess is counted before anybody looks at it, so those that come at the same time are
counted too.  What counts is how many *different* credentials a client tries for one
account, and for all: the same wrong password, sent again by every job of a build, is one
guess.  A credential that was good lately is none, so who has one is never locked out by
others behind the same address.

The counts lie in memory that all workers share, under keyed digests: no credential can
be found out from them.
"""

from __future__ import annotations

import hmac
import math
import unicodedata
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from giftless.auth.access import AccessOptions
from giftless.base.networks import network_of_host
from giftless.base.shared_table import KEY_BYTES, SharedTable
from giftless.errors import TooManyFailures
from giftless.interfaces import Credential, Credentials, Password

#: For how many seconds a credential counts as good lately after it was good.
GOOD_SECONDS: Final = 3600.0

_encode: Final = msgspec.msgpack.Encoder().encode


class Guesses:
    """Counts guesses for all workers.

    :param table: where they are counted.
    :param secret: the daemon's secret; the digests' key is derived from it.
    :param options: the bounds; ``max_failures`` is not 0.
    :param clock: tells the time, the same in all workers.
    """

    def __init__(
        self, table: SharedTable, secret: bytes, options: AccessOptions, clock: IReactorTime
    ) -> None:
        self._table = table
        self._key = hmac.digest(secret, b"giftless guesses", "sha256")
        self._per_account = options.max_failures
        #: Never less than one account may have.
        self._per_network = max(options.max_failures_per_address, options.max_failures)
        if not options.max_failures_per_address:
            self._per_network = 0
        self._window = options.failure_window
        self._clock = clock

    def begin(self, credentials: Credentials, place: str = "") -> Attempt:
        """Count a credential as a guess, before it is looked at.

        :param credentials: a single one, or several that are refused together.
        :param place: the path that has its own accounts, below which it is sent; empty for
            none.
        :returns: what is told how it went.
        :raises TooManyFailures: if the client has made too many guesses.
        """
        now = self._clock.seconds()
        attempt = Attempt(place, self._digest("good", place, credentials.items))
        known = self._table.get(attempt.credential, now)
        if known is None:
            self._count(attempt, credentials, now)
        else:
            attempt.good_until = known[1]
        return attempt

    def good(self, attempt: Attempt) -> None:
        """Note that a credential is good, so it is no guess."""
        now = self._clock.seconds()
        # A push shows the same one a thousand times.
        if attempt.good_until - now < GOOD_SECONDS / 2:
            with self._table.locked():
                self._withdraw(attempt, now)
                self._table.put(attempt.credential, 1, now + GOOD_SECONDS, now)

    def bad(self, attempt: Attempt, credentials: Credentials) -> None:
        """Note that a credential is bad; one that was good lately is a guess from now on."""
        if attempt.good_until:
            now = self._clock.seconds()
            with self._table.locked():
                self._table.remove(attempt.credential)
            self._count(attempt, credentials, now)

    def no_guess(self, attempt: Attempt) -> None:
        """Note that a credential was no guess, or was not looked at."""
        if attempt.keys and not attempt.repeated:
            with self._table.locked():
                self._withdraw(attempt, self._clock.seconds())

    def _count(self, attempt: Attempt, credentials: Credentials, now: float) -> None:
        network = network_of_host(credentials.address)
        account = _account(credentials.items)
        guess = self._digest("guess", network, account, attempt.credential)
        attempt.keys = (
            self._digest("account", network, attempt.place, account),
            self._digest("network", network),
        )
        attempt.guess = guess
        table = self._table
        with table.locked():
            if table.get(guess, now) is not None:
                attempt.repeated = True
                return
            limits = (self._per_account, self._per_network)
            counted = []
            for key, limit in zip(attempt.keys, limits, strict=True):
                count, expires = table.get(key, now) or (0, now + self._window)
                if limit and count >= limit:
                    raise _too_many(expires - now)
                counted.append((key, count + 1, expires))
            for key, count, expires in counted:
                table.put(key, count, expires, now)
            table.put(guess, 1, counted[0][2], now)

    def _withdraw(self, attempt: Attempt, now: float) -> None:
        table = self._table
        if not attempt.keys or table.get(attempt.guess, now) is None:
            return
        table.remove(attempt.guess)
        for key in attempt.keys:
            found = table.get(key, now)
            if found is not None and found[0] > 0:
                table.put(key, found[0] - 1, found[1], now)

    def _digest(self, *parts: object) -> bytes:
        return hmac.digest(self._key, _encode(parts), "sha256")[:KEY_BYTES]


class Attempt:
    """One credential that is being looked at.

    :ivar place: the path that has its own accounts, below which it was sent.
    :ivar credential: its digest.
    :ivar good_until: until when it counts as good lately; 0 if it does not.
    :ivar guess: under which key it is counted as a guess.
    :ivar keys: under which keys the guesses of its client are counted.
    :ivar repeated: whether the same guess has been counted before.
    """

    __slots__ = ("credential", "good_until", "guess", "keys", "place", "repeated")

    def __init__(self, place: str, credential: bytes) -> None:
        self.place = place
        self.credential = credential
        self.good_until = 0.0
        self.guess = b""
        self.keys: tuple[bytes, ...] = ()
        self.repeated = False


def _account(items: tuple[Credential, ...]) -> str | None:
    """Return the account that a guess is about; ``None`` for all that name none.

    Directories take ``Alice``, ``ALICE`` and the same in wide letters for one user (RFC 4518);
    else each way to write a name would have guesses of its own.
    """
    (item, *others) = items
    if not isinstance(item, Password) or others:
        return None
    name = unicodedata.normalize("NFKC", item.user).casefold()
    return unicodedata.normalize("NFKC", " ".join(name.split()))


def _too_many(seconds: float) -> TooManyFailures:
    wait = max(1, math.ceil(seconds))
    return TooManyFailures(
        f"too many bad credentials from this address; try again in {wait} seconds", wait
    )
