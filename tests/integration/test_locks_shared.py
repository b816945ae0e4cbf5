"""Locks that several daemons share, that outlast kill -9, and that cannot be reached."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sqlite3
import threading
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tests.integration.locking import AUTH, LOCKS, Person, at_once, check, giftless
from tests.integration.sharing import SharingTestCase
from tests.integration.support import REPO, Daemon, IntegrationTestCase
from tests.support.postgresql import PostgreSQLServer, postgresql
from tests.support.processes import ENDED, wait_until
from tests.support.rounds import rounds
from tests.support.servers import shared

#: How many requests arrive at once.
CROWD = 100

#: How many connections there are when a daemon is killed.
WORKING = 8


class SharedLocksContract:
    """Tests of daemons over one lock store."""

    def section(self: Any) -> dict[str, Any]:
        """Return the ``locks`` section of a store that other tests may use."""
        raise NotImplementedError

    def own_section(self: Any) -> dict[str, Any]:
        """Return the ``locks`` section of this test's store."""
        raise NotImplementedError

    def serve(self: Any, name: str = "daemon") -> Daemon:
        """Share a daemon.

        :param name: tells it from others over the same store.
        """
        # Another configuration is another daemon.
        config = {"auth": AUTH, "locks": self.section(), "state_dir": f"{name}-state"}
        daemon: Daemon = self.share_daemon(**config)
        return daemon

    def serve_alone(self: Any, **config: Any) -> Daemon:
        """Start a daemon that the test may stop."""
        config = {"auth": AUTH, "locks": self.own_section(), **config}
        daemon: Daemon = self.start_daemon(config=config)
        return daemon

    def person(self: Any, daemon: Daemon, name: str) -> Person:
        """Connect somebody."""
        person = Person(daemon, name, f"/{self.repo}.git/info/lfs/locks")
        self.addCleanup(person.close)
        return person

    def race(self: Any, daemons: list[Daemon], path: str) -> None:
        """Let a crowd ask for one path: one gets it, and everybody knows who."""
        people = [
            self.person(daemons[number % len(daemons)], f"person-{number}")
            for number in range(CROWD)
        ]
        replies = at_once([partial(person.lock, path) for person in people])
        winners = [n for n, reply in enumerate(replies) if reply.status == 201]
        self.assertEqual(len(winners), 1)
        self.assertEqual([reply.status for reply in replies].count(409), CROWD - 1)
        lock = replies[winners[0]].json["lock"]
        self.assertEqual(lock["owner"]["name"], f"person-{winners[0]}")
        for reply in replies:
            self.assertEqual(reply.json["lock"], lock)
            if reply.status == 409:
                self.assertIn(f"person-{winners[0]} ", reply.json["message"])

    def test_one_of_a_hundred_requests_gets_the_lock(self: Any) -> None:
        """A hundred simultaneous requests for one path, to one process."""
        daemon = self.serve()
        for path in ("first", "second"):
            self.race([daemon], path)

    def test_a_crowd_at_several_daemons(self: Any) -> None:
        """The same, to three processes that share the store."""
        daemons = [self.serve(name) for name in ("daemon", "second", "third")]
        for path in ("first", "second", "third"):
            self.race(daemons, path)
        listed = [self.person(daemon, "x").all_locks() for daemon in daemons]
        self.assertEqual(len(listed[0]), 3)
        self.assertEqual(listed.count(listed[0]), 3)

    def test_unlocking_at_once(self: Any) -> None:
        """A lock is removed once, whoever tries; the others are told that it is gone."""
        daemons = [self.serve(name) for name in ("daemon", "second")]
        lock = self.person(daemons[0], "olga").lock("path").json["lock"]
        people = [self.person(daemons[number % 2], "olga") for number in range(20)]
        replies = at_once([partial(person.unlock, lock["id"]) for person in people])
        statuses = [reply.status for reply in replies]
        self.assertEqual((statuses.count(200), statuses.count(404)), (1, 19))

    def test_a_killed_daemon_loses_no_acknowledged_lock(self: Any) -> None:
        """kill -9 loses nothing that was acknowledged, and keeps nothing else.

        But what was committed while its answer was on the way: of each
        connection one request at most.
        """
        daemon = self.serve_alone()
        acknowledged: dict[str, str] = {}
        released: set[str] = set()
        in_flight: dict[int, str] = {}

        def work(number: int) -> None:
            person = self.person(daemon, f"person-{number}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                for step in range(100_000):
                    path = in_flight[number] = f"{number}/{step}"
                    reply = person.lock(path)
                    self.assertEqual(reply.status, 201)
                    acknowledged[path] = reply.json["lock"]["id"]
                    if step % 3 == 0:
                        in_flight[number] = path
                        self.assertEqual(person.unlock(acknowledged[path]).status, 200)
                        released.add(path)

        for _ in range(rounds(2, 20)):
            threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKING)]
            before = len(acknowledged)
            for thread in threads:
                thread.start()
            wait_until(lambda: len(acknowledged) > before + rounds(40, 200), "some locks")  # noqa: B023
            daemon.kill()
            for thread in threads:
                thread.join()
            daemon.start()
            person = self.person(daemon, "person-0")
            found = {lock["path"]: lock for lock in person.all_locks()}
            uncertain = set(in_flight.values())
            self.assertLessEqual(len(uncertain), WORKING)
            self.assertEqual(set(acknowledged) - released - set(found) - uncertain, set(), "lost")
            self.assertEqual(set(found) - set(acknowledged) - uncertain, set(), "never promised")
            self.assertEqual(set(found) & released, set(), "came back")
            # Whoever has lost an answer asks again, and knows.
            for number, path in in_flight.items():
                reply = self.person(daemon, f"person-{number}").lock(path)
                self.assertIn(reply.status, (201, 409))
                self.assertEqual(reply.json["lock"]["owner"]["name"], f"person-{number}")
            for lock in person.all_locks():
                self.assertEqual(person.unlock(lock["id"], force=True).status, 200)
            acknowledged.clear()
            released.clear()
            in_flight.clear()

    def test_a_clean_stop(self: Any) -> None:
        """Connections to the database hold up nothing, and locks stay."""
        daemon = self.serve_alone(shutdown_timeout=3600)
        lock = self.person(daemon, "olga").lock("path").json["lock"]
        self.assertEqual(daemon.stop(), ENDED)
        daemon.start()
        self.assertEqual(self.person(daemon, "olga").all_locks(), [lock])

    def test_commands_beside_daemons(self: Any) -> None:
        daemon = self.serve()
        config = str(daemon.directory / "giftless.yaml")
        lock = self.person(daemon, "olga").lock("path").json["lock"]
        listed = giftless(daemon, "locks", "--config", config, "list")
        self.assertIn(lock["id"], listed.stdout)
        released = giftless(daemon, "locks", "release", "--config", config, lock["id"])
        self.assertEqual((released.returncode, released.stderr), (0, ""))
        self.assertEqual(self.person(daemon, "oskar").lock("path").status, 201)

    def test_the_check_accepts_the_configuration(self: Any) -> None:
        daemon = self.make_daemon(config={"auth": AUTH, "locks": self.own_section()})
        result = check(daemon)
        self.assertEqual(result.returncode, 0, result.stderr)

    def assert_not_started(self: Any, *words: str) -> None:
        """Check that a daemon does not start, and says why in one line."""
        daemon = self.make_daemon(config={"auth": AUTH, "locks": self.own_section()})
        result = check(daemon)
        self.assertEqual(result.returncode, 1)
        (line,) = result.stderr.strip().splitlines()
        for word in words:
            self.assertIn(word, line)


