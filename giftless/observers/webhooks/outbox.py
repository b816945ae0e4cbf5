"""The outbox: messages that wait in a database until their targets have them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.database.dialect import Connection, Database
from giftless.base.database.pool import Pool

_ADD: Final = (
    "INSERT INTO giftless_webhooks (id, target, event, body, queued_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)

_ADD_TARGET: Final = "INSERT INTO giftless_webhook_targets (name) VALUES (?) ON CONFLICT DO NOTHING"

_GET_TARGET: Final = (
    "SELECT holder, beat, due_at, gone FROM giftless_webhook_targets WHERE name = ?"
)

#: Takes a target over from whoever was seen to hold it, and counts a beat.
_BEAT: Final = (
    "UPDATE giftless_webhook_targets SET holder = ?, beat = beat + 1"
    " WHERE name = ? AND holder = ? AND beat = ?"
)

_RELEASE: Final = "UPDATE giftless_webhook_targets SET holder = '' WHERE holder = ?"

_WAITING: Final = (
    "SELECT number, id, target, event, body, queued_at, tries, refused, problem, dead_at"
    " FROM giftless_webhooks WHERE target = ? AND dead_at IS NULL ORDER BY number LIMIT ?"
)

_FIRST: Final = "SELECT min(number) FROM giftless_webhooks WHERE target = ? AND dead_at IS NULL"

_LAST: Final = "SELECT max(number) FROM giftless_webhooks WHERE target = ? AND dead_at IS NULL"

#: Counts up to a limit only: how much more there is matters to nobody.
_COUNT: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM giftless_webhooks WHERE target = ?"
    " AND dead_at IS NULL LIMIT ?) AS waiting"
)

#: For how long a target whose messages fill the outbox counts as such, in seconds:
#: counting many takes long.
_FULL_SECONDS: Final = 1

_DELETE: Final = "DELETE FROM giftless_webhooks WHERE number IN ({})"

_FAILED: Final = (
    "UPDATE giftless_webhooks SET tries = tries + 1, refused = refused + ?, problem = ?"
    " WHERE number = ?"
)

_PUT_OFF: Final = "UPDATE giftless_webhook_targets SET due_at = ? WHERE name = ?"

_BURY: Final = (
    "UPDATE giftless_webhooks"
    " SET dead_at = ?, problem = ?, tries = tries + ?, refused = refused + ?"
    " WHERE target = ? AND dead_at IS NULL"
)

_DISABLE: Final = "UPDATE giftless_webhook_targets SET gone = ? WHERE name = ?"

_PRUNE: Final = (
    "DELETE FROM giftless_webhooks WHERE target = ? AND dead_at IS NOT NULL AND number <="
    " (SELECT number FROM giftless_webhooks WHERE target = ? AND dead_at IS NOT NULL"
    " ORDER BY number DESC LIMIT 1 OFFSET ?)"
)

_REVIVE: Final = (
    "UPDATE giftless_webhooks"
    " SET dead_at = NULL, tries = 0, refused = 0, problem = '', queued_at = ?"
    " WHERE target = ? AND dead_at IS NOT NULL"
)

_PAGE: Final = (
    "SELECT number, id, target, event, body, queued_at, tries, refused, problem, dead_at"
    " FROM giftless_webhooks WHERE number > ? ORDER BY number LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way to one target.

    :ivar id: the receiver's name for it, the same at each attempt.
    :ivar target: the name of the target.
    :ivar event: the name of the event's type.
    :ivar body: what is sent.
    :ivar queued_at: since when it waits, in seconds since the epoch.
    :ivar number: its place in the outbox; 0 as long as it is not in there.
    :ivar tries: how often it was tried in vain.
    :ivar refused: how often because the target has refused it.
    :ivar problem: what came of the last attempt; empty before the first.
    :ivar dead_at: when it was given up; ``None`` if it waits.
    """

    id: str
    target: str
    event: str
    body: str
    queued_at: int
    number: int = 0
    tries: int = 0
    refused: int = 0
    problem: str = ""
    dead_at: int | None = None


