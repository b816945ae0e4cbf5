"""Databases of PostgreSQL.

The driver is psycopg 3, which comes with the extra ``giftless[postgresql]``.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from twisted.logger import Logger

from giftless.base.database.dialect import Connection, Database
from giftless.base.database.mark import Mark
from giftless.base.database.migrations import Schema
from giftless.base.database.pool import Pool
from giftless.base.database.purpose import Purpose
from giftless.base.identities import remembered_in
from giftless.base.showing import without_quotes
from giftless.errors import ConfigError
from giftless.interfaces import Environment

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

#: What a table with versions takes; its name stands for ``{}``.
_FIND_TABLE: Final = "SELECT to_regclass(%s)"
_MAKE_TABLE: Final = "CREATE TABLE IF NOT EXISTS {} (version integer NOT NULL)"
_SET_VERSION: Final = "INSERT INTO {} VALUES (%s)"
_GET_VERSION: Final = "SELECT max(version) FROM {}"


class PostgreSQLOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of what is kept in a database of PostgreSQL.

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
    :param state_dir: where it is remembered which database it was; ``None`` for nowhere.
    :param purpose: what is in it, if one database may be used for several purposes:
        each is remembered by itself.
    :raises ConfigError: if the driver is missing, or ``conninfo`` is malformed.
    """

    option = "conninfo"

    def __init__(
        self,
        conninfo: str,
        timeout: int,
        schema: Schema,
        state_dir: str | None = None,
        purpose: str = "",
    ) -> None:
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
        remembered = None if state_dir is None else remembered_in(state_dir, self._place(purpose))
        self._mark = Mark(schema.identity_table, self.option, remembered)

    def connect(self) -> Connection:
        """See :meth:`giftless.base.database.dialect.Database.connect`."""
        connection = self._psycopg.connect(**self._parameters, autocommit=True)
        try:
            known = self._mark.known()
            self._check_encoding(connection)
            for statement in _SETTINGS:
                connection.execute(statement)
            if self._version(connection) == 0:
                self._mark.require_new(known, "is empty")
            self._migrate(connection)
            self._recognise(connection, known)
        except BaseException:
            connection.close()
            raise
        return connection

    def check_place(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.check_place`: it always does."""

    def execute(self, connection: Connection, statement: str, values: Sequence[object] = ()) -> Any:
        """See :meth:`giftless.base.database.dialect.Database.execute`."""
        return connection.execute(statement.replace("?", "%s"), values)

    def execute_many(
        self, connection: Connection, statement: str, rows: Iterable[Sequence[object]]
    ) -> None:
        """See :meth:`giftless.base.database.dialect.Database.execute_many`."""
        with connection.cursor() as cursor:
            cursor.executemany(statement.replace("?", "%s"), rows)

    def begin(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.begin`."""
        connection.execute("BEGIN")

    def rollback(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.rollback`."""
        with contextlib.suppress(self.errors):
            connection.rollback()

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

    def _check_encoding(self, connection: Connection) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise ConfigError(
                self.option,
                f"the database's encoding is {encoding}, which cannot hold every text; make one"
                " with ENCODING 'UTF8'",
            )

    def _migrate(self, connection: Connection) -> None:
        # Needs no right to make tables where there is nothing to do.
        if self._version(connection) == self._schema.version:
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
            connection.execute(_MAKE_TABLE.format(self._schema.table))
            pending = self._schema.pending(self._version(connection), self.option)
            for script in pending:
                connection.execute(script)
            if pending:
                connection.execute(_SET_VERSION.format(self._schema.table), (self._schema.version,))

    def _place(self, purpose: str) -> str:
        """Say which database it is, without a password."""
        told = (
            self._parameters.get(name) or os.environ.get(variable, "")
            for name, variable in (("host", "PGHOST"), ("port", "PGPORT"), ("dbname", "PGDATABASE"))
        )
        return " ".join(map(str, ("postgresql", *([purpose] if purpose else []), *told)))

    def _recognise(self, connection: Connection, known: str | None) -> None:
        (table,) = connection.execute(_FIND_TABLE, (self._mark.table,)).fetchone()
        with connection.transaction():
            if table is None:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))

            def execute(statement: str, values: tuple[object, ...] = ()) -> Any:
                return self.execute(connection, statement, values)

            self._mark.check(known, execute, table is not None, self.errors)

    def _version(self, connection: Connection) -> int:
        (table,) = connection.execute(_FIND_TABLE, (self._schema.table,)).fetchone()
        if table is None:
            return 0
        (version,) = connection.execute(_GET_VERSION.format(self._schema.table)).fetchone()
        return int(version or 0)


def open_postgresql(
    options: PostgreSQLOptions, purpose: Purpose, environment: Environment
) -> tuple[PostgreSQL, Pool]:
    """Open a database, and remember which one it is.  Blocks.

    A server that does not answer is no reason not to serve objects: what needs the
    database is answered with 503 until it does.

    :param purpose: what the database is for.
    :returns: the database, and connections to it for as long as the services run.
    :raises ConfigError: if the options, or what is in the database, cannot be used.
    """
    schema, state_dir = purpose.schema("postgresql"), environment.state_dir
    database = PostgreSQL(options.conninfo, options.timeout, schema, state_dir, purpose.place)
    pool = purpose.pool(database, options.connections, options.timeout, environment)
    try:
        pool.prepare()
    except database.errors as error:
        _log.error("{lack} for now: {error}", lack=purpose.lack, error=without_quotes(error))
    pool.setServiceParent(environment.services)
    return database, pool


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
