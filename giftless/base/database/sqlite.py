"""Databases of SQLite."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from giftless.base.database.dialect import Connection, Database
from giftless.base.database.migrations import Schema
from giftless.errors import ConfigError


class SQLite(Database):
    """A file of SQLite.

    It is in WAL mode, so that those who read do not wait for those who write,
    in this process and in others.  ``synchronous`` is ``FULL``: what has been
    acknowledged is on the disk and outlasts a loss of power, not only the
    daemon's end.  That costs about half of the writes a second.

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


def make_file(path: str, directory: str | None) -> None:
    """Make a database's file, if it is missing, for the daemon alone.

    :param directory: its directory, if that is to be made too.
    :raises OSError: if the file cannot be made or written.
    """
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
