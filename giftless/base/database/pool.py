"""Connections to a database, lent to jobs in worker threads.

The threads are the daemon's own; what waits for the database waits outside of
them, and for a limited time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import DeferredSemaphore, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from giftless.base.database.dialect import Connection, Database
from giftless.base.showing import without_quotes
from giftless.errors import ConfigError, LFSError, ServiceUnavailable
from giftless.interfaces import IBlocking

T = TypeVar("T")

#: How long :meth:`Pool.pause` takes, in seconds.
PAUSE: Final = 0.2


class Pool(Service):
    """Runs jobs with a connection each.

    Connections are made by the first jobs, and so after the process has left its
    terminal: none of SQLite's may be taken through a fork.

    :param database: makes the connections.
    :param size: the most jobs that run at once.
    :param timeout: how long a job may wait for its turn, and then may take, in
        seconds.
    :param blocking: runs the jobs.
    :param clock: tells the time.
    :param purpose: what is in the database, for the log: "the locks".
    :param unavailable: makes what clients are told while the database fails.
    """

    log = Logger()

    def __init__(
        self,
        database: Database,
        size: int,
        timeout: int,
        blocking: IBlocking,
        clock: IReactorTime,
        purpose: str,
        unavailable: Callable[[], ServiceUnavailable],
    ) -> None:
        self._purpose = purpose
        self._unavailable = unavailable
        self._database = database
        self._timeout = timeout
        self._blocking = blocking
        self._clock = clock
        self._turns = DeferredSemaphore(size)
        # Threads take from it and put back; both are atomic.
        self._idle: list[Connection] = []

    def prepare(self) -> None:
        """Bring the database up to date.  Blocks.

        :raises ConfigError: if the database cannot be used as it is.
        """
        self._database.connect().close()

    def stopService(self) -> Awaitable[None]:
        """Close the connections.  No job may run any more."""
        super().stopService()
        return self._blocking.run(self.close)

    async def run(self, job: Callable[[Connection], T]) -> T:
        """Call ``job(connection)`` in a thread.

        It is called once more, with another connection, if the one that it had
        is lost: it must not matter whether the first call did its work.

        :raises ServiceUnavailable: if the database fails, or takes too long.
        """
        try:
            await self._turns.acquire().addTimeout(self._timeout, self._clock)
        except TimeoutError:
            self.log.error("the database of {purpose} is too busy", purpose=self._purpose)
            raise self._unavailable() from None
        loan = _Loan(self._database)
        watchdog = self._clock.callLater(self._timeout, loan.expire)
        try:
            return await self._blocking.run(self._lend, loan, job)
        except (self._database.errors, ConfigError) as error:
            problem = without_quotes(error)
            self.log.error(
                "the database of {purpose} fails: {error}", purpose=self._purpose, error=problem
            )
            raise self._unavailable() from error
        finally:
            if watchdog.active():
                watchdog.cancel()
            self._turns.release()

    async def pause(self) -> None:
        """Let other processes write, before somebody writes again who has much to write.

        Those who wait for SQLite's lock look for it every tenth of a second, and nobody
        keeps it for them.
        """
        await deferLater(self._clock, PAUSE)

    async def check(self, job: Callable[[Connection], object]) -> None:
        """Call a job that shows whether the database can be used.

        :raises ConfigError: if it cannot.
        """
        try:
            await self.run(job)
        except LFSError as error:
            raise ConfigError(
                self._database.option,
                f"the database cannot be used: {without_quotes(error.__cause__ or error)}",
            ) from None

    def close(self) -> None:
        """Close the connections that nobody uses.  Blocks."""
        while (connection := self._take()) is not None:
            connection.close()

    def _lend(self, loan: _Loan, job: Callable[[Connection], T]) -> T:
        again = True
        while True:
            connection = self._take() or self._database.connect()
            try:
                loan.hold(connection)
                self._database.check_place(connection)
                result = job(connection)
            except BaseException as error:
                loan.give_back()
                if not self._database.is_lost(connection):
                    self._idle.append(connection)
                    raise
                connection.close()
                if not again or loan.expired or not isinstance(error, self._database.errors):
                    raise
                # Whatever ended it has ended those that were idle as well.
                self.close()
                again = False
            else:
                # First: its time may be over now, and the connection another job's.
                loan.give_back()
                self._idle.append(connection)
                return result

    def _take(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


class _Loan:
    """A connection that a job uses for a limited time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection = None
        self.expired = False

    def hold(self, connection: Connection) -> None:
        """Note the job's connection.  Called in the job's thread."""
        self._connection = connection
        if self.expired:
            raise self._database.errors("its time was over before it began")

    def give_back(self) -> None:
        """Forget the connection, which is not the job's any more.  Called in its thread."""
        self._connection = None

    def expire(self) -> None:
        """Make the job fail.  Called in the reactor's thread."""
        self.expired = True
        connection = self._connection
        if connection is not None:
            self._database.abort(connection)
