"""Let log-ins wait while others of the same client are being checked."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.errors import LogInsBusy

#: For how long a log-in waits at most, in seconds: clients give up after 30.
PATIENCE: Final = 10.0

#: How often it looks whether it can go on, in seconds: others may be checked by other workers.
PAUSE: Final = 0.125

#: How many log-ins of one client wait in each worker at most, and how many of all clients.
PER_CLIENT: Final = 256
ALL: Final = 1024

#: What clients are told to wait if there is no room, in seconds.
_RETRY_AFTER: Final = 5


class Turns:
    """Where log-ins wait.

    :param clock: tells the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock: Any = clock
        self._waiting: Counter[str] = Counter()

    async def wait(self, client: str, since: float) -> None:
        """Wait for a moment.

        :param since: when the log-in has begun to wait, in the clock's seconds.
        :raises LogInsBusy: if it has waited for too long, or too many wait.
        """
        waiting = self._waiting
        if (
            self._clock.seconds() - since >= PATIENCE
            or waiting[client] >= PER_CLIENT
            or waiting.total() >= ALL
        ):
            raise busy()
        waiting[client] += 1
        try:
            await deferLater(self._clock, PAUSE)
        finally:
            waiting[client] -= 1
            if not waiting[client]:
                del waiting[client]


def busy() -> LogInsBusy:
    """Return the error for a log-in for which there is no room."""
    return LogInsBusy(
        f"too many log-ins are being checked; try again in {_RETRY_AFTER} seconds", _RETRY_AFTER
    )
