"""Locks in PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from importlib.resources import files
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, formatEvent
from twisted.trial.unittest import TestCase

from giftless.base.database.migrations import Schema
from giftless.base.database.postgresql import PostgreSQL, PostgreSQLOptions
from giftless.base.threads import Threads
from giftless.errors import ConfigError, ServiceUnavailable
from giftless.lfs.locks import LockQuery
from giftless.locks.postgresql import PostgreSQLFactory
from giftless.locks.store import BY_SHA256, LOCKS, SQLLockStore
from tests.contracts.lockstores import CheckableLockStoreContract, lock_of
from tests.locks.support import (
    BROKEN_SCRIPT,
    INSERT_1,
    NEXT_SCRIPT,
    PostgreSQLTestCase,
    store_over,
    with_script,
)
from tests.support.logs import observe
from tests.support.making import environment
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase

#: The SHA-256 of the script that has made databases of version 1.
EARLIER = "bf8d67bcf75a84c3904550a0dfe333e1abd9d5bc8133b92cbb5c132efebe20fa"


class ContractTests(PostgreSQLTestCase, CheckableLockStoreContract, CoroutineTestCase):
    """It is a lock store, over one database however many there are."""

    def make_store(self) -> SQLLockStore:
        return self.build()


class DatabaseTests(PostgreSQLTestCase, CoroutineTestCase):
    """What databases are taken, and how."""

    def backends(self) -> list[int]:
        """Return the processes that serve the stores of this test."""
        with self.server.connect() as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s", (self.name,)
            ).fetchall()
        return [pid for (pid,) in rows]

    def test_locks_outlast_the_store(self) -> None:
        lock = lock_of()
        self.run_now(self.build().create(lock))
        self.assertEqual(self.run_now(self.build().page(LockQuery(9))).locks, (lock,))

    def test_settings_of_the_database_do_not_matter(self) -> None:
        """What has been acknowledged is on the disk, and conflicts are conflicts."""
        with self.server.connect() as connection:
            for setting in (
                "synchronous_commit = off",
                "default_transaction_isolation = 'serializable'",
                "client_encoding = 'LATIN1'",
            ):
                connection.execute(f"ALTER DATABASE {self.name} SET {setting}")
        connection = PostgreSQL(self.conninfo, 5, LOCKS.schema("postgresql")).connect()
        self.addCleanup(connection.close)
        for name, value in (
            ("synchronous_commit", "on"),
            ("transaction_isolation", "read committed"),
            ("client_encoding", "UTF8"),
        ):
            self.assertEqual(connection.execute(f"SHOW {name}").fetchone(), (value,))

    def test_a_stricter_durability_stays(self) -> None:
        with self.server.connect() as connection:
            connection.execute(f"ALTER DATABASE {self.name} SET synchronous_commit = remote_apply")
        connection = PostgreSQL(self.conninfo, 5, LOCKS.schema("postgresql")).connect()
        self.addCleanup(connection.close)
        self.assertEqual(
            connection.execute("SHOW synchronous_commit").fetchone(), ("remote_apply",)
        )

    def test_an_encoding_that_has_not_all_paths(self) -> None:
        self.name = self.server.make_database("LATIN1")
        error = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "conninfo")
        self.assertIn("LATIN1", error.problem)

    def test_broken_connections_are_replaced(self) -> None:
        """Nobody notices that idle connections have died, however many."""
        store = self.build()
        self.run_now(store.create(lock_of("1")))
        second = PostgreSQL(self.conninfo, 5, LOCKS.schema("postgresql")).connect()
        store._pool._idle.append(second)
        with self.server.connect() as connection:
            for pid in self.backends():
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        lock = lock_of("2")
        self.run_now(store.create(lock))
        self.assertIs(self.run_now(store.remove(lock)), True)
        self.assertEqual(len(self.backends()), 1)

    def test_a_lock_whose_acknowledgement_was_lost(self) -> None:
        """The connection breaks after the insert: the second attempt finds it done."""
        store = self.build()
        lock = lock_of()
        insert = store._insert
        breaks = [True]

        def break_after(connection: Any, lock: Any) -> Any:
            result = insert(connection, lock)
            if breaks.pop() if breaks else False:
                connection.close()
                raise connection.execute.__self__.OperationalError("it broke")
            return result

        store._insert = break_after  # type: ignore[method-assign]
        self.run_now(store.create(lock))
        self.assertEqual(self.run_now(store.page(LockQuery(9))).locks, (lock,))


class MigrationTests(PostgreSQLTestCase, CoroutineTestCase):
    """From each version to the next."""

    def open(self, schema: Schema) -> SQLLockStore:
        """Open a store as another release would."""
        store = store_over(PostgreSQL(self.conninfo, 5, schema))
        self.addCleanup(store._pool.close)
        return store

    def version(self) -> int:
        """Return the version in the database."""
        with self.server.connect(self.name) as connection:
            row = connection.execute("SELECT max(version) FROM giftless_locks_schema").fetchone()
        return int(row[0])

    def test_an_upgrade_keeps_all_locks(self) -> None:
        """Locks stay; an old daemon that still runs is not disturbed; twice is once."""
        old = self.build()
        first, second, third = lock_of("1"), lock_of("2"), lock_of("3")
        self.run_now(old.create(first))
        new = self.open(with_script("postgresql", NEXT_SCRIPT))
        self.assertEqual(self.version(), len(LOCKS.schema("postgresql").scripts) + 1)
        self.run_now(new.create(second))
        self.run_now(old.create(third))
        self.assertEqual(self.run_now(old.page(LockQuery(9))).locks, (third, second, first))
        self.open(with_script("postgresql", NEXT_SCRIPT))
        with self.server.connect(self.name) as connection:
            reasons = connection.execute("SELECT reason FROM giftless_locks").fetchall()
        self.assertEqual(reasons, [("none given; really",)] * 3)

    def test_a_database_that_an_earlier_giftless_made_is_used_as_it_is(self) -> None:
        """It has version 1, in the table that all releases look for."""
        script = (files("giftless.locks") / "schema" / "postgresql-1.sql").read_text()
        self.assertEqual(hashlib.sha256(script.encode()).hexdigest(), EARLIER)
        with self.server.connect(self.name) as connection:
            connection.execute("CREATE TABLE giftless_locks_schema (version integer NOT NULL)")
            connection.execute(script)
            connection.execute("INSERT INTO giftless_locks_schema VALUES (1)")
        self.run_now(self.build().create(lock_of()))
        with self.server.connect(self.name) as connection:
            history = connection.execute("SELECT version FROM giftless_locks_schema").fetchall()
        self.assertEqual(history, [(1,), (len(LOCKS.schema("postgresql").scripts),)])

    def test_a_daemon_of_version_1_goes_on_beside_this_one(self) -> None:
        """What it writes belongs to a name."""
        store = self.build()
        with self.server.connect(self.name) as connection:
            connection.execute(INSERT_1)
        (lock,) = self.run_now(store.page(LockQuery(9))).locks
        self.assertEqual((lock.owner, lock.principal), ("ada", ""))

    def test_a_newer_database(self) -> None:
        self.open(with_script("postgresql", NEXT_SCRIPT))
        error = self.assertRaises(ConfigError, self.build)
        self.assertEqual(error.path, "conninfo")
        self.assertIn("newer giftless", error.problem)

    def test_all_or_nothing(self) -> None:
        """A migration that breaks down leaves no trace."""
        import psycopg

        lock = lock_of()
        self.run_now(self.build().create(lock))
        before = self.version()
        self.assertRaises(psycopg.Error, self.open, with_script("postgresql", BROKEN_SCRIPT))
        self.assertEqual(self.version(), before)
        self.assertEqual(self.run_now(self.build().page(LockQuery(9))).locks, (lock,))
        self.open(with_script("postgresql", NEXT_SCRIPT))

    def test_many_at_once(self) -> None:
        """All of them start on an empty database, and all of them work."""
        import threading

        problems: list[BaseException] = []
        barrier = threading.Barrier(16)

        def begin(number: int) -> None:
            try:
                barrier.wait()
                self.run_now(self.open(LOCKS.schema("postgresql")).create(lock_of(f"{number}")))
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=begin, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        self.assertEqual(len(self.run_now(self.build().page(LockQuery(99))).locks), 16)
        with self.server.connect(self.name) as connection:
            history = connection.execute("SELECT version FROM giftless_locks_schema").fetchall()
        self.assertEqual(history, [(len(LOCKS.schema("postgresql").scripts),)])

    def test_somebody_who_may_not_make_tables(self) -> None:
        """The daemon's user needs the tables and nothing else, once they are there."""
        self.build()
        with self.server.connect(self.name) as connection:
            connection.execute("DROP ROLE IF EXISTS humble")
            connection.execute("CREATE ROLE humble LOGIN")
            connection.execute("GRANT SELECT ON giftless_locks_schema TO humble")
            connection.execute("GRANT SELECT, INSERT, DELETE ON giftless_locks TO humble")
        store = self.build(conninfo=self.conninfo.replace("user=giftless", "user=humble"))
        self.run_now(store.check())
        lock = lock_of()
        self.run_now(store.create(lock))
        self.assertIs(self.run_now(store.remove(lock)), True)


