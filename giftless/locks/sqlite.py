"""``locks: {type: sqlite}``: locks in a file, for all workers of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from giftless.base.database.dialect import Connection, Database, Schema
from giftless.base.database.pool import Pool
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.locks.store import SQLLockStore

#: The file's name in the daemon's state directory.
FILE: Final = "locks.sqlite"


class SQLiteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``locks: {type: sqlite}``.

    :ivar path: the file, on a local disk; by default in the state directory.
    :ivar timeout: how long anything may wait for others who write, in seconds.
    """

    path: str | None = None
    timeout: Annotated[int, msgspec.Meta(ge=1, le=25)] = 10


class SQLite(Database):
    """A file of SQLite.

    It is in WAL mode, so that those who read do not wait for those who write,
    in this process and in others.  ``synchronous`` is ``FULL``: what has been
    acknowledged is on the disk and outlasts a loss of power, not only the
    daemon's end.  That costs about half of the locks a second.

    :param path: the file.
    :param timeout: how long to wait for others who write, in seconds.
    :param schema: the schema's history.
    """

    option = "path"
    errors = sqlite3.Error

    def __init__(self, path: str, timeout: int, schema: Schema) -> None:
        self._path = path
        self._timeout = timeout
        self._schema = schema

    def connect(self) -> Connection:
        """See :meth:`giftless.base.database.dialect.Database.connect`."""
        connection = sqlite3.connect(
            self._path,
            timeout=self._timeout,
            isolation_level=None,
            # Each job has it alone, but not each in the same thread.
            check_same_thread=False,
        )
        try:
            self._use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def execute(self, connection: Connection, statement: str, values: Sequence[object] = ()) -> Any:
        """See :meth:`giftless.base.database.dialect.Database.execute`."""
        return connection.execute(statement, values)

    def begin(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.begin`.

        ``IMMEDIATE``: who reads first and writes then fails, instead of
        waiting, if another one has written meanwhile.
        """
        connection.execute("BEGIN IMMEDIATE")

    def is_lost(self, connection: Connection) -> bool:
        """See :meth:`giftless.base.database.dialect.Database.is_lost`."""
        return False

    def abort(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.abort`."""
        connection.interrupt()

    def _use_wal(self, connection: Connection) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                # Several who open a new file at once: SQLite does not wait by itself here.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if mode != "wal":
            raise ConfigError(
                self.option, f"{self._path!r} is where SQLite cannot use a write-ahead log"
            )

    def _migrate(self, connection: Connection) -> None:
        if self._version(connection) == self._schema.version:
            return
        self.begin(connection)
        try:
            for script in self._schema.pending(self._version(connection), self.option):
                for statement in _statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {self._schema.version:d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _version(self, connection: Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)


class SQLiteFactory:
    """Builds a lock store from :class:`SQLiteOptions`."""

    Options = SQLiteOptions

    def build(self, options: SQLiteOptions, environment: Environment) -> SQLLockStore:
        """See :meth:`giftless.interfaces.ILockStoreFactory.build`.

        :raises ConfigError: if the file cannot be made, opened or used.
        """
        path = options.path or os.path.join(environment.state_dir, FILE)
        database = SQLite(path, options.timeout, Schema.load("sqlite"))
        # One at a time: more would only wait for each other.
        pool = Pool(database, 1, options.timeout, environment.blocking, environment.reactor)
        try:
            _prepare(path, environment.state_dir if options.path is None else None)
            pool.prepare()
        except OSError as error:
            raise ConfigError("path", f"{path!r} cannot be used: {error.strerror}") from None
        except sqlite3.Error as error:
            raise ConfigError("path", f"{path!r} cannot be used: {error}") from None
        pool.setServiceParent(environment.services)
        return SQLLockStore(database, pool)


def _prepare(path: str, directory: str | None) -> None:
    """Make the file, readable for the daemon alone, and its directory."""
    if directory is not None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _statements(script: str) -> list[str]:
    """Divide a script, which SQLite's driver would not run in a transaction."""
    statements = [""]
    for line in script.splitlines(keepends=True):
        statements[-1] += line
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return [statement for statement in statements if statement.strip()]
