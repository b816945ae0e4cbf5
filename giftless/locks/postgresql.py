"""``locks: {type: postgresql}``: locks that several daemons share."""

from __future__ import annotations

from giftless.base.database.postgresql import PostgreSQLOptions, open_postgresql
from giftless.interfaces import Environment
from giftless.locks.store import BY_SHA256, LOCKS, SQLLockStore


class PostgreSQLFactory:
    """Builds a lock store in a database of PostgreSQL."""

    Options = PostgreSQLOptions

    def build(self, options: PostgreSQLOptions, environment: Environment) -> SQLLockStore:
        """See :meth:`giftless.interfaces.ILockStoreFactory.build`.

        While the server does not answer, requests for locks are answered with 503.

        :raises ConfigError: if the options, or what is in the database, cannot
            be used.
        """
        return SQLLockStore(*open_postgresql(options, LOCKS, environment), BY_SHA256)
