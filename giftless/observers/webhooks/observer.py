"""The observer: events go into the outbox, behind the requests that they are about."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.concurrency import settle
from giftless.base.database.pool import Pool
from giftless.base.showing import without_quotes
from giftless.errors import ConfigError, LFSError, ServiceUnavailable
from giftless.interfaces import Event, ICheckable, IObserver, WallClock
from giftless.observers.rendering import data_of, encode, name_of, repo_of, time_text
from giftless.observers.webhooks.courier import Courier
from giftless.observers.webhooks.leases import BEAT, Leases
from giftless.observers.webhooks.options import Target
from giftless.observers.webhooks.outbox import Message, Outbox
from giftless.observers.webhooks.sending import Sender

_log = Logger(namespace="giftless.webhooks")

#: How many events are kept in memory while the database fails.
MAX_PENDING: Final = 10_000

#: For how long events are gathered after some were written, in seconds: a transaction costs
#: much more than an event, and under load there are many of these.
_TOGETHER: Final = 0.02

#: When the database is tried again after it has failed, in seconds.
_RETRY: Final = 2

#: After how many seconds a process may begin to deliver: commands end before that, and
#: leave it to the daemon.
_FIRST: Final = 1

#: An event and when it happened, in seconds since the epoch.
_Entry = tuple[float, Event]


def message_of(name: str, when: float, data: Mapping[str, object], target: str) -> Message:
    """Make the message about one fact, with an id of its own.

    :param name: the name of the event's type.
    :param when: in seconds since the epoch.
    """
    body = encode({"type": name, "timestamp": time_text(when), "data": data})
    return Message(f"msg_{uuid.uuid4().hex}", target, name, body, int(when))


@implementer(IObserver, ICheckable)
class Webhooks(Service):
    """Keeps events in the outbox, and delivers what waits there.

    :param targets: by name.
    :param couriers: deliver, one to each target.
    :param pool: the outbox's connections, which are closed last.
    :param option: the option that says where the outbox is.
    :ivar targets: by name.
    :ivar outbox: where messages wait.
    :ivar sender: sends messages.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        outbox: Outbox,
        sender: Sender,
        leases: Leases,
        couriers: Mapping[str, Courier],
        pool: Pool,
        option: str,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self.targets = targets
        self.outbox = outbox
        self.sender = sender
        self._leases = leases
        self._couriers = couriers
        self._pool = pool
        self._option = option
        self._clock = clock
        self._wall_clock = wall_clock
        self._wanted = frozenset[str]().union(*(target.events for target in targets.values()))
        self._digests = {name: target.url_digest for name, target in targets.items()}
        self._pending: list[_Entry] = []
        self._dropped = 0
        self._pause: float = _TOGETHER
        self._due: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._first: IDelayedCall | None = None
        self._pulse = LoopingCall(self._beat)
        self._pulse.clock = clock

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        if name_of(event) not in self._wanted:
            return
        if len(self._pending) >= MAX_PENDING:
            self._dropped += 1
            return
        self._pending.append((self._wall_clock(), event))
        if self._due is None and self._writing is None:
            self._due = self._clock.callLater(0, self._begin)

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`: write something and undo it."""
        try:
            await self.outbox.check()
        except LFSError as error:
            problem = without_quotes(error.__cause__ or error)
            raise ConfigError(self._option, f"the database cannot be used: {problem}") from None

    def startService(self) -> None:
        """Begin to deliver."""
        super().startService()
        self._first = self._clock.callLater(_FIRST, self._pulse.start, BEAT)
        for courier in self._couriers.values():
            courier.start()

    async def stopService(self) -> None:
        """Deliver no more, and keep what was observed."""
        started = bool(self.running)
        super().stopService()
        if started:
            if self._pulse.running:
                self._pulse.stop()
            elif self._first is not None:
                self._first.cancel()
            await settle(courier.stop() for courier in self._couriers.values())
        await self.sender.close()
        if self._due is not None:
            self._due.cancel()
            self._begin()
        while self._writing is not None:
            await self._writing
        if self._pending:
            _log.error("{count} events could not be kept for webhooks", count=len(self._pending))
        if started:
            await self._release()
        await self._pool.stopService()

    def _begin(self) -> None:
        self._due = None
        if not self._pending:
            return
        self._writing = Deferred.fromCoroutine(self._write())
        self._writing.addBoth(self._ended)

    def _ended(self, result: None) -> None:
        self._writing = None
        if self.running:
            self._due = self._clock.callLater(self._pause, self._begin)
        elif self._pending and self._pause == _TOGETHER:
            self._begin()
        return result

    async def _write(self) -> None:
        """Put all that is pending into the outbox, in one transaction."""
        entries, self._pending = self._pending, []
        try:
            lost = await self.outbox.add(lambda: self._messages(entries), self._digests)
        except ServiceUnavailable:
            # The pool has said why.
            self._pending = entries + self._pending
            self._pause = _RETRY
            return
        self._pause = _TOGETHER
        for name, count in lost.items():
            _log.error(
                "there is no room for {count} messages to {target}", count=count, target=name
            )
        if self._dropped:
            _log.error("{count} events are lost for webhooks", count=self._dropped)
            self._dropped = 0
        for courier in self._couriers.values():
            courier.wake()

    def _messages(self, entries: Sequence[_Entry]) -> Sequence[Message]:
        """Make the messages about events.  Called in a thread."""
        messages = []
        for when, event in entries:
            name, repo = name_of(event), repo_of(event)
            assert name is not None, "only what has a name is wanted"
            for target in self.targets.values():
                if name in target.events and target.wants(repo):
                    messages.append(message_of(name, when, data_of(event), target.name))
        return messages

    async def _beat(self) -> None:
        try:
            await self._leases.beat()
        except ServiceUnavailable:
            pass  # the pool has said why
        except Exception:
            _log.failure("webhooks: cannot tell who delivers")

    async def _release(self) -> None:
        # If that fails, others see that the beats have stopped.
        with contextlib.suppress(ServiceUnavailable):
            await self._leases.release()
