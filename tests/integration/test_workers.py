"""Worker processes: what they share, and what happens when one dies."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import jwt

from tests.integration.support import (
    Daemon,
    download_head,
    oid_of,
    read_reply,
    temporaries,
    upload_head,
)
from tests.integration.workers import DATA, MIB, Load, WorkersTestCase
from tests.support.processes import ENDED, is_running, wait_until
from tests.support.rounds import rounds


class ServeTests(WorkersTestCase):
    """Several processes behind one socket."""

    def test_connections_are_spread_over_all_workers(self) -> None:
        """Connections are spread, and each access line says over which worker."""
        daemon = self.start(2)
        self.assertEqual(len(daemon.workers), 2)
        wait_until(lambda: self.spread(daemon) == set(daemon.workers), "every worker to serve")
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def spread(self, daemon: Daemon) -> set[int]:
        """Ask with several connections at once; return who has served so far."""
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(daemon.connect()) for _ in range(20)]
            for connection in connections:
                connection.sendall(download_head(oid_of(DATA)))
            for connection in connections:
                self.assertEqual(read_reply(connection), (200, DATA))
        return {event["worker"] for event in daemon.accesses("GET")}

    def test_what_one_worker_signs_another_believes(self) -> None:
        """git pushes and clones: what one worker signs, another believes."""
        daemon = self.start(3)
        git = self.make_git()
        repo = git.create(self.directory / "work", f"{daemon.url}/acme/other.git/info/lfs")
        self.assert_round_trip(repo, {f"{i}.bin": os.urandom(1000 + i) for i in range(100)})
        self.assertGreater(len({event["worker"] for event in daemon.accesses("PUT")}), 1)

    def test_auto_means_a_worker_per_processor(self) -> None:
        """``auto`` is a worker per processor."""
        daemon = self.start("auto")
        self.assertEqual(len(daemon.workers), len(os.sched_getaffinity(0)))

    def test_a_text_log_names_the_worker(self) -> None:
        """In a text log, lines of workers are marked as well."""
        daemon = self.start_daemon(config={"workers": 2})
        daemon.put(DATA)
        self.assertEqual(daemon.stop(), ENDED)
        (line,) = [line for line in daemon.stdout.splitlines() if " PUT " in line]
        self.assertRegex(line, r"\A\S+ \[\d+\] \[giftless\.access#info\] 127\.0\.0\.1 ")

    def test_a_unix_socket_keeps_its_mode(self) -> None:
        """A unix socket keeps its mode whatever workers do, and goes with the daemon."""
        path = self.directory / "http.sock"
        daemon = self.start_daemon(
            config={"workers": 2, "log_format": "json", "endpoints": [f"unix:{path}:mode=640"]},
            unix=path,
        )
        self.assertEqual(daemon.put(DATA), 200)
        self.hup(daemon)
        before = daemon.workers[0]
        os.kill(before, signal.SIGTERM)
        wait_until(
            lambda: before not in daemon.workers and len(self.serving(daemon)) == 2,
            "another worker",
        )
        self.assertEqual(path.stat().st_mode & 0o777, 0o640)
        self.assertEqual(daemon.get(oid_of(DATA)).body, DATA)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertFalse(path.exists())
        self.assert_no_traceback(daemon)

    def test_nothing_is_for_others_whatever_the_umask(self) -> None:
        """Objects, parts, locks, the log and the socket are for the daemon and its group."""
        for umask in ("000", "022", "077"):
            path = self.directory / f"{umask}.sock"
            daemon = self.start_daemon(
                umask,
                config={"endpoints": [f"unix:{path}"], "locks": {"type": "sqlite"}},
                unix=path,
                wrapper=["sh", "-c", f'umask {umask}; exec "$@"', "sh"],
            )
            self.assertEqual(daemon.put(DATA), 200)
            self.assertEqual(path.stat().st_mode & 0o777, 0o660)
            made = list(daemon.store.rglob("*"))
            self.assertIn(oid_of(DATA), [each.name for each in made])
            for each in (daemon.store, *made):
                most = 0o750 if each.is_dir() else 0o640
                self.assertEqual(each.stat().st_mode & 0o777 & ~most, 0, each)
            for each in (daemon.directory / "giftless-state").rglob("*"):
                mode = 0o700 if each.is_dir() else 0o600
                self.assertEqual(each.stat().st_mode & 0o777, mode, each)
            self.assertEqual(daemon.stop(), ENDED)

    def test_all_workers_share_the_throttle(self) -> None:
        """A guesser gains nothing by there being several workers."""
        workers = rounds(2, 4)
        daemon = self.start(
            workers,
            access={"max_failures": 8, "failure_window": 3600},
            auth=[{"type": "jwt", "key": "k" * 32}, {"type": "anonymous", "access": "read-write"}],
        )

        def guess(number: int) -> int:
            token = jwt.encode({"sub": f"user {number}"}, "g" * 32, "HS256")
            headers = {"Authorization": f"Bearer {token}"}
            return daemon.batch("download", (oid_of(DATA), 1), headers=headers).status

        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(guess, range(300)))
        self.assertEqual((statuses.count(401), statuses.count(429)), (8, 292))
        # A worker that dies takes no count with it, and its successor knows them all.
        victim = daemon.workers[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(self.serving(daemon) - {victim}) == workers, "another worker")
        statuses = [guess(number) for number in range(400, 440)]
        self.assertEqual(statuses, [429] * 40)
        # The same guesses are no new ones, whichever worker they come to.
        self.hup(daemon)
        self.assertEqual(guess(500), 429)


class DeathTests(WorkersTestCase):
    """Workers that die."""

    def test_a_killed_worker_is_replaced(self) -> None:
        """A killed worker is replaced; only what it was doing is lost."""
        daemon = self.start(2)
        for _ in range(rounds(1, 10)):
            with Load(daemon) as load:
                load.more()
                victim = daemon.workers[0]
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda: len(self.serving(daemon) - {victim}) == 2, "another worker")  # noqa: B023
                load.more()
            # Each client had one request at most under way.
            self.assertLessEqual(len(load.errors), 4)
        self.assertEqual(len(daemon.workers), 2)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertIn("killed by SIGKILL", daemon.stdout)

    def test_upload_of_a_killed_worker(self) -> None:
        """Nothing half-written is left by it: its successor sweeps."""
        daemon = self.start(2)
        data = os.urandom(8 * MIB)
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid_of(data), len(data)) + data[: 4 * MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload")
            for worker in daemon.workers:
                os.kill(worker, signal.SIGKILL)
            wait_until(lambda: not temporaries(daemon.store), "the sweep")
        self.assertEqual(daemon.put(data), 200)
        self.assert_intact(daemon.store)

    def test_workers_of_a_killed_parent_finish_and_end(self) -> None:
        """Workers whose parent is killed finish what they do, and end."""
        daemon = self.start(2)
        data = os.urandom(8 * MIB)
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid_of(data), len(data)) + data[:MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload")
            workers = daemon.workers
            daemon.running.kill()
            daemon.running.wait()
            wait_until(lambda: sum(map(is_running, workers)) == 1, "the idle worker to end")
            connection.sendall(data[MIB:])
            self.assertEqual(read_reply(connection)[0], 200)
        wait_until(lambda: not any(map(is_running, workers)), "the other worker to end")
        self.assertEqual(len(self.assert_intact(daemon.store)), 2)
        # The port is free again.
        daemon.start()
        self.assertEqual(daemon.get(oid_of(data)).body, data)

    def test_a_worker_that_cannot_start_ends_the_daemon(self) -> None:
        """What only a worker can find wrong ends the daemon in one line, with status 1."""
        directory = self.directory / "plugins"
        directory.mkdir()
        (directory / "fragile.py").write_text(FRAGILE)
        daemon = self.make_daemon(
            config={"storage": {"type": "fragile"}, "plugin_path": [str(directory)]}
        )
        self.assertRaisesRegex(
            AssertionError, "giftless.yaml: storage.type: not in a worker", daemon.start
        )
        self.assertEqual(daemon.running.returncode, 1)
        self.assertEqual(daemon.stderr.count("\n"), 1, daemon.stderr)
        self.assertNotIn("Traceback", daemon.stdout)

    def test_half_a_start(self) -> None:
        """So does what fails when threads run already; they do not keep the worker alive."""
        directory = self.directory / "plugins"
        directory.mkdir()
        (directory / "late.py").write_text(LATE)
        daemon = self.make_daemon(
            config={"storage": {"type": "late"}, "plugin_path": [str(directory)]}
        )
        self.assertRaisesRegex(
            AssertionError, "cannot start: RuntimeError in .*late.py, line 13", daemon.start
        )
        self.assertEqual(daemon.running.returncode, 1)
        self.assertEqual(daemon.stderr.count("\n"), 1, daemon.stderr)
        # Before it would be killed for its silence.
        self.assertNotIn("is killed", daemon.stdout)


#: A plugin that the parent can build, and workers cannot.
FRAGILE = """
import sys
from giftless.errors import ConfigError
from giftless.interfaces import IStorageFactory
from giftless.app.plugins import LazyPlugin
from giftless.storage.local.factory import LocalFactory

class Fragile(LocalFactory):
    def build(self, options, environment):
        if sys.argv[0].endswith("worker.py"):
            raise ConfigError("type", "not in a worker")
        return super().build(options, environment)

fragile = LazyPlugin(IStorageFactory, "fragile", f"{__name__}.Fragile")
"""


#: A plugin whose service cannot be started, after it has used a thread.
LATE = """
from twisted.application.service import Service
from giftless.interfaces import IStorageFactory
from giftless.app.plugins import LazyPlugin
from giftless.storage.local.factory import LocalFactory

class LateService(Service):
    def __init__(self, blocking):
        self.blocking = blocking

    def startService(self):
        self.blocking.run(len, "")
        raise RuntimeError("too late")

class Late(LocalFactory):
    def build(self, options, environment):
        LateService(environment.blocking).setServiceParent(environment.services)
        return super().build(options, environment)

late = LazyPlugin(IStorageFactory, "late", f"{__name__}.Late")
"""
