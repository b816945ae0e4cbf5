"""Databases of SQLite."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Any, Final

import msgspec

from giftless.base.database.dialect import Connection, Database
from giftless.base.database.mark import Mark
from giftless.base.database.migrations import Schema
from giftless.base.database.pool import Pool
from giftless.base.database.purpose import Purpose
from giftless.base.identities import Remembered, remembered_in
from giftless.base.showing import file_name
from giftless.errors import ConfigError
from giftless.interfaces import Environment


class SQLiteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of what is kept in a file of SQLite.

    :ivar path: the file, on a local disk; by default in the state directory.
    :ivar timeout: how long anything may wait for others who write, in seconds.
    """

    path: str | None = None
    timeout: Annotated[int, msgspec.Meta(ge=1, le=25)] = 10


#: What is inserted for one row.
_VALUES: Final = re.compile(r"\bVALUES (\(\?(?:, \?)*\))")

#: How many rows are inserted by one statement: few numbers, because the driver keeps few
#: statements.
_AT_ONCE: Final = (128, 16, 1)


class _Placed(sqlite3.Connection):
    """A connection that knows which file it was opened for."""

    place: tuple[int, int] | None = None


class SQLite(Database):
    """A file of SQLite.

    It is in WAL mode, so that those who read do not wait for those who write,
    in this process and in others.  ``synchronous`` is ``FULL``: what has been
    acknowledged is on the disk and outlasts a loss of power, not only the
    daemon's end.  That costs about half of the writes a second.

    :param path: the file.
    :param timeout: how long to wait for others who write, in seconds.
    :param schema: the schema's history.
    :param remembered: which file it was; ``None`` if that is not remembered.
    :param checkpoint: how many pages gather in the log before they go into the file: more
        if the same ones change again and again.
    """

    option = "path"
    errors = sqlite3.Error

    def __init__(
        self,
        path: str,
        timeout: int,
        schema: Schema,
        remembered: Remembered | None = None,
        checkpoint: int = 1000,
    ) -> None:
        self._path = path
        self._mark = Mark(schema.identity_table, self.option, remembered)
        self._timeout = timeout
        self._schema = schema
        self._checkpoint = checkpoint

    def connect(self) -> Connection:
        """See :meth:`giftless.base.database.dialect.Database.connect`."""
        self._require_file()
        connection = sqlite3.connect(
            self._path,
            factory=_Placed,
            timeout=self._timeout,
            isolation_level=None,
            # Each job has it alone, but not each in the same thread.
            check_same_thread=False,
        )
        try:
            known = self._mark.known()
            self._use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {self._checkpoint:d}")
            if self._version(connection) == 0:
                self._mark.require_new(known, "is empty")
            self._migrate(connection)
            marked = self._is_marked(connection)
            self._mark.check(known, connection.execute, marked, self.errors)
            connection.place = _place(self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def prepare(self, pool: Pool, directory: str | None) -> None:
        """Make the file, if it is missing, for the daemon alone, and try it.

        :param pool: lends connections to it.
        :param directory: its directory, if that is to be made too.
        :raises ConfigError: if the file cannot be made, opened or used.
        """
        try:
            self._require_file()
            if directory is not None:
                os.makedirs(directory, mode=0o700, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            pool.prepare()
        except OSError as error:
            raise self._unusable(error.strerror) from None
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, problem: object) -> ConfigError:
        return ConfigError(self.option, f"{file_name(self._path)}cannot be used: {problem}")

    def _require_file(self) -> None:
        """Make sure that the file is there, unless it never was: SQLite would make one.

        :raises ConfigError: if it is missing.
        """
        known = self._mark.known()
        if _place(self._path) is None:
            self._mark.require_new(known, "is missing")

    def check_place(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.check_place`.

        What is written to a file that was removed is seen by nobody else.
        """
        if connection.place is not None and connection.place != _place(self._path):
            raise ConfigError(
                self.option,
                f"{self._path!r} is not the file that was opened; put that back, or restart"
                " giftless",
            )

    def execute(self, connection: Connection, statement: str, values: Sequence[object] = ()) -> Any:
        """See :meth:`giftless.base.database.dialect.Database.execute`."""
        return connection.execute(statement, values)

    def execute_many(
        self, connection: Connection, statement: str, rows: Iterable[Sequence[object]]
    ) -> None:
        """See :meth:`giftless.base.database.dialect.Database.execute_many`.

        Each run of a statement gives the interpreter's lock up and has to get it back from
        the reactor, so rows are inserted many at once.
        """
        inserted = _VALUES.search(statement)
        if inserted is None:
            connection.executemany(statement, rows)
            return
        rows = list(rows)
        begun = 0
        for count in _AT_ONCE:
            values = ", ".join([inserted[1]] * count)
            many = f"{statement[: inserted.start(1)]}{values}{statement[inserted.end(1) :]}"
            while len(rows) - begun >= count:
                connection.execute(many, [*chain.from_iterable(rows[begun : begun + count])])
                begun += count

    def begin(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.begin`.

        ``IMMEDIATE``: who reads first and writes then fails, instead of
        waiting, if another one has written meanwhile.
        """
        connection.execute("BEGIN IMMEDIATE")

    def rollback(self, connection: Connection) -> None:
        """See :meth:`giftless.base.database.dialect.Database.rollback`."""
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")

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
                self.option,
                f"{file_name(self._path)}is where SQLite cannot use a write-ahead log",
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
            self.rollback(connection)
            raise

    def _is_marked(self, connection: Connection) -> bool:
        statement = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        (count,) = connection.execute(statement, (self._mark.table,)).fetchone()
        return bool(count)

    def _version(self, connection: Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)


def open_sqlite(
    options: SQLiteOptions,
    purpose: Purpose,
    file: str,
    environment: Environment,
    checkpoint: int = 1000,
) -> tuple[SQLite, Pool]:
    """Open a file, and remember which one it is.  Blocks.

    :param purpose: what the file is for.
    :param file: its name in the state directory, if the options have no path.
    :param checkpoint: see :class:`SQLite`.
    :returns: the database, and connections to it for as long as the services run.
    :raises ConfigError: if the file cannot be made, opened or used.
    """
    path = options.path or os.path.join(environment.state_dir, file)
    remembered = remembered_in(environment.state_dir, f"sqlite {os.path.abspath(path)}")
    database = SQLite(path, options.timeout, purpose.schema("sqlite"), remembered, checkpoint)
    # One at a time: more would only wait for each other.
    pool = purpose.pool(database, 1, options.timeout, environment)
    database.prepare(pool, environment.state_dir if options.path is None else None)
    pool.setServiceParent(environment.services)
    return database, pool


def _place(path: str) -> tuple[int, int] | None:
    """Return which file is at a path: device and inode; ``None`` if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _statements(script: str) -> list[str]:
    """Divide a script, which SQLite's driver would not run in a transaction."""
    statements = [""]
    for line in script.splitlines(keepends=True):
        statements[-1] += line
        if sqlite3.complete_statement(statements[-1]):
            statements.append("")
    return [statement for statement in statements if statement.strip()]
