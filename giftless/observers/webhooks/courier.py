"""Deliver the messages of one target in their order, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from giftless.errors import ServiceUnavailable
from giftless.interfaces import WallClock
from giftless.observers.webhooks.leases import Leases
from giftless.observers.webhooks.options import Target
from giftless.observers.webhooks.outbox import Message, Outbox
from giftless.observers.webhooks.sending import LONGEST_PAUSE, Outcome, Sender, Verdict

_log = Logger(namespace="giftless.webhooks")

_random = SystemRandom()

#: How many messages are taken out of the outbox at once.  So many may come twice if the
#: process is killed.
PAGE: Final = 20

#: How often the outbox is looked into for messages of other processes, in seconds.
LOOK: Final = 1

#: The pause after the first vain attempt, and the longest after many, in seconds.
SHORTEST: Final = 1
LONGEST: Final = 300

#: The longest that is slept at once, in seconds: somebody may want a target tried again.
_SLICE: Final = 10

#: The pause after a failure of the database, in seconds.
_OUTBOX_PAUSE: Final = 5


def backoff(tries: int, jitter: float) -> float:
    """Return the pause after so many vain attempts, in seconds.

    :param jitter: from 0 to 1: targets that failed together are not tried together.
    """
    longest: int = min(SHORTEST * 2 ** min(tries, 30), LONGEST)
    return longest * (0.75 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a message is given up.

    :ivar tries: how often a target may refuse it.
    :ivar age: for how long it may wait, in seconds.
    """

    tries: int
    age: int


class Courier:
    """Delivers to one target, while this process holds it.

    :param sender: sends messages.
    :param clock: measures pauses.
    :param wall_clock: dates them.
    :param jitter: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        target: Target,
        outbox: Outbox,
        leases: Leases,
        sender: Sender,
        limits: Limits,
        clock: IReactorTime,
        wall_clock: WallClock,
        jitter: Callable[[], float] = _random.random,
    ) -> None:
        self._target = target
        self._outbox = outbox
        self._leases = leases
        self._sender = sender
        self._limits = limits
        self._clock = clock
        self._wall_clock = wall_clock
        self._jitter = jitter
        self._delivered: list[int] = []
        self._stopping = self._idle = False
        self._waiting: Deferred[Outcome] | Deferred[None] | None = None
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Deliver no more.  What is under way is broken off, and will come again."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._running is not None:
            await self._running

    def wake(self) -> None:
        """Look into the outbox now, unless the target is to be left alone."""
        if self._idle and self._waiting is not None:
            self._waiting.cancel()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                pause = await self._deliver()
            except ServiceUnavailable:
                pause = _OUTBOX_PAUSE  # the pool has said why
            except Exception:
                _log.failure("{target}: cannot deliver", target=self._target.name)
                pause = _OUTBOX_PAUSE
            if pause and not self._stopping:
                await self._sleep(pause)
        await self._forget()

    async def _sleep(self, seconds: float) -> None:
        self._waiting = deferLater(self._clock, seconds)
        try:
            await self._waiting
        except CancelledError:
            pass
        finally:
            self._waiting, self._idle = None, False

    async def _deliver(self) -> float:
        """Deliver some of what waits.

        :returns: the pause that comes then, in seconds.
        """
        await self._forget()
        name = self._target.name
        if not self._leases.holds(name):
            return LOOK
        state, messages = await self._outbox.waiting(name, PAGE)
        if state.holder != self._leases.holder or state.gone == self._target.url_digest:
            return LOOK
        now = int(self._wall_clock())
        if messages and messages[0].queued_at < now - self._limits.age:
            await self._expire(now)
            return 0
        wait = state.due_at - now
        # Nothing is put off for longer: the clock was set since.
        if 0 < wait <= LONGEST_PAUSE:
            return min(wait, _SLICE)
        if not messages:
            self._idle = True
            return LOOK
        return await self._send_all(messages)

    async def _send_all(self, messages: Sequence[Message]) -> float:
        for message in messages:
            if self._stopping:
                break
            try:
                self._waiting = sending = Deferred.fromCoroutine(
                    self._sender.send(self._target, message.id, message.body.encode())
                )
                outcome = await sending
            except CancelledError:
                break
            finally:
                self._waiting = None
            if outcome.verdict is not Verdict.DELIVERED:
                return await self._note(message, outcome)
            self._delivered.append(message.number)
        return 0

    async def _note(self, message: Message, outcome: Outcome) -> float:
        """Note that a message was not delivered.

        :returns: the pause that comes then, in seconds.
        """
        name, now = self._target.name, int(self._wall_clock())
        await self._forget()
        if outcome.verdict is Verdict.GONE:
            digest = self._target.url_digest
            count = await self._outbox.disable(name, digest, "the target is gone", now)
            _log.error(
                "{target} has answered 410 and gets no more messages; {count} were given up",
                target=name,
                count=count,
            )
            return LOOK
        refused = outcome.verdict is Verdict.REFUSED
        if refused and message.refused + 1 >= self._limits.tries:
            await self._outbox.give_up(message, outcome.words, now)
            _log.error(
                "{target} has refused {id} {tries} times: it is given up ({problem})",
                target=name,
                id=message.id,
                tries=message.refused + 1,
                problem=outcome.words,
            )
            return 0
        if message.tries == 0:
            _log.warn(
                "{target} has not taken {id}: {problem}; it is tried again",
                target=name,
                id=message.id,
                problem=outcome.words,
            )
        pause = max(backoff(message.tries, self._jitter()), outcome.pause)
        await self._outbox.failed(message, refused, outcome.words, now + int(pause))
        return min(pause, _SLICE)

    async def _forget(self) -> None:
        """Take out of the outbox what was delivered."""
        if self._delivered:
            await self._outbox.delivered(self._delivered)
            self._delivered.clear()

    async def _expire(self, now: int) -> None:
        before = now - self._limits.age
        count = await self._outbox.expire(self._target.name, before, "it waited too long", now)
        _log.error(
            "{target} could not be reached in time: {count} messages are given up",
            target=self._target.name,
            count=count,
        )