class AbsentServerTests(PostgreSQLTestCase, CoroutineTestCase):
    """A server that is not there, and one that comes and goes."""

    def test_it_comes_and_goes(self) -> None:
        """A daemon starts without it; what cannot be told is 503; then all is well."""
        self.events: list[LogEvent] = []
        observe(self, self.events.append)
        with self.server.away():
            conninfo = f"{self.conninfo} password=hunter2"
            options = PostgreSQLOptions(conninfo=conninfo, connections=1, timeout=20)
            store = PostgreSQLFactory().build(options, environment())
            self.addCleanup(store._pool.close)
            self.assert_fails(ServiceUnavailable, store.create(lock_of()))
            problem = self.assert_fails(ConfigError, store.check())
            self.assertEqual(problem.path, "conninfo")
            self.assertIn("refused", problem.problem)
        lock = lock_of()
        self.run_now(store.create(lock))
        with self.server.away():
            self.assert_fails(ServiceUnavailable, store.page(LockQuery(9)))
        self.assertEqual(self.run_now(store.page(LockQuery(9))).locks, (lock,))
        texts = [formatEvent(event) for event in self.events]
        self.assertTrue(any("there are no locks for now" in text for text in texts), texts)
        self.assertNotIn("hunter2", repr(self.events))


class StuckServerTests(PostgreSQLTestCase, TestCase):
    """A server that says nothing any more, and does not hang up either."""

    def tearDown(self) -> None:
        for pid in self.stopped:
            os.kill(pid, signal.SIGCONT)

    async def test_time_is_limited(self) -> None:
        """The job fails when its time is over, and its thread is free again."""
        self.stopped: list[int] = []
        threads = Threads(reactor, 2)
        threads.startService()
        self.addCleanup(threads.stopService)
        database = PostgreSQL(self.conninfo, 2, LOCKS.schema("postgresql"))
        pool = LOCKS.pool(database, 1, 2, environment(reactor=reactor, blocking=threads))
        await deferToThread(pool.prepare)
        store = SQLLockStore(database, pool, BY_SHA256)
        await store.create(lock_of())
        with self.server.connect() as connection:
            (row,) = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s", (self.name,)
            ).fetchall()
        self.stopped = [row[0]]
        os.kill(row[0], signal.SIGSTOP)
        asked = [Deferred.fromCoroutine(store.page(LockQuery(9))) for _ in range(3)]
        outcomes: list[Any] = []
        for question in asked:
            try:
                outcomes.append(await question)
            except ServiceUnavailable as error:
                outcomes.append(error)
        self.assertIsInstance(outcomes[0], ServiceUnavailable)
        # The next one gets a connection of its own, to a process that answers.
        self.assertEqual(len((await store.page(LockQuery(9))).locks), 1)
        await deferToThread(pool.close)


class OptionTests(CoroutineTestCase):
    """Options that cannot work, none of which is shown if it may be secret."""

    def build(self, conninfo: str) -> ConfigError:
        options = PostgreSQLOptions(conninfo=conninfo)
        return self.assertRaises(ConfigError, PostgreSQLFactory().build, options, environment())

    def test_a_malformed_connection_string_is_not_shown(self) -> None:
        for conninfo in (
            "hunter2",
            "password=hunter2 'x",
            "postgres:/user:hunter2@host/x",
            "postgresql://user:p@hunter2@host/db",
            "host=x paswort=hunter2",
        ):
            error = self.build(conninfo)
            self.assertEqual(error.path, "conninfo")
            self.assertNotIn("hunter2", str(error))
            self.assertIsNone(error.__cause__)

    def test_the_representation_hides_the_password(self) -> None:
        options = PostgreSQLOptions(conninfo="password=hunter2")
        self.assertNotIn("hunter2", f"{options!r} {options}")

    def test_the_driver_is_missing(self) -> None:
        with mock.patch.dict(sys.modules, {"psycopg": None}):
            error = self.build("dbname=x")
        self.assertEqual(error.path, "type")
        self.assertIn("giftless[postgresql]", error.problem)
