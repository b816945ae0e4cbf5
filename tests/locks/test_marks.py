"""A database of locks is recognised: one that is gone or emptied has not "no locks"."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from giftless.base.database.sqlite import SQLite, SQLiteOptions
from giftless.errors import ConfigError, LocksUnavailable
from giftless.lfs.locks import LockQuery
from giftless.locks.sqlite import SQLiteFactory
from giftless.locks.store import SQLLockStore
from tests.contracts.lockstores import lock_of
from tests.locks.support import PostgreSQLTestCase
from tests.support.making import environment
from tests.support.run import CoroutineTestCase


class SQLiteMarkTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.path = self.directory / "locks.sqlite"
        self.state = self.directory / "state"

    def build(self) -> SQLLockStore:
        """Build a store, as a start or ``--check`` does."""
        around = environment(str(self.state))
        store = SQLiteFactory().build(SQLiteOptions(path=str(self.path)), around)
        self.addCleanup(store._pool.close)
        return store

    def locks(self, store: SQLLockStore) -> Any:
        """Return all locks."""
        return self.run_now(store.page(LockQuery(9))).locks

    def remove(self) -> None:
        """Remove the file, and those beside it."""
        for file in self.directory.glob("locks.sqlite*"):
            file.unlink()

    def refusal(self) -> str:
        """Return why the daemon does not start."""
        error: ConfigError = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "path")
        return error.problem

    def remembered(self) -> Path:
        """Return the one file that remembers."""
        (file,) = (self.state / "stores").iterdir()
        return file

    def test_a_database_is_marked_and_remembered(self) -> None:
        lock = lock_of()
        self.run_now(self.build().create(lock))
        self.assertIn(f" sqlite {self.path}", self.remembered().read_text())
        self.assertEqual(self.locks(self.build()), (lock,))

    def test_a_missing_file_is_refused_and_not_made(self) -> None:
        self.build()
        self.remove()
        problem = self.refusal()
        self.assertIn("is missing", problem)
        self.assertIn(str(self.remembered()), problem)
        self.assertFalse(self.path.exists())
        self.remembered().unlink()
        self.build()

    def test_an_empty_file_is_refused(self) -> None:
        self.build()
        self.remove()
        self.path.touch()
        self.assertIn("is empty", self.refusal())

    def test_another_database_is_refused(self) -> None:
        self.build()
        self.remove()
        state, self.state = self.state, self.directory / "other"
        self.build()
        self.state = state
        self.assertIn("the mark of another database", self.refusal())

    def test_a_database_without_a_mark_is_marked_unless_one_is_remembered(self) -> None:
        self.build()
        with sqlite3.connect(self.path) as database:
            database.execute("DROP TABLE giftless_locks_schema_identity")
        database.close()
        self.assertIn("lacks the mark", self.refusal())
        self.remembered().unlink()
        self.build()
        self.build()

    def start_beside(self, look: str) -> None:
        """Open a new database, which another process opens after one look at it.

        :param look: the method that looks.
        """
        others: list[SQLLockStore] = []
        real: Callable[[SQLite, Any], object] = getattr(SQLite, look)

        def late(database: SQLite, connection: Any) -> object:
            found = real(database, connection)
            if not others:
                patch.restore()
                others.append(self.build())
            return found

        patch = self.patch(SQLite, look, late)
        self.assertEqual(self.locks(self.build()), ())
        self.assertEqual(len(others), 1)

    def test_another_process_may_fill_a_database_that_was_found_empty(self) -> None:
        self.start_beside("_version")

    def test_another_process_may_mark_a_database_that_had_no_mark(self) -> None:
        self.start_beside("_is_marked")

    def test_another_process_may_have_made_no_more_than_the_table_of_the_mark(self) -> None:
        self.build()
        self.remembered().unlink()
        with sqlite3.connect(self.path) as database:
            database.execute("DELETE FROM giftless_locks_schema_identity")
        self.assertEqual(self.locks(self.build()), ())
        ((identity,),) = database.execute("SELECT id FROM giftless_locks_schema_identity")
        database.close()
        self.assertIn(identity, self.remembered().read_text())

    def test_a_table_without_a_mark_is_refused_if_one_is_remembered(self) -> None:
        self.build()
        with sqlite3.connect(self.path) as database:
            database.execute("DELETE FROM giftless_locks_schema_identity")
        database.close()
        self.assertIn("the mark of another database", self.refusal())

    def test_a_file_that_is_removed_while_it_is_used_is_503(self) -> None:
        """Locks would go where nobody else sees them, and be lost with the process."""
        store, other = self.build(), self.build()
        lock = lock_of()
        self.run_now(store.create(lock))
        away = self.directory / "away"
        away.mkdir()
        for file in self.directory.glob("locks.sqlite*"):
            shutil.move(file, away)
        for one in (store, other):
            self.assert_fails(LocksUnavailable, one.create(lock_of("2")))
            self.assert_fails(LocksUnavailable, one.page(LockQuery(9)))
        self.assertFalse(self.path.exists())
        for file in away.iterdir():
            shutil.move(file, self.directory)
        for one in (store, other):
            self.assertEqual(self.locks(one), (lock,))

    def test_a_new_file_in_its_place_is_503(self) -> None:
        store = self.build()
        self.run_now(store.create(lock_of()))
        self.path.rename(self.directory / "away")
        self.path.touch()
        error = self.assert_fails(LocksUnavailable, store.page(LockQuery(9)))
        self.assertGreater(error.retry_after, 0)


class PostgreSQLMarkTests(PostgreSQLTestCase, CoroutineTestCase):
    def test_a_database_that_was_emptied_is_refused_and_503(self) -> None:
        state = self.mktemp()
        store = self.build(state)
        self.run_now(store.create(lock_of()))
        self.run_now(self.build(state).check())
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        error: ConfigError = self.assertRaises(ConfigError, self.build, state)
        self.assertEqual(error.path, "conninfo")
        self.assertIn("is empty", error.problem)
        self.assertIn(f"{state}/stores/", error.problem)
        self.assert_fails(LocksUnavailable, store.page(LockQuery(9)))
        store._pool.close()
        self.assert_fails(LocksUnavailable, store.page(LockQuery(9)))

    def test_no_password_is_remembered(self) -> None:
        state = self.mktemp()
        self.build(state)
        (file,) = Path(state, "stores").iterdir()
        self.assertIn(" postgresql ", file.read_text())
        self.assertNotIn("password", file.read_text())
