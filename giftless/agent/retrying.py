"""Try requests again, after growing delays."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeVar

from giftless.agent.errors import Again, TransferError

#: How often something is tried, by default, before it is given up: for a minute.
ATTEMPTS: Final = 8

#: The first pause and the longest one of our own choice, in seconds.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 20.0

#: The longest pause that a server may ask for, in seconds.
PATIENCE: Final = 300.0

#: Waits for some seconds.
Pause = Callable[[float], None]

_T = TypeVar("_T")


class Retries:
    """The attempts at one request.

    :param pause: waits.
    :param attempts: how many there may be without progress.
    :param jitter: a random number from 0 to 1, so that agents that failed
        together do not come back together.
    """

    def __init__(
        self,
        pause: Pause,
        attempts: int = ATTEMPTS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._pause = pause
        self._attempts = attempts
        self._jitter = jitter
        self._failures = 0

    def reset(self) -> None:
        """Start counting attempts anew, since there was progress."""
        self._failures = 0

    def wait(self, error: Again) -> None:
        """Wait until the next attempt is due.

        :param error: what the last one ended with.
        :raises TransferError: if it was the last one for good.
        """
        self._failures += 1
        if self._failures >= self._attempts:
            raise TransferError(f"{error.reason}; tried {self._attempts} times, try again later")
        if error.after is not None and error.after > PATIENCE:
            raise TransferError(f"{error.reason}; try again in {error.after:.0f} seconds")
        longest = min(FIRST_PAUSE * 2 ** (self._failures - 1), LONGEST_PAUSE)
        self._pause(max(longest * (0.5 + self._jitter() / 2), error.after or 0))


def patiently(attempt: Callable[[], _T], pause: Pause, attempts: int = ATTEMPTS) -> _T:
    """Try a request until it succeeds.

    :raises TransferError: if it does not after several attempts.
    """
    retries = Retries(pause, attempts)
    while True:
        try:
            return attempt()
        except Again as error:
            retries.wait(error)