class SQLiteTests(SharedLocksContract, SharingTestCase):
    """One file of SQLite."""

    def section(self) -> dict[str, Any]:
        directory = self.share("sqlite", nullcontext)
        return {"type": "sqlite", "path": str(directory / "locks.sqlite")}

    def own_section(self) -> dict[str, Any]:
        return {"type": "sqlite", "path": str(self.directory / "locks.sqlite")}

    def test_a_newer_database(self) -> None:
        self.serve_alone().stop()
        with sqlite3.connect(self.directory / "locks.sqlite") as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        self.directory.joinpath("daemon").rename(self.directory / "old")
        self.assert_not_started("locks.path", "version 99", "newer giftless")


class PostgreSQLTests(SharedLocksContract, SharingTestCase):
    """One database of PostgreSQL."""

    def setUp(self) -> None:
        super().setUp()
        self.server: PostgreSQLServer = shared(postgresql)

    def section(self) -> dict[str, Any]:
        name = self.share("postgresql", lambda _: nullcontext(self.server.make_database()))
        return {"type": "postgresql", "conninfo": self.server.conninfo(name)}

    @cached_property
    def name(self) -> str:
        """A database of this test's."""
        return self.server.make_database()

    def own_section(self) -> dict[str, Any]:
        return {"type": "postgresql", "conninfo": self.server.conninfo(self.name)}

    def test_a_newer_database(self) -> None:
        self.serve_alone().stop()
        with self.server.connect(self.name) as connection:
            connection.execute("INSERT INTO giftless_locks_schema VALUES (99)")
        self.directory.joinpath("daemon").rename(self.directory / "old")
        self.assert_not_started("locks.conninfo", "version 99", "newer giftless")


