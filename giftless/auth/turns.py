"""Let log-ins wait while others of the same client are being checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from giftless.errors import LogInsBusy

#: For how long a log-in waits at most, in seconds: clients give up after 30.
PATIENCE: Final = 10.0

#: How often it is looked who can go on, in seconds: others may be checked by other workers.
PAUSE: Final = 0.125

#: How many log-ins of one client wait in each worker at most, and how many of all clients.
PER_CLIENT: Final = 256
ALL: Final = 1024

#: What clients are told to wait if there is no room, in seconds.
_RETRY_AFTER: Final = 5


@dataclass(eq=False, slots=True)
class _LogIn:
    """One that waits: ``until`` then, in the clock's seconds."""

    admits: Callable[[], bool]
    until: float
    turn: Deferred[None]


@dataclass(eq=False, slots=True)
class _Queue:
    """The log-ins of one client, the first one first, and the call that tries them."""

    log_ins: list[_LogIn] = field(default_factory=list)
    call: IDelayedCall | None = None


class Turns:
    """Where log-ins wait: those of one client go on in the order in which they came.

    That holds in each worker; of several workers, whichever looks first goes on.

    :param clock: tells the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._queues: dict[str, _Queue] = {}

    async def take(self, client: str, admits: Callable[[], bool]) -> None:
        """Wait until a log-in may go on.

        One that may not holds up no others: its account may have no room, and theirs some.

        :param admits: tells whether it may; what it raises is raised here.
        :raises LogInsBusy: if it has waited for too long, or too many wait.
        """
        queue = self._queues.get(client)
        if queue is None:
            if admits():
                return
            queue = _Queue()
        waiting = sum(len(each.log_ins) for each in self._queues.values())
        if len(queue.log_ins) >= PER_CLIENT or waiting >= ALL:
            raise busy()
        turn: Deferred[None] = Deferred(lambda _: self._leave(client, log_in))
        log_in = _LogIn(admits, self._clock.seconds() + PATIENCE, turn)
        queue.log_ins.append(log_in)
        self._queues[client] = queue
        self._look_later(client, queue)
        await turn

    def _look_later(self, client: str, queue: _Queue) -> None:
        if queue.call is None:
            queue.call = self._clock.callLater(PAUSE, partial(self._look, client, queue))

    def _look(self, client: str, queue: _Queue) -> None:
        """Let those go on that may."""
        queue.call = None
        for log_in in list(queue.log_ins):
            # Whoever goes on may make others leave.
            if log_in in queue.log_ins:
                self._try(client, queue, log_in)
        if queue.log_ins:
            self._look_later(client, queue)

    def _try(self, client: str, queue: _Queue, log_in: _LogIn) -> None:
        problem: Exception | None = None
        try:
            if not log_in.admits():
                if self._clock.seconds() < log_in.until:
                    return
                problem = busy()
        except Exception as error:
            problem = error
        self._leave(client, log_in)
        if problem is None:
            log_in.turn.callback(None)
        else:
            log_in.turn.errback(problem)

    def _leave(self, client: str, log_in: _LogIn) -> None:
        queue = self._queues[client]
        queue.log_ins.remove(log_in)
        if not queue.log_ins:
            del self._queues[client]
            if queue.call is not None:
                queue.call.cancel()


def busy() -> LogInsBusy:
    """Return the error for a log-in for which there is no room."""
    return LogInsBusy(
        f"too many log-ins are being checked; try again in {_RETRY_AFTER} seconds", _RETRY_AFTER
    )
