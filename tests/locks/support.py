"""Lock stores over real databases, whose blocking work is done at once."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.database.dialect import Database
from giftless.base.database.migrations import Schema
from giftless.base.database.postgresql import PostgreSQL
from giftless.locks.store import BY_PATH, BY_SHA256, LOCKS, SQLLockStore
from tests.support import postgresql
from tests.support.making import environment

#: Adds a column, as a later release might; what version 1 does still works.
NEXT_SCRIPT = """
-- A comment; with a semicolon.
ALTER TABLE giftless_locks ADD COLUMN reason text NOT NULL DEFAULT 'none given; really';

CREATE INDEX giftless_locks_by_owner ON giftless_locks (owner);
"""

#: How a daemon of version 1 writes a lock; it may still run.
INSERT_1 = (
    "INSERT INTO giftless_locks (id, repo, path, owner, locked_at)"
    " VALUES ('1', 'org/repo', 'a.psd', 'ada', 1700000000) ON CONFLICT DO NOTHING"
)

#: Breaks down after it has done something.
BROKEN_SCRIPT = """
ALTER TABLE giftless_locks ADD COLUMN reason text;
ALTER TABLE no_such_table ADD COLUMN reason text;
"""


def with_script(name: str, script: str) -> Schema:
    """Return the schema of a release to come."""
    schema = LOCKS.schema(name)
    return replace(schema, scripts=(*schema.scripts, script))


def store_over(database: Database, clock: Any = None, size: int = 1) -> SQLLockStore:
    """Return a store that does everything at once, and its pool as ``pool``."""
    pool = LOCKS.pool(database, size, 5, environment(reactor=clock or Clock()))
    pool.prepare()
    return SQLLockStore(database, pool, BY_SHA256 if isinstance(database, PostgreSQL) else BY_PATH)


def lock_store(case: Any, path: str, **options: Any) -> SQLLockStore:
    """Build a store in a file as a configuration would, for as long as a test runs."""
    from giftless.base.database.sqlite import SQLiteOptions
    from giftless.locks.sqlite import SQLiteFactory

    given = SQLiteOptions(path=path, **options)
    store = SQLiteFactory().build(given, environment(str(Path(path).parent)))
    case.addCleanup(store._pool.close)
    return store


class SQLiteTestCase(SynchronousTestCase):
    """A test with a directory for a database."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="giftless-locks-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "locks.sqlite"
        super().setUp()

    def build(self, **options: Any) -> SQLLockStore:
        """Build a store as a configuration would."""
        return lock_store(self, str(self.path), **options)


class PostgreSQLTestCase(postgresql.PostgreSQLTestCase):
    """A test with a database of its own in a server that all share."""

    def build(self, state_dir: str = "", **options: Any) -> SQLLockStore:
        """Build a store as a configuration would."""
        from giftless.base.database.postgresql import PostgreSQLOptions
        from giftless.locks.postgresql import PostgreSQLFactory

        given = {"conninfo": self.conninfo, "connections": 1, **options}
        store = PostgreSQLFactory().build(PostgreSQLOptions(**given), environment(state_dir))
        self.addCleanup(store._pool.close)
        return store
