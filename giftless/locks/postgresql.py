"""``locks: {type: postgresql}``: locks that several daemons share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from twisted.logger import Logger

from giftless.base.database.postgresql import PostgreSQL
from giftless.base.showing import without_quotes
from giftless.interfaces import Environment
from giftless.locks.store import BY_SHA256, SQLLockStore, lock_pool, lock_schema

_log = Logger()


class PostgreSQLOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``locks: {type: postgresql}``.

    :ivar conninfo: libpq's connection string or URI; best from the environment
        if it has a password.  What it leaves out is where libpq looks for it:
        ``PGHOST`` and so on, ``~/.pgpass``.
    :ivar connections: the most connections that one process opens.
    :ivar timeout: how long anything may take, in seconds.
    """

    conninfo: str = ""
    connections: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    timeout: Annotated[int, msgspec.Meta(ge=2, le=25)] = 10

    def __repr__(self) -> str:
        """Leave out ``conninfo``: it may hold a password."""
        return f"<PostgreSQLOptions: {self.connections} connections>"


class PostgreSQLFactory:
    """Builds a lock store from :class:`PostgreSQLOptions`."""

    Options = PostgreSQLOptions

    def build(self, options: PostgreSQLOptions, environment: Environment) -> SQLLockStore:
        """See :meth:`giftless.interfaces.ILockStoreFactory.build`.

        A server that does not answer is no reason not to serve objects: locks
        are answered with 503 until it does.

        :raises ConfigError: if the options, or what is in the database, cannot
            be used.
        """
        database = PostgreSQL(
            options.conninfo, options.timeout, lock_schema("postgresql"), environment.state_dir
        )
        pool = lock_pool(database, options.connections, options.timeout, environment)
        try:
            pool.prepare()
        except database.errors as error:
            _log.error("there are no locks for now: {error}", error=without_quotes(error))
        pool.setServiceParent(environment.services)
        return SQLLockStore(database, pool, BY_SHA256)
