"""What a database is for: its schema, and what the log and clients are told if it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from giftless.base.database.dialect import Database
from giftless.base.database.migrations import Schema
from giftless.base.database.pool import Pool
from giftless.errors import ServiceUnavailable
from giftless.interfaces import Environment

#: When clients may ask again after a database has failed, in seconds.
RETRY_AFTER: Final = 5


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a database is for.

    :ivar name: names what is in it: ``the locks``.
    :ivar lack: says that it is not there: ``there are no locks``.
    :ivar package: the package that has the folder ``schema``.
    :ivar table: see :attr:`giftless.base.database.migrations.Schema.table`.
    :ivar error: what requests are refused with while the database fails.
    :ivar place: tells it from what else may be in one database of PostgreSQL: each is
        remembered by itself.
    """

    name: str
    lack: str
    package: str
    table: str
    error: type[ServiceUnavailable]
    place: str = ""

    def schema(self, dialect: str) -> Schema:
        """Return the history of its tables.

        :param dialect: ``sqlite`` or ``postgresql``.
        """
        return Schema.load(self.package, dialect, self.table)

    def pool(self, database: Database, size: int, timeout: int, environment: Environment) -> Pool:
        """Return a pool of connections to its database.

        :param size: the most jobs that run at once.
        :param timeout: how long a job may take, in seconds.
        """
        blocking, reactor = environment.blocking, environment.reactor
        return Pool(database, size, timeout, blocking, reactor, self.name, self.unavailable)

    def unavailable(self) -> ServiceUnavailable:
        """Make what clients are told while the database fails."""
        return self.error(f"{self.name} cannot be reached now; try again later", RETRY_AFTER)
