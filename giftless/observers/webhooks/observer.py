"""The observer: events go into the outbox, behind the requests that they are about."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.concurrency import settle
from giftless.base.database.pool import Pool
from giftless.base.showing import without_quotes
from giftless.errors import ConfigError, LFSError, ServiceUnavailable
from giftless.interfaces import Environment, Event, ICheckable, IObserver
from giftless.lfs.objects import Repo
from giftless.observers.rendering import data_of, encode, name_of, repo_of, time_text
from giftless.observers.webhooks.courier import Courier
from giftless.observers.webhooks.journal import Abandoned, Journal
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


@dataclass(frozen=True, slots=True)
class Fact:
    """An event, as receivers are told of it.

    :ivar id: its name among all.
    :ivar name: the name of its type.
    :ivar when: when it happened, in whole seconds since the epoch.
    :ivar repo: the path of its repository; ``None`` if it has none.
    :ivar body: what receivers get.
    """

    id: str
    name: str
    when: int
    repo: str | None
    body: str

    @classmethod
    def make(
        cls, name: str, when: float, data: Mapping[str, object], repo: Repo | None = None
    ) -> Fact:
        """Make a fact with an id of its own.

        :param when: in seconds since the epoch.
        """
        body = encode({"type": name, "timestamp": time_text(when), "data": data})
        path = None if repo is None else repo.path
        return cls(f"msg_{uuid.uuid4().hex}", name, int(when), path, body)

    @property
    def line(self) -> bytes:
        """The fact as a line of a journal."""
        repo = json.dumps(self.repo)
        return f"{self.id}\t{self.name}\t{self.when}\t{repo}\t{self.body}\n".encode()

    @classmethod
    def parse(cls, line: bytes) -> Fact | None:
        """Read what ``line`` has written, without its newline; ``None`` if it is damaged."""
        try:
            fact_id, name, when, repo, body = line.decode().split("\t")
            return cls(fact_id, name, int(when), json.loads(repo), body)
        except ValueError:
            return None

    def message_to(self, target: str) -> Message:
        """Return the message about it to a target."""
        return Message(self.id, target, self.name, self.body, self.when)


@implementer(IObserver, ICheckable)
class Webhooks(Service):
    """Keeps events in the outbox, and delivers what waits there.

    :param targets: by name.
    :param couriers: deliver, one to each target.
    :param pool: the outbox's connections, which are closed last.
    :param journals: the directory for what is not in the outbox yet.
    :param environment: lends the reactor, the threads and the wall clock.
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
        journals: str,
        environment: Environment,
    ) -> None:
        self.targets = targets
        self.outbox = outbox
        self.sender = sender
        self._leases = leases
        self._couriers = couriers
        self._pool = pool
        self._journal = Journal(journals)
        self._abandoned = Abandoned(journals)
        self._blocking = environment.blocking
        self._clock = environment.reactor
        self._wall_clock = environment.wall_clock
        self._wanted = frozenset[str]().union(*(target.events for target in targets.values()))
        self._digests = {name: target.url_digest for name, target in targets.items()}
        self._pending: list[Fact] = []
        self._dropped = 0
        self._pause: float = _TOGETHER
        self._due: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._first: IDelayedCall | None = None
        self._pulse = LoopingCall(self._beat)
        self._pulse.clock = environment.reactor

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        name = name_of(event)
        if name is None or name not in self._wanted:
            return
        if len(self._pending) >= MAX_PENDING:
            self._dropped += 1
            return
        fact = Fact.make(name, self._wall_clock(), data_of(event), repo_of(event))
        self._pending.append(fact)
        try:
            self._journal.append(fact.line)
        except OSError as error:
            # It is in memory, and nothing happens if that is not lost.
            _log.warn("the journal of webhooks: {error}", error=error.strerror)
        if self._due is None and self._writing is None:
            self._due = self._clock.callLater(0, self._begin)

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`: write something and undo it."""
        try:
            await self.outbox.check()
        except LFSError as error:
            problem = without_quotes(error.__cause__ or error)
            option = self.outbox.option
            raise ConfigError(option, f"the database cannot be used: {problem}") from None

    def startService(self) -> None:
        """Begin to deliver."""
        super().startService()
        try:
            self._journal.open()
        except OSError as error:
            _log.error("there is no journal of webhooks: {error}", error=error.strerror)
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
        await self._blocking.run(self._journal.close)
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
        facts, self._pending = self._pending, []
        self._journal.begin()
        try:
            await self._add(facts)
        except Exception as error:
            if not isinstance(error, ServiceUnavailable):  # the pool has said why
                _log.failure("events cannot be put into the outbox of webhooks")
            self._pending = facts + self._pending
            self._pause = _RETRY
            return
        await self._blocking.run(self._journal.commit)
        self._pause = _TOGETHER
        if self._dropped:
            _log.error("{count} events are lost for webhooks", count=self._dropped)
            self._dropped = 0
        for courier in self._couriers.values():
            courier.wake()

    async def _add(self, facts: Sequence[Fact]) -> None:
        """Put messages about facts into the outbox."""
        lost = await self.outbox.add(lambda: self._messages(facts), self._digests)
        for name, count in lost.items():
            _log.error(
                "there is no room for {count} messages to {target}", count=count, target=name
            )

    async def _recover(self) -> None:
        """Put into the outbox what processes have left that have died."""
        lines = await self._blocking.run(self._abandoned.take)
        added = False
        try:
            if lines:
                facts = list(filter(None, map(Fact.parse, lines)))
                await self._add(facts)
                _log.info("{count} events of a process that has died are kept", count=len(facts))
            added = True
        finally:
            await self._blocking.run(self._abandoned.release, added)

    def _messages(self, facts: Sequence[Fact]) -> Sequence[Message]:
        """Make the messages about facts.  Called in a thread."""
        return [
            fact.message_to(target.name)
            for fact in facts
            for target in self.targets.values()
            if fact.name in target.events and target.wants(fact.repo)
        ]

    async def _beat(self) -> None:
        try:
            await self._leases.beat()
            await self._recover()
        except ServiceUnavailable:
            pass  # the pool has said why
        except Exception:
            _log.failure("webhooks: cannot tell who delivers")

    async def _release(self) -> None:
        # If that fails, others see that the beats have stopped.
        with contextlib.suppress(ServiceUnavailable):
            await self._leases.release()
