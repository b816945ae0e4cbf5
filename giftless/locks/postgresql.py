"""``locks: {type: postgresql}``: locks that several daemons share.

The driver is psycopg 3, which comes with the extra ``giftless[postgresql]``.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from twisted.logger import Logger

from giftless.base.database.dialect import Connection, Database, Schema
from giftless.base.database.pool import Pool
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.locks.store import SQLLockStore

_log = Logger()

#: Who migrates holds this advisory lock: "giftless" in ASCII.
_MIGRATING: Final = 0x676966746C657373

#: What a connection needs to be, whatever the database's own settings are: what
#: has been acknowledged is on the disk, and a conflict is one with what is there.
_SETTINGS: Final = (
    (
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    ),
    "SET default_transaction_isolation = 'read committed'",
)


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


class PostgreSQL(Database):
    """A database of PostgreSQL.

    :param conninfo: how to reach it.
    :param timeout: how long to try, in seconds.
    :param schema: the schema's history.
    :raises ConfigError: if the driver is missing, or ``conninfo`` is malformed.
    """

    option = "conninfo"
    path_condition = "path_sha256 = ?"

    def __init__(self, conninfo: str, timeout: int, schema: Schema) -> None:
        try:
            import psycopg
        except ImportError:
            raise ConfigError(
                "type", "the Python package psycopg is missing; install giftless[postgresql]"
            ) from None
        self._psycopg = psycopg
        self._schema = schema
        self._parameters = _parse(psycopg, conninfo, timeout)
        self.errors = psycopg.Error

    def connect(self) -> Connection:
        """See :meth:`giftless.base.database.dialect.Database.connect`."""
        connection = self._psycopg.connect(**self._parameters, autocommit=True)
        try:
            self._check_encoding(connection)
            for statement in _SETTINGS:
                connection.execute(statement)
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def execute(self, connection: Connection, statement: str, values: Sequence[object] = ()) -> Any:
        """See :meth:`giftless.base.database.dialect.Database.execute`."""
        return connection.execute(statement.replace("?", "%s"), values)

    def begin(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.begin`."""
        connection.execute("BEGIN")

    def is_lost(self, connection: Connection) -> bool:
        """See :meth:`giftless.base.database.dialect.Database.is_lost`."""
        return bool(connection.closed)

    def abort(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.abort`.

        Whoever waits for the server finds that it has hung up.
        """
        try:
            with socket.socket(fileno=os.dup(connection.fileno())) as shared:
                shared.shutdown(socket.SHUT_RDWR)
        except (OSError, self.errors):
            pass  # it has ended by itself

    def path_value(self, path: str) -> bytes:
        """See :meth:`giftless.base.database.dialect.Database.path_value`."""
        return hashlib.sha256(path.encode()).digest()

    def _check_encoding(self, connection: Connection) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ConfigError(
                self.option,
                f"the database's encoding is {encoding}, which has not all paths; make one with"
                " ENCODING 'UTF8'",
            )

    def _migrate(self, connection: Connection) -> None:
        # Needs no right to make tables where there is nothing to do.
        if self._version(connection) == self._schema.version:
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
            connection.execute(
                "CREATE TABLE IF NOT EXISTS giftless_locks_schema (version integer NOT NULL)"
            )
            pending = self._schema.pending(self._version(connection), self.option)
            for script in pending:
                connection.execute(script)
            if pending:
                connection.execute(
                    "INSERT INTO giftless_locks_schema VALUES (%s)", (self._schema.version,)
                )

    def _version(self, connection: Connection) -> int:
        (table,) = connection.execute("SELECT to_regclass('giftless_locks_schema')").fetchone()
        if table is None:
            return 0
        (version,) = connection.execute("SELECT max(version) FROM giftless_locks_schema").fetchone()
        return int(version or 0)


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
        database = PostgreSQL(options.conninfo, options.timeout, Schema.load("postgresql"))
        pool = Pool(
            database,
            options.connections,
            options.timeout,
            environment.blocking,
            environment.reactor,
        )
        try:
            pool.prepare()
        except database.errors as error:
            _log.error("there are no locks for now: {error}", error=str(error).strip())
        pool.setServiceParent(environment.services)
        return SQLLockStore(database, pool)


def _parse(psycopg: Any, conninfo: str, timeout: int) -> Mapping[str, Any]:
    """Read a connection string, and fill in what it leaves open."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.Error:
        given = None  # the driver's words have the string in them, and so perhaps a password
    # A password with a '@' that is not written as %40 would be taken for part of
    # the host, which is shown.
    if given is None or "@" in f"{given.get('host')} {given.get('port')}":
        raise ConfigError(
            "conninfo",
            "is malformed, allowed is 'host=… dbname=… user=…' or postgresql://user@host/dbname",
        )
    return {
        "connect_timeout": timeout,
        "tcp_user_timeout": timeout * 1000,
        "fallback_application_name": "giftless",
        **given,
        "client_encoding": "UTF8",
    }
