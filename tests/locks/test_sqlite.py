"""Locks in a file of SQLite."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from giftless.base.database.migrations import Schema
from giftless.base.database.sqlite import SQLite, SQLiteOptions
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.lfs.locks import LockQuery
from giftless.locks.sqlite import SQLiteFactory
from giftless.locks.store import BY_PATH, LOCKS, SQLLockStore
from tests.contracts.lockstores import CheckableLockStoreContract, lock_of
from tests.locks.support import (
    BROKEN_SCRIPT,
    INSERT_1,
    NEXT_SCRIPT,
    SQLiteTestCase,
    store_over,
    with_script,
)
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.making import environment
from tests.support.run import CoroutineTestCase

#: What version 1 of a file is: a dump of one, and its version.
EARLIER = """
PRAGMA journal_mode = WAL;
BEGIN TRANSACTION;
CREATE TABLE giftless_locks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    repo TEXT NOT NULL,
    path TEXT NOT NULL,
    owner TEXT NOT NULL,
    locked_at INTEGER NOT NULL,  -- seconds since the epoch
    UNIQUE (repo, path)
);
INSERT INTO giftless_locks VALUES
    (1, '0123456789abcdef', 'org/repo', '\u00fc.psd', 'ada', 1700000000);
CREATE INDEX giftless_locks_in_order ON giftless_locks (repo, number);
PRAGMA user_version = 1;
COMMIT;
"""


class ContractTests(SQLiteTestCase, CheckableLockStoreContract, CoroutineTestCase):
    """It is a lock store, over one file however many there are."""

    def make_store(self) -> SQLLockStore:
        return self.build()


class FileTests(SQLiteTestCase, CoroutineTestCase):
    """The file, and what is wrong with others."""

    def test_it_is_in_the_state_directory(self) -> None:
        """Both are made, for the daemon alone."""
        state = self.directory / "state"
        store = SQLiteFactory().build(SQLiteOptions(), environment(str(state)))
        self.addCleanup(store._pool.close)
        self.run_now(store.check())
        self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o700)
        for name in ("locks.sqlite", "locks.sqlite-wal", "locks.sqlite-shm"):
            self.assertEqual(stat.S_IMODE((state / name).stat().st_mode), 0o600)

    def test_locks_outlast_the_store(self) -> None:
        lock = lock_of()
        self.run_now(self.build().create(lock))
        self.assertEqual(self.run_now(self.build().page(LockQuery(9))).locks, (lock,))

    def test_it_is_not_open_before_it_is_used(self) -> None:
        """``twistd`` builds everything, then forks; SQLite does not outlast that."""
        store = self.build()
        self.assertEqual(self.open_files(), [])
        self.run_now(store.create(lock_of()))
        self.assertNotEqual(self.open_files(), [])

    def test_it_is_closed_at_the_end(self) -> None:
        """Then all is in the one file, which can be copied."""
        around = environment(str(self.directory))
        around.services.startService()
        store = SQLiteFactory().build(SQLiteOptions(path=str(self.path)), around)
        self.run_now(store.create(lock_of()))
        around.services.stopService()
        self.assertEqual(self.open_files(), [])
        self.assertEqual(
            {path.name for path in self.directory.iterdir()}, {"locks.sqlite", "stores"}
        )

    def open_files(self) -> list[str]:
        """Return the files of the database that this process has open."""
        links = [os.readlink(link) for link in self.descriptors()]
        return [link for link in links if link.startswith(str(self.path))]

    def descriptors(self) -> list[Path]:
        """Return the descriptors of this process."""
        return [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]

    def test_every_commit_is_on_the_disk(self) -> None:
        """A write-ahead log that each commit flushes: nothing acknowledged is lost."""
        connection = SQLite(str(self.path), 5, LOCKS.schema("sqlite")).connect()
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("PRAGMA journal_mode").fetchone(), ("wal",))
        self.assertEqual(connection.execute("PRAGMA synchronous").fetchone(), (2,))

    def test_no_place_for_it(self) -> None:
        self.path = self.directory / "missing" / "locks.sqlite"
        error = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "path")
        self.assertIn("No such file", error.problem)

    def test_something_else_in_its_place(self) -> None:
        self.path.write_bytes(b"what is this? " * 1000)
        error = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "path")
        self.assertIn("not a database", error.problem)

    def test_a_write_ahead_log_is_needed(self) -> None:
        database = SQLite(":memory:", 5, LOCKS.schema("sqlite"))
        self.assertEqual(self.assertRaises(ConfigError, database.connect).path, "path")

    def test_a_writer_that_does_not_end(self) -> None:
        """Another process keeps the file: 503 after a while, then all is well again."""
        store = self.build(timeout=5)
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        error = self.assert_fails(ServiceUnavailable, store.create(lock_of()))
        self.assertGreater(error.retry_after, 0)
        self.assertEqual(self.run_now(store.page(LockQuery(9))).locks, ())
        self.assertIn("locked", self.assert_fails(ConfigError, store.check()).problem)
        other.execute("ROLLBACK")
        self.run_now(store.create(lock_of()))
        self.run_now(store.check())


class MigrationTests(SQLiteTestCase, CoroutineTestCase):
    """From each version to the next."""

    def test_a_package_without_its_schema_is_refused(self) -> None:
        """Every database would look up to date, and lack all tables."""
        error = self.assertRaises(ConfigError, Schema.load, "giftless.locks", "absent", "x")
        self.assertIn("not installed as a whole", str(error))

    def open(self, schema: Schema) -> SQLLockStore:
        """Open a store as another release would."""
        store = store_over(SQLite(str(self.path), 10, schema))
        self.addCleanup(store._pool.close)
        return store

    def version(self) -> int:
        """Return the version in the file."""
        connection = sqlite3.connect(self.path)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.close()
        return int(version)

    def test_an_upgrade_keeps_all_locks(self) -> None:
        """Locks stay; an old daemon that still runs is not disturbed; twice is once."""
        old = self.build()
        first, second, third = lock_of("1"), lock_of("2"), lock_of("3")
        self.run_now(old.create(first))
        new = self.open(with_script("sqlite", NEXT_SCRIPT))
        self.assertEqual(self.version(), len(LOCKS.schema("sqlite").scripts) + 1)
        self.run_now(new.create(second))
        self.run_now(old.create(third))
        self.assertEqual(self.run_now(old.page(LockQuery(9))).locks, (third, second, first))
        self.open(with_script("sqlite", NEXT_SCRIPT))
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        reasons = connection.execute("SELECT reason FROM giftless_locks").fetchall()
        self.assertEqual(reasons, [("none given; really",)] * 3)

    def test_a_file_that_an_earlier_giftless_made_is_used_as_it_is(self) -> None:
        """Its tables are not made again, and its locks are found."""
        earlier = sqlite3.connect(self.path)
        earlier.executescript(EARLIER)
        earlier.close()
        store = self.build()
        (lock,) = self.run_now(store.page(LockQuery(9))).locks
        self.assertEqual(
            (lock.id, lock.path, lock.owner), ("0123456789abcdef", "\u00fc.psd", "ada")
        )
        query = LockQuery(9, lock.repo, path="\u00fc.psd")
        self.assertEqual(self.run_now(store.page(query)).locks, (lock,))
        self.assertEqual(lock.principal, "", "it knew names alone")
        self.run_now(store.create(lock_of()))
        self.assertEqual(self.version(), len(LOCKS.schema("sqlite").scripts))

    def test_a_daemon_of_version_1_goes_on_beside_this_one(self) -> None:
        """What it writes belongs to a name."""
        store = self.build()
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(INSERT_1)
        connection.close()
        (lock,) = self.run_now(store.page(LockQuery(9))).locks
        self.assertEqual((lock.owner, lock.principal), ("ada", ""))

    def test_a_newer_database(self) -> None:
        self.open(with_script("sqlite", NEXT_SCRIPT))
        error = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "path")
        self.assertIn("newer giftless", error.problem)

    def test_all_or_nothing(self) -> None:
        """A migration that breaks down leaves no trace."""
        lock = lock_of()
        self.run_now(self.build().create(lock))
        before = self.version()
        self.assertRaises(sqlite3.OperationalError, self.open, with_script("sqlite", BROKEN_SCRIPT))
        self.assertEqual(self.version(), before)
        self.assertEqual(self.run_now(self.build().page(LockQuery(9))).locks, (lock,))
        # Nor is anything in the way of one that works.
        self.open(with_script("sqlite", NEXT_SCRIPT))

    def test_many_processes_at_once(self) -> None:
        """All of them start on a file that is not there, and all of them work."""
        context = multiprocessing.get_context("fork")
        pool = context.Pool(8)
        ids = pool.map(_start, [str(self.path)] * 16, chunksize=1)
        # Not killed: one that has the lock of their queue would keep the others waiting.
        pool.close()
        pool.join()
        store = self.build()
        locks = self.run_now(store.page(LockQuery(100))).locks
        self.assertEqual(sorted(lock.id for lock in locks), sorted(ids))


class TimeTests(SQLiteTestCase, CoroutineTestCase):
    """Nobody waits for ever."""

    def test_a_queue_that_does_not_move(self) -> None:
        """Who waits for a turn gives up, and does nothing later."""
        clock, blocking = Clock(), ManualBlocking()
        database = SQLite(str(self.path), 5, LOCKS.schema("sqlite"))
        pool = LOCKS.pool(database, 1, 5, environment(reactor=clock, blocking=blocking))
        self.addCleanup(pool.close)
        store = SQLLockStore(database, pool, BY_PATH)
        slow, waiting = lock_of("slow"), lock_of("waiting")
        first = self.start(store.create(slow))
        second = self.start(store.create(waiting))
        clock.advance(4)
        self.assertNoResult(second)
        clock.advance(1)
        self.failureResultOf(second, ServiceUnavailable)
        # The first one's time is over as well: it must not begin now.
        self.assertNoResult(first)
        blocking.do_next()
        self.failureResultOf(first, ServiceUnavailable)
        third = self.start(store.page(LockQuery(9)))
        blocking.do_next()
        self.assertEqual(self.successResultOf(third).locks, ())
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_time_that_is_over_when_the_work_is_done(self) -> None:
        """The connection may be another job's by then, which must not be disturbed."""
        clock = Clock()

        class Slow(InlineBlocking):
            """Comes back to the reactor late."""

            def run(self, function: Any, *args: Any) -> Any:
                outcome = super().run(function, *args)
                clock.advance(5)
                return outcome

        aborted: list[Any] = []
        database: Any = SQLite(str(self.path), 5, LOCKS.schema("sqlite"))
        database.abort = aborted.append
        pool = LOCKS.pool(database, 1, 5, environment(reactor=clock, blocking=Slow()))
        self.addCleanup(pool.close)
        self.run_now(SQLLockStore(database, pool, BY_PATH).create(lock_of()))
        self.assertEqual(aborted, [])


def _start(path: str) -> str:
    """Open a store in a process of its own and create a lock.

    :returns: its id.
    """
    from twisted.internet.defer import Deferred

    store: Any = store_over(SQLite(path, 20, LOCKS.schema("sqlite")))
    lock = lock_of(f"{os.getpid()}-{os.urandom(4).hex()}")
    lock = type(lock)(os.urandom(8).hex(), lock.repo, lock.path, lock.owner, lock.locked_at)
    failures: list[Any] = []
    Deferred.fromCoroutine(store.create(lock)).addErrback(failures.append)
    assert not failures, failures
    assert Path(path).exists()
    return lock.id