class OutageTests(IntegrationTestCase):
    """A PostgreSQL that goes away while people push."""

    def setUp(self) -> None:
        super().setUp()
        self.server: PostgreSQLServer = shared(postgresql)
        self.name = self.server.lend_database(self)

    def conninfo(self) -> str:
        """How to reach it, with a password that is nobody's business."""
        return f"{self.server.conninfo(self.name)} password=hunter2"

    def serve(self, **options: Any) -> Daemon:
        """Start a daemon that has the connection string from the environment."""
        return self.start_daemon(
            config={
                "log_format": "json",
                "locks": {"type": "postgresql", "timeout": 5, "anonymous": True, **options},
            },
            environ={"GIFTLESS_LOCKS__CONNINFO": self.conninfo()},
        )

    def status(self, daemon: Daemon) -> int:
        """Return the status of a list of locks."""
        return daemon.request("GET", LOCKS).status

    def test_it_goes_and_comes(self) -> None:
        """Pushes go on unless somebody insists, and no clone forgets that there are locks."""
        daemon = self.serve()
        url = f"{daemon.url}/{REPO}.git/info/lfs"
        repo = self.make_git().create(self.directory / "work", url)
        repo.commit({"one.bin": b"1"})
        repo.push()
        repo.git("lfs", "lock", "one.bin")
        with self.server.away():
            response = daemon.request("GET", LOCKS)
            self.assertEqual(response.status, 503)
            self.assertGreater(int(response.headers["retry-after"]), 0)
            repo.commit({"two.bin": b"2"})
            repo.push()
            noted = repo.commands.try_run(repo.directory, "config", f"lfs.{url}.locksverify")
            self.assertEqual(noted.stdout, "")
            repo.git("config", f"lfs.{url}.locksverify", "true")
            repo.commit({"two.bin": b"3"})
            self.assertNotEqual(repo.try_push().returncode, 0)
        self.assertIn("one.bin", repo.git("lfs", "locks"))
        repo.push()
        self.assertEqual(daemon.stop(), ENDED)
        self.assertNotIn("hunter2", daemon.stdout + daemon.stderr)
        self.assertNotIn("Traceback", daemon.stdout)

    def test_it_is_away_at_the_start(self) -> None:
        """Objects are served all the same; --check says what is the matter."""
        with self.server.away():
            daemon = self.serve()
            self.assertEqual(daemon.put(b"object"), 200)
            self.assertEqual(self.status(daemon), 503)
            result = check(daemon)
            self.assertEqual(result.returncode, 1)
            self.assertIn("GIFTLESS_LOCKS__CONNINFO: locks.conninfo: ", result.stderr)
            config = str(daemon.directory / "giftless.yaml")
            listed = giftless(daemon, "locks", "list", "--config", config)
            self.assertEqual(listed.returncode, 1)
            self.assertIn("cannot be reached", listed.stderr)
        for text in (daemon.stdout, result.stdout, result.stderr, listed.stdout, listed.stderr):
            self.assertNotIn("hunter2", text)
        self.assertEqual(self.status(daemon), 200)

    def test_it_says_nothing_any_more(self) -> None:
        """A server that neither answers nor hangs up: 503 in time, and a clean stop."""
        daemon = self.serve(connections=2)
        self.assertEqual(self.status(daemon), 200)
        process = self.server.process
        assert process is not None
        backends = [process.pid, *_children(process.pid)]
        _signal(backends, signal.SIGSTOP)
        try:
            statuses = at_once([lambda: self.status(daemon)] * 8)
            self.assertEqual(set(statuses), {503})
            self.assertEqual(daemon.put(b"object"), 200)
            self.assertEqual(daemon.stop(), ENDED)
        finally:
            _signal(backends, signal.SIGCONT)
        self.assertNotIn("hunter2", daemon.stdout + daemon.stderr)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
