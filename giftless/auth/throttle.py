"""Count guesses of credentials, and refuse those that are too many.

A guess is counted before anybody looks at it, so those that come at the same time are
counted too.  Where all that is left of a bound is being looked at, further ones wait until it
is known how many of these are good: an office whose people log in at the same time is not
refused, and never are more guesses looked at than the bound has.

What counts is how many *different* credentials a client tries for one account, and for all:
the same wrong password, sent again by every job of a build, is one guess.  A credential that
was good lately is none, so who has one is never locked out by others behind the same address.

All counts of one client begin and end together: what was looked at in one window is never taken
from the counts of another.

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
from giftless.auth.turns import Turns
from giftless.base.networks import network_of_host
from giftless.base.shared_table import KEY_BYTES, SharedTable
from giftless.errors import TooManyFailures
from giftless.interfaces import Credential, Credentials, Password

#: For how many seconds a credential counts as good lately after it was good.
GOOD_SECONDS: Final = 3600.0

#: A guess that is being looked at has as its count how many requests show it; one that is known
#: to be bad has this.
_BAD: Final = 1 << 32

#: A count has bad guesses in its lower half, and those that are looked at in its upper half.
_ONE_OPEN: Final = 1 << 32

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
        account, network = options.max_failures, options.max_failures_per_address
        #: Of a network, which is never less than one account may have; and of an account.
        self._limits = (max(network, account) if network else 0, account)
        self._window = options.failure_window
        self._clock = clock
        self._turns = Turns(clock)

    async def begin(self, credentials: Credentials, place: str = "") -> Attempt:
        """Count a credential as a guess, before it is looked at.

        :param credentials: a single one.
        :param place: the path that has its own accounts, below which it is sent; empty for
            none.
        :returns: what is told how it went.
        :raises TooManyFailures: if the client has made too many guesses.
        :raises LogInsBusy: if too many of its credentials are being looked at.
        """
        attempt = Attempt(place, self._digest("good", place, credentials.items))
        # One that was good lately waits for nobody.
        if not self._was_good(attempt):
            client = network_of_host(credentials.address)
            await self._turns.take(client, lambda: self._admits(attempt, credentials))
        return attempt

    def refuse(self, credentials: Credentials, place: str = "") -> None:
        """Count several credentials that are refused together, as one guess.

        :raises TooManyFailures: if the client has made too many guesses.
        """
        attempt = Attempt(place, self._digest("good", place, credentials.items))
        self._count(attempt, credentials, self._clock.seconds(), is_open=False)

    def good(self, attempt: Attempt) -> None:
        """Note that a credential is good, so it is no guess."""
        now = self._clock.seconds()
        # A push shows the same one a thousand times.
        if attempt.good_until - now < GOOD_SECONDS / 2:
            with self._table.locked():
                self._end(attempt, now, is_guess=False)
                self._table.put(attempt.credential, 1, now + GOOD_SECONDS, now)

    def bad(self, attempt: Attempt, credentials: Credentials) -> None:
        """Note that a credential is bad; one that was good lately is a guess from now on."""
        now = self._clock.seconds()
        with self._table.locked():
            self._end(attempt, now, is_guess=True)
            if attempt.good_until:
                self._table.remove(attempt.credential)
        if attempt.good_until:
            self._count(attempt, credentials, now, is_open=False)

    def no_guess(self, attempt: Attempt) -> None:
        """Note that a credential was no guess, or was not looked at."""
        self._leave(attempt, is_guess=False)

    def left(self, attempt: Attempt) -> None:
        """Note that a client has left before the answer: it has made a guess."""
        self._leave(attempt, is_guess=True)

    def _was_good(self, attempt: Attempt) -> bool:
        known = self._table.get(attempt.credential, self._clock.seconds())
        if known is not None:
            attempt.good_until = known[1]
        return known is not None

    def _admits(self, attempt: Attempt, credentials: Credentials) -> bool:
        """Count a credential, unless it was good lately.

        :returns: whether it may be looked at now.
        """
        if self._was_good(attempt):
            return True
        now = self._clock.seconds()
        attempt.counted = self._count(attempt, credentials, now, is_open=True)
        return attempt.counted

    def _count(self, attempt: Attempt, credentials: Credentials, now: float, is_open: bool) -> bool:
        """Count a guess.

        :param is_open: whether it is being looked at, and not known to be bad.
        :returns: whether it is counted: it is not while others are looked at that may be good.
        :raises TooManyFailures: if too many are known to be bad.
        """
        if not attempt.keys:
            self._name(attempt, credentials)
        table = self._table
        with table.locked():
            known = table.get(attempt.guess, now)
            if known is not None:
                if is_open and known[0] < _BAD:
                    table.put(attempt.guess, known[0] + 1, known[1], now)
                return True
            until, full, counted = now + self._window, False, []
            for key, limit in zip(attempt.keys, self._limits, strict=True):
                count, until = table.get(key, now) or (0, until)
                opened, bad = divmod(count, _ONE_OPEN)
                if limit and bad >= limit:
                    raise _too_many(until - now)
                full = full or bool(limit and bad + opened >= limit)
                counted.append((key, count + (_ONE_OPEN if is_open else 1), until))
            if full and is_open:
                return False
            for key, count, expires in counted:
                table.put(key, count, expires, now)
            table.put(attempt.guess, 1 if is_open else _BAD, until, now)
        return True

    def _leave(self, attempt: Attempt, is_guess: bool) -> None:
        """Note that a credential is looked at no longer; the last request that shows it decides.

        :param is_guess: whether it goes on to count.
        """
        if not attempt.counted:
            return
        now = self._clock.seconds()
        with self._table.locked():
            state, until = self._table.get(attempt.guess, now) or (0, 0.0)
            if 1 < state < _BAD:
                self._table.put(attempt.guess, state - 1, until, now)
            elif state < _BAD:
                self._end(attempt, now, is_guess)

    def _end(self, attempt: Attempt, now: float, is_guess: bool) -> None:
        """Note what has become of a credential that was looked at.

        :param is_guess: whether it goes on to count.
        """
        table = self._table
        found = table.get(attempt.guess, now) if attempt.counted else None
        if found is None:
            return
        state, until = found
        if is_guess:
            table.put(attempt.guess, _BAD, until, now)
        else:
            table.remove(attempt.guess)
        for key in attempt.keys:
            kept = table.get(key, now)
            if kept is None or kept[1] != until:
                continue  # its window has ended, and another may have begun
            opened, bad = divmod(kept[0], _ONE_OPEN)
            opened -= state < _BAD
            bad += is_guess - (state == _BAD)
            table.put(key, max(0, opened) * _ONE_OPEN + max(0, bad), kept[1], now)

    def _name(self, attempt: Attempt, credentials: Credentials) -> None:
        """Find out under which keys a guess is counted."""
        network = network_of_host(credentials.address)
        account = _account(credentials.items)
        attempt.guess = self._digest("guess", network, account, attempt.credential)
        attempt.keys = (
            self._digest("network", network),
            self._digest("account", network, attempt.place, account),
        )

    def _digest(self, *parts: object) -> bytes:
        return hmac.digest(self._key, _encode(parts), "sha256")[:KEY_BYTES]


class Attempt:
    """One credential that is being looked at.

    :ivar place: the path that has its own accounts, below which it was sent.
    :ivar credential: its digest.
    :ivar good_until: until when it counts as good lately; 0 if it does not.
    :ivar guess: under which key it is counted as a guess; empty before it is.
    :ivar keys: under which keys the guesses of its client are counted: all, and those for one
        account.
    :ivar counted: whether it is counted as one that is being looked at.
    """

    __slots__ = ("counted", "credential", "good_until", "guess", "keys", "place")

    def __init__(self, place: str, credential: bytes) -> None:
        self.place = place
        self.credential = credential
        self.good_until = 0.0
        self.guess = b""
        self.keys: tuple[bytes, ...] = ()
        self.counted = False


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