@dataclass(frozen=True, slots=True)
class TargetState:
    """The state of one target in the database.

    :ivar holder: which process delivers to it; empty if none does.
    :ivar beat: how many signs of life its holders have given.
    :ivar due_at: when the next attempt may be made, in seconds since the epoch.
    :ivar gone: the digest of the URL that has answered 410; empty if none has.
    """

    holder: str = ""
    beat: int = 0
    due_at: int = 0
    gone: str = ""


class Outbox:
    """Messages and targets in a database.

    Every method may raise :class:`giftless.errors.ServiceUnavailable`: the database fails.

    :param database: speaks its dialect.
    :param pool: lends connections to it.
    :param capacity: how many messages may wait for one target, and how many that were
        given up are kept.
    :param clock: measures how long ago something was counted.
    """

    def __init__(self, database: Database, pool: Pool, capacity: int, clock: IReactorTime) -> None:
        self._database = database
        self._pool = pool
        self._capacity = capacity
        self._clock = clock
        self._full_until: dict[str, float] = {}

    @property
    def option(self) -> str:
        """The option that says where it is."""
        return self._database.option

    async def add(
        self, make: Callable[[], Sequence[Message]], digests: Mapping[str, str]
    ) -> Mapping[str, int]:
        """Keep messages, durably, all or none.

        :param make: makes them, in a thread, once.
        :param digests: of the targets' URLs, by their names.
        :returns: for how many messages, by target, there is no room.
        """
        made: list[Message] = []

        def job(connection: Connection) -> Mapping[str, int]:
            if not made:
                made.extend(make())
            if not made:
                return {}
            with self._transaction(connection):
                return self._add(connection, made, digests)

        return await self._pool.run(job)

    def _add(
        self, connection: Connection, messages: Sequence[Message], digests: Mapping[str, str]
    ) -> Mapping[str, int]:
        execute = self._database.execute
        room: dict[str, int] = {}
        lost: Counter[str] = Counter()
        for message in messages:
            name = message.target
            if name not in room:
                is_gone = self._state(connection, name).gone == digests[name]
                room[name] = -1 if is_gone else self._room(connection, name)
            if room[name] > 0:
                room[name] -= 1
                row = (message.id, name, message.event, message.body, message.queued_at)
                execute(connection, _ADD, row)
            elif room[name] == 0:
                lost[name] += 1
        return lost

    def _room(self, connection: Connection, name: str) -> int:
        """Return how many messages there is room for, or fewer than there is."""
        execute = self._database.execute
        now = self._clock.seconds()
        if now < self._full_until.get(name, now):
            return 0
        (first,) = execute(connection, _FIRST, (name,)).fetchone()
        if first is None:
            return self._capacity
        (last,) = execute(connection, _LAST, (name,)).fetchone()
        if last is None:
            # The only one was delivered between the two questions.
            return self._capacity
        # Numbers of other targets may lie in between, so these are at least as many.
        waiting = last - first + 1
        if waiting >= self._capacity:
            (waiting,) = execute(connection, _COUNT, (name, self._capacity)).fetchone()
        if waiting >= self._capacity:
            self._full_until[name] = now + _FULL_SECONDS
        return int(self._capacity - waiting)

    async def beat(
        self, names: Sequence[str], take: Callable[[str, TargetState], bool], holder: str
    ) -> Mapping[str, TargetState]:
        """Give a sign of life for the targets that a process holds, and take others over.

        :param take: whether to take a target over from whoever holds it.
        :param holder: the process.
        :returns: what is known of each target then.
        """

        def job(connection: Connection) -> Mapping[str, TargetState]:
            states = {}
            for name in names:
                self._database.execute(connection, _ADD_TARGET, (name,))
                state = self._state(connection, name)
                if state.holder == holder or take(name, state):
                    values = (holder, name, state.holder, state.beat)
                    self._database.execute(connection, _BEAT, values)
                    state = self._state(connection, name)
                states[name] = state
            return states

        return await self._pool.run(job)

    async def release(self, holder: str) -> None:
        """Let others have all targets that a process holds."""
        await self._run(_RELEASE, (holder,))

    async def waiting(self, name: str, limit: int) -> tuple[TargetState, Sequence[Message]]:
        """Return what is known of a target, and the first messages that wait for it."""

        def job(connection: Connection) -> tuple[TargetState, Sequence[Message]]:
            rows = self._database.execute(connection, _WAITING, (name, limit)).fetchall()
            return self._state(connection, name), [_message(row) for row in rows]

        return await self._pool.run(job)

    async def delivered(self, numbers: Sequence[int]) -> None:
        """Forget messages."""

        # One statement is a transaction of its own.
        await self._run(_DELETE.format(", ".join("?" * len(numbers))), tuple(numbers))

    async def failed(self, message: Message, refused: bool, problem: str, due_at: int) -> None:
        """Note that an attempt was in vain.

        :param refused: whether the target has refused the message.
        :param due_at: when the target may be tried again, in seconds since the epoch.
        """
        # Not one transaction: it does no harm if only the first of them is kept.
        await self._run(_FAILED, (int(refused), problem, message.number))
        await self._run(_PUT_OFF, (due_at, message.target))

    async def give_up(self, message: Message, problem: str, now: int) -> None:
        """Set a message aside that was refused, until somebody wants it tried again."""
        which, number = " AND number = ?", message.number
        await self._bury(which, number, message.target, problem, now, refused=True)

    async def expire(self, name: str, before: int, problem: str, now: int) -> int:
        """Set the messages of a target aside that wait since before a time.

        :returns: how many.
        """
        return await self._bury(" AND queued_at < ?", before, name, problem, now)

    async def disable(self, name: str, digest: str, problem: str, now: int) -> int:
        """Leave a target alone as long as its URL is the same, and set its messages aside.

        :returns: how many.
        """
        await self._run(_DISABLE, (digest, name))
        return await self._bury(" AND number > ?", 0, name, problem, now)

    async def revive(self, name: str, ids: Sequence[str], now: int) -> int:
        """Let messages of a target that were given up wait again, and enable it.

        :param ids: which; none for all.
        :returns: how many.
        """

        execute = self._database.execute

        def job(connection: Connection) -> int:
            count = 0
            with self._transaction(connection):
                self._database.execute(connection, _DISABLE, ("", name))
                self._database.execute(connection, _PUT_OFF, (0, name))
                if not ids:
                    return int(execute(connection, _REVIVE, (now, name)).rowcount)
                for each in ids:
                    values = (now, name, each)
                    count += execute(connection, f"{_REVIVE} AND id = ?", values).rowcount
            return count

        return await self._pool.run(job)

    async def page(self, after: int, limit: int) -> Sequence[Message]:
        """Return the messages behind a number, whatever became of them."""

        def job(connection: Connection) -> Sequence[Message]:
            rows = self._database.execute(connection, _PAGE, (after, limit)).fetchall()
            return [_message(row) for row in rows]

        return await self._pool.run(job)

    async def state(self, name: str) -> TargetState:
        """Return what is known of a target."""
        return await self._pool.run(lambda connection: self._state(connection, name))

    async def check(self) -> None:
        """Write something and undo it."""

        def job(connection: Connection) -> None:
            self._database.begin(connection)
            try:
                self._database.execute(connection, _ADD, ("check", "", "check", "", 0))
            finally:
                self._database.execute(connection, "ROLLBACK")

        await self._pool.run(job)

    async def _bury(
        self, which: str, value: int, name: str, problem: str, now: int, refused: bool = False
    ) -> int:
        def job(connection: Connection) -> int:
            with self._transaction(connection):
                values = (now, problem, int(refused), int(refused), name, value)
                count: int = self._database.execute(connection, _BURY + which, values).rowcount
                self._database.execute(connection, _PRUNE, (name, name, self._capacity))
            return count

        return await self._pool.run(job)

    async def _run(self, statement: str, values: Sequence[object]) -> None:
        await self._pool.run(
            lambda connection: self._database.execute(connection, statement, values)
        )

    def _state(self, connection: Connection, name: str) -> TargetState:
        row = self._database.execute(connection, _GET_TARGET, (name,)).fetchone()
        return TargetState() if row is None else TargetState(*row)

    @contextlib.contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        self._database.begin(connection)
        try:
            yield
            self._database.execute(connection, "COMMIT")
        except BaseException:
            # The connection may be gone; then so is the transaction.
            with contextlib.suppress(self._database.errors):
                self._database.execute(connection, "ROLLBACK")
            raise


def _message(row: Sequence[Any]) -> Message:
    number, message_id, target, event, body, queued_at, *rest = row
    return Message(message_id, target, event, body, queued_at, number, *rest)
