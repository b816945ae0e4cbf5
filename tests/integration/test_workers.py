"""Worker processes: killed, replaced and reloaded under load, as systemd sees it."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import yaml
from twisted.trial.unittest import SkipTest

from tests.integration.support import (
    Daemon,
    IntegrationTestCase,
    download_head,
    object_path,
    oid_of,
    read_reply,
    temporaries,
    upload_head,
)
from tests.integration.test_endpoints import write_certificate
from tests.support.ports import free_port
from tests.support.processes import ENDED, PATIENCE, installed, is_running, wait_until

MIB = 1024 * 1024

#: What every request of a load downloads.
DATA = b"loaded" * 1000


class Load:
    """Clients that ask all the time, and note what they do not like.

    Each asks up to a hundred times a second: faster ones would only keep the
    workers from starting.

    :param new: how many make a connection for each request.
    :param kept: how many keep theirs as long as the server lets them.
    """

    def __init__(self, daemon: Daemon, new: int = 2, kept: int = 2) -> None:
        self._daemon = daemon
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.errors: list[str] = []
        self.answers = 0
        self._threads = [
            threading.Thread(target=self._run, args=(keep,))
            for keep in [False] * new + [True] * kept
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def more(self, answers: int = 200) -> None:
        """Wait for some more answers."""
        wanted = self.answers + answers
        wait_until(lambda: self.answers >= wanted or self.errors, "answers")

    def _run(self, keep: bool) -> None:
        client: http.client.HTTPConnection | None = None
        while not self._over.wait(0.01):
            try:
                if client is None:
                    client = http.client.HTTPConnection("127.0.0.1", self._daemon.port)
                    client.sock = self._daemon.connect()
                client.request("GET", object_path(oid_of(DATA)))
                reply = client.getresponse()
                body = reply.read()
                if (reply.status, body) != (200, DATA):
                    self.errors.append(f"{reply.status} {body[:100]!r}")
                with self._lock:
                    self.answers += 1
                if not keep or reply.will_close:
                    client.close()
                    client = None
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{'kept' if keep else 'new'}: {error!r}")
                client = None
        if client is not None:
            client.close()


class WorkersTestCase(IntegrationTestCase):
    """Tests of daemons with workers."""

    def hup(self, daemon: Daemon) -> None:
        """Reload, and wait until all workers are others."""
        before = set(daemon.workers)
        logged = daemon.stdout.count(" listens on ")
        daemon.running.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.stdout.count(" listens on ") > logged, "the reload")
        self.assertTrue(self.serving(daemon) - before)

    def serving(self, daemon: Daemon) -> set[int]:
        """Return the workers that accept connections, by the log."""
        ready: set[int] = set()
        gone: set[int] = set()
        for event in daemon.events:
            if event["source"] == "giftless.workers" and "pid" in event:
                (ready if "is ready" in event["message"] else gone).add(event["pid"])
        return ready - gone

    def change(self, daemon: Daemon, **settings: Any) -> None:
        """Change keys of the configuration file."""
        path = daemon.directory / "giftless.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))

    def start(self, workers: int | str = 2, **settings: Any) -> Daemon:
        """Start a daemon with workers and an object."""
        config = {"workers": workers, "log_format": "json", **settings}
        daemon = self.start_daemon(config=config)
        self.assertEqual(daemon.put(DATA), 200)
        return daemon

    def assert_no_traceback(self, daemon: Daemon) -> None:
        self.assertEqual(daemon.stderr, "")
        self.assertNotIn("Traceback", daemon.stdout)


class ServeTests(WorkersTestCase):
    """Several processes behind one socket."""

    def test_connections_are_spread_over_all_workers(self) -> None:
        """Connections are spread, and each access line says over which worker."""
        daemon = self.start(3)
        self.assertEqual(len(daemon.workers), 3)
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
        os.kill(daemon.workers[0], signal.SIGTERM)
        wait_until(lambda: len(self.serving(daemon)) == 2, "another worker")
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
        daemon = self.start(
            4,
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
        wait_until(lambda: len(self.serving(daemon) - {victim}) == 4, "another worker")
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
        with Load(daemon) as load:
            load.more()
            victim = daemon.workers[0]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: len(self.serving(daemon) - {victim}) == 2, "another worker")
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


#: Runs a command in a process group of its own, as a shell does.
AS_LEADER = "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"

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

#: A plugin that blocks the reactor, as none should.
HANGING = """
import time
from giftless.interfaces import IStorageFactory
from giftless.app.plugins import LazyPlugin
from giftless.storage.local.factory import LocalFactory

def hang_here(*_):
    time.sleep(1000)

class Hanging(LocalFactory):
    def build(self, options, environment):
        store = super().build(options, environment)
        store.open = hang_here
        return store

hanging = LazyPlugin(IStorageFactory, "hanging", f"{__name__}.Hanging")
"""


class ReloadTests(WorkersTestCase):
    """SIGHUP."""

    def test_a_reload_disturbs_no_request(self) -> None:
        """Nobody notices: neither new connections, nor kept ones, nor transfers."""
        # On a busy machine these three wait for long.
        limits = {"idle_timeout": 3600, "stall_timeout": 3600, "body_min_rate": 0}
        daemon = self.start(2, limits=limits)
        stored, uploaded = os.urandom(64 * MIB), os.urandom(32 * MIB)
        self.assertEqual(daemon.put(stored), 200)
        with (
            daemon.connect() as upload,
            daemon.connect() as download,
            daemon.connect() as kept,
            Load(daemon) as load,
        ):
            upload.sendall(upload_head(oid_of(uploaded), len(uploaded)) + uploaded[:MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload")
            download.sendall(download_head(oid_of(stored)))
            self.assertTrue(download.recv(1, socket.MSG_PEEK))
            kept.sendall(download_head(oid_of(DATA)))
            self.assertEqual(read_reply(kept), (200, DATA))
            first = set(daemon.workers)
            for _ in range(4):
                load.more()
                self.hup(daemon)
            load.more()
            # The workers that these three are with have been replaced long ago.
            self.assertFalse(self.serving(daemon) & first)
            kept.sendall(download_head(oid_of(DATA)))
            self.assertEqual(read_reply(kept), (200, DATA))
            self.assertEqual(kept.recv(1), b"")
            upload.sendall(uploaded[MIB:])
            self.assertEqual(read_reply(upload), (200, b"{}"))
            self.assertEqual(read_reply(download), (200, stored))
        self.assertEqual(load.errors, [])
        self.assertEqual(len(self.assert_intact(daemon.store)), 3)
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def test_git_pushes_and_clones_across_reloads(self) -> None:
        """A push and a clone that take several reloads come to a good end."""
        daemon = self.start(2)
        repo = self.make_git().create(self.directory / "work", f"{daemon.url}/acme/other")
        repo.git("config", "lfs.transfer.maxretries", "1")
        files = {f"{number}.bin": os.urandom(300_000 + number) for number in range(150)}
        over = threading.Event()

        def reload() -> None:
            while not over.wait(0.3):
                daemon.running.send_signal(signal.SIGHUP)

        reloading = threading.Thread(target=reload)
        reloading.start()
        try:
            self.assert_round_trip(repo, files)
        finally:
            over.set()
            reloading.join()
        transfers = daemon.accesses("PUT", "other") + daemon.accesses("GET", "other")
        transfers = [event for event in transfers if "/objects/storage/" in event["path"]]
        self.assertEqual({event["status"] for event in transfers}, {200})
        # Each once: nothing had to be tried again.
        self.assertEqual(len(transfers), 2 * len(files))
        self.assertGreater(len({event["worker"] for event in transfers}), 2)
        self.assert_no_traceback(daemon)

    def test_a_single_worker_is_replaced_smoothly(self) -> None:
        """One worker is replaced as smoothly."""
        daemon = self.start(1)
        with Load(daemon) as load:
            for _ in range(3):
                load.more()
                self.hup(daemon)
            load.more()
        self.assertEqual(load.errors, [])

    def test_unix_and_tls(self) -> None:
        """So are workers behind other kinds of endpoints; a new certificate is shown."""
        key, certificate = write_certificate(self.directory)
        port, path = free_port(), self.directory / "http.sock"
        tls = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        daemon = self.start_daemon(
            config={"workers": 2, "log_format": "json", "endpoints": [tls, f"unix:{path}"]},
            port=port,
            scheme="https",
        )
        self.assertEqual(daemon.put(DATA), 200)
        local = Daemon(daemon.directory, unix=path)
        shown = self.certificate(daemon)
        with Load(daemon) as encrypted, Load(local) as plain:
            for _ in range(2):
                write_certificate(self.directory)
                encrypted.more(50)
                plain.more(50)
                self.hup(daemon)
            encrypted.more(50)
            plain.more(50)
        self.assertEqual(encrypted.errors + plain.errors, [])
        self.assertNotEqual(self.certificate(daemon), shown)

    def certificate(self, daemon: Daemon) -> bytes | None:
        with daemon.connect() as connection:
            return connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]

    def test_a_reload_applies_every_part_of_the_configuration(self) -> None:
        """The new configuration holds, for each of its parts."""
        daemon = self.start(2)
        other = Daemon(daemon.directory)
        self.change(
            daemon,
            workers=3,
            auth=[{"type": "anonymous", "access": "read"}],
            endpoints=[f"tcp:{port}:interface=127.0.0.1" for port in (daemon.port, other.port)],
        )
        self.assertEqual(daemon.put(DATA), 200)
        self.hup(daemon)
        self.assertEqual(len(self.serving(daemon)), 3)
        self.assertEqual(daemon.put(DATA), 403)
        self.assertEqual(other.get(oid_of(DATA)).body, DATA)
        self.change(daemon, workers=1, endpoints=[f"tcp:{other.port}:interface=127.0.0.1"])
        self.hup(daemon)
        self.assertEqual(len(self.serving(daemon)), 1)
        self.assertEqual(other.get(oid_of(DATA)).body, DATA)
        wait_until(lambda: not daemon.listens(), "the first endpoint to be closed")
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def test_a_bad_configuration_changes_nothing(self) -> None:
        """A mistake is one line in the log; everything stays, whatever happens then."""
        daemon = self.start(2)
        (daemon.directory / "file").touch()
        port = free_port()
        settings: Any
        with socket.create_server(("127.0.0.1", 0)) as taken:
            for number, (settings, problem) in enumerate(
                (
                    ({"workers": 0}, "giftless.yaml: workers: found 0, allowed"),
                    (
                        {"storage": {"type": "local", "path": "file/below"}},
                        "giftless.yaml: storage.path: 'file/below' cannot be used",
                    ),
                    (
                        {
                            "storage": {"type": "local", "path": str(daemon.store)},
                            "endpoints": [
                                f"tcp:{port}:interface=127.0.0.1",
                                f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1",
                            ],
                        },
                        "giftless.yaml: endpoints.1: cannot listen on",
                    ),
                )
            ):
                before = self.serving(daemon)
                self.change(daemon, **settings)
                daemon.running.send_signal(signal.SIGHUP)
                wait_until(lambda: len(self.refusals(daemon)) > number, "the refusal")  # noqa: B023
                self.assertIn(problem, self.refusals(daemon)[-1])
                self.assertEqual(self.serving(daemon), before)
                self.assertEqual(daemon.get(oid_of(DATA)).body, DATA)
                self.change(daemon, workers=2)
        # What was bound before the mistake was met is closed again.
        wait_until(lambda: not daemon.listens(port), "the port to be free")
        # The file is still wrong, but a worker that dies is replaced by its like.
        os.kill(daemon.workers[0], signal.SIGKILL)
        wait_until(lambda: len(self.serving(daemon)) == 2, "another worker")
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def refusals(self, daemon: Daemon) -> list[str]:
        messages = [event["message"] for event in daemon.events]
        return [message for message in messages if "configuration stays" in message]

    def test_many_signals_are_neither_lost_nor_harmful(self) -> None:
        """Signals that come faster than workers start are not lost, and do no harm."""
        daemon = self.start(2)
        self.change(daemon, auth=[{"type": "anonymous", "access": "read"}])
        with Load(daemon) as load:
            for _ in range(20):
                daemon.running.send_signal(signal.SIGHUP)
                time.sleep(0.02)
            wait_until(lambda: daemon.put(DATA) == 403, "the new configuration")
            load.more()
        self.assertEqual(load.errors, [])
        self.assertEqual(daemon.stop(), ENDED)
        self.assert_no_traceback(daemon)

    def test_a_background_daemon_reloads_too(self) -> None:
        """A daemon that has left its terminal reloads as well; SIGUSR1 begins a new log."""
        daemon = self.make_daemon(config={"workers": 2})
        name = daemon.write_config().name
        subprocess.run(
            installed().command("--pidfile", "pid", "giftless", "--config", name),
            cwd=daemon.directory,
            env=dict(installed().environ),
            check=True,
            timeout=PATIENCE,
        )
        pid = int((daemon.directory / "pid").read_text())
        self.addCleanup(kill_if_there, pid)
        log = daemon.directory / "twistd.log"
        wait_until(lambda: " listens on " in log.read_text(), "the daemon to serve")
        self.change(daemon, auth=[{"type": "anonymous", "access": "read"}])
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: log.read_text().count(" listens on ") == 2, "the reload")
        self.assertEqual(daemon.put(DATA), 403)
        os.kill(pid, signal.SIGUSR1)
        wait_until((daemon.directory / "twistd.log.1").exists, "the new log")
        self.assertEqual(daemon.get(oid_of(DATA)).status, 404)
        wait_until(lambda: " GET " in log.read_text(), "the access line")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not (daemon.directory / "pid").exists(), "the daemon to end")
        self.assertNotIn("Traceback", log.read_text())


class StopTests(WorkersTestCase):
    """SIGTERM, and SIGINT from a terminal."""

    def test_running_uploads_finish_after_sigterm(self) -> None:
        """Uploads in workers finish, those in replaced ones too; nobody else is let in."""
        daemon = self.start(2)
        data = [os.urandom(8 * MIB) for _ in range(4)]
        with contextlib.ExitStack() as stack:
            uploads = []
            for number, content in enumerate(data):
                connection = stack.enter_context(daemon.connect())
                connection.sendall(upload_head(oid_of(content), len(content)) + content[:MIB])
                wait_until(lambda: len(temporaries(daemon.store)) > number, "the upload")  # noqa: B023
                uploads.append(connection)
                if number == 1:
                    self.hup(daemon)
            daemon.terminate()
            wait_until(lambda: not daemon.listens(), "the daemon to stop accepting")
            for connection, content in zip(uploads, data, strict=True):
                connection.sendall(content[MIB:])
                self.assertEqual(read_reply(connection), (200, b"{}"))
        self.assertEqual(daemon.wait(), ENDED)
        self.assertEqual(len(self.assert_intact(daemon.store)), 5)
        self.assert_no_traceback(daemon)

    def test_what_exceeds_the_shutdown_timeout_is_cut(self) -> None:
        """What does not finish in time is cut off, and no process is left."""
        daemon = self.start(2, shutdown_timeout=1)
        data = os.urandom(8 * MIB)
        workers = daemon.workers
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid_of(data), len(data)) + data[:MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload")
            self.assertEqual(daemon.stop(), ENDED)
        self.assertFalse(any(map(is_running, workers)))
        self.assertEqual(temporaries(daemon.store), [])

    def test_an_interrupt_from_a_terminal_lets_uploads_finish(self) -> None:
        """^C reaches all processes, and ends them well."""
        daemon = self.make_daemon(
            config={"workers": 2, "log_format": "json"},
            wrapper=[
                sys.executable,
                "-c",
                "import os, sys; os.setsid(); os.execv(*[sys.argv[1], sys.argv[1:]])",
            ],
        ).start()
        data = os.urandom(8 * MIB)
        with daemon.connect() as connection:
            connection.sendall(upload_head(oid_of(data), len(data)) + data[:MIB])
            wait_until(lambda: temporaries(daemon.store), "the upload")
            os.killpg(daemon.running.pid, signal.SIGINT)
            wait_until(lambda: not daemon.listens(), "the daemon to stop accepting")
            connection.sendall(data[MIB:])
            self.assertEqual(read_reply(connection), (200, b"{}"))
        self.assertEqual(daemon.wait(), -signal.SIGINT)
        self.assert_no_traceback(daemon)


class SystemdTests(WorkersTestCase):
    """What systemd is told, and gives."""

    def setUp(self) -> None:
        """Listen as systemd does."""
        super().setUp()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.listener.close)
        path = str(self.directory / "notify")
        self.listener.bind(path)
        self.listener.settimeout(PATIENCE)
        self.environ = {"NOTIFY_SOCKET": path}

    def states(self) -> Iterator[dict[str, str]]:
        """Yield what is said, but for how many workers there are."""
        while True:
            message = self.listener.recv(65536).decode()
            states = dict(line.split("=", 1) for line in message.splitlines())
            if set(states) != {"STATUS"}:
                yield states

    def test_systemd_is_told_of_each_state(self) -> None:
        """Readiness, reloads, good and bad, and the end are all announced."""
        daemon = self.start_daemon(
            config={"workers": 2, "log_format": "json"}, environ=self.environ
        )
        states = self.states()
        self.assertEqual(next(states), {"READY": "1", "STATUS": "workers: 2 serving"})
        before = set(daemon.workers)
        daemon.running.send_signal(signal.SIGHUP)
        reloading = next(states)
        self.assertEqual(reloading.pop("RELOADING"), "1")
        self.assertLess(
            int(reloading.pop("MONOTONIC_USEC")), time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
        )
        self.assertEqual(reloading, {})
        ready = next(states)
        self.assertEqual(ready["READY"], "1")
        self.assertRegex(ready["STATUS"], r"\Aworkers: 2 serving")
        self.assertFalse(self.serving(daemon) & before)
        self.change(daemon, workers=0)
        daemon.running.send_signal(signal.SIGHUP)
        self.assertEqual(next(states)["RELOADING"], "1")
        ready = next(states)
        self.assertEqual(ready["READY"], "1")
        self.assertIn(
            "cannot reload: giftless.yaml: workers: found 0",
            ready["STATUS"].replace(f"{daemon.directory}/", ""),
        )
        daemon.terminate()
        self.assertEqual(next(states), {"STOPPING": "1"})
        self.assertEqual(daemon.wait(), ENDED)

    def test_not_ready_before_workers_are(self) -> None:
        """Somebody who waits for readiness is served at once."""
        self.start_daemon(config={"workers": 2}, environ=self.environ)
        message = self.listener.recv(1000)
        while b"READY" not in message:
            self.assertRegex(message, rb"\ASTATUS=workers: .*\b(starting|serving)")
            message = self.listener.recv(1000)

    def test_a_worker_that_hangs_is_replaced(self) -> None:
        """A worker that hangs is killed and replaced; meanwhile systemd hears nothing."""
        directory = self.directory / "plugins"
        directory.mkdir()
        (directory / "hanging.py").write_text(HANGING)
        daemon = self.start_daemon(
            config={
                "log_format": "json",
                "storage": {"type": "hanging", "path": str(self.directory / "objects")},
                "plugin_path": [str(directory)],
            },
            environ={**self.environ, "WATCHDOG_USEC": "2000000"},
        )
        heard: list[float] = []
        listener = threading.Thread(target=self.listen, args=(heard,), daemon=True)
        listener.start()
        wait_until(lambda: len(heard) > 2, "the watchdog to be fed")
        (hung,) = daemon.workers
        with daemon.connect() as connection:
            connection.sendall(download_head(oid_of(DATA)))
            wait_until(lambda: self.serving(daemon) - {hung}, "another worker")
        self.assertFalse(is_running(hung))
        count = len(heard)
        wait_until(lambda: len(heard) > count + 1, "the watchdog to be fed again")
        self.assertGreater(max(b - a for a, b in itertools.pairwise(heard)), 2)
        self.assertEqual(daemon.put(DATA), 200)
        self.assertEqual(daemon.stop(), ENDED)
        self.assertIn("does not answer and is killed", daemon.stdout)
        # Where it hung is in the log.
        self.assertIn("in hang_here", daemon.stdout)

    def listen(self, heard: list[float]) -> None:
        """Note when the watchdog is fed, until the end."""
        for states in self.states():
            if "WATCHDOG" in states:
                heard.append(time.monotonic())
            if "STOPPING" in states:
                return

    def test_workers_say_nothing(self) -> None:
        """Only the main process is listened to (``NotifyAccess=main``)."""
        daemon = self.start_daemon(
            config={"workers": 1}, environ={**self.environ, "WATCHDOG_USEC": "60000000"}
        )
        (worker,) = daemon.workers
        environ = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
        names = {variable.partition(b"=")[0] for variable in environ}
        self.assertEqual(names & {b"NOTIFY_SOCKET", b"WATCHDOG_USEC"}, set())

    def test_a_socket_of_systemd_survives_reloads(self) -> None:
        """Workers serve on systemd's socket, also after a reload."""
        program = shutil.which("systemd-socket-activate")
        if program is None:
            raise SkipTest("systemd-socket-activate is not installed")
        port = free_port()
        daemon = self.make_daemon(
            port=port,
            config={
                "workers": 2,
                "log_format": "json",
                "endpoints": ["systemd:domain=INET:index=0"],
            },
            wrapper=[
                program,
                f"--listen=127.0.0.1:{port}",
                "--fdname=web",
                *(f"--setenv={name}" for name in installed().environ),
            ],
        )
        # The program starts the daemon when somebody connects.
        starter = threading.Thread(target=self.poke, args=(daemon,))
        starter.start()
        self.addCleanup(starter.join)
        daemon.start()
        self.assertEqual(daemon.put(DATA), 200)
        with Load(daemon) as load:
            for _ in range(2):
                load.more()
                self.hup(daemon)
            load.more()
        self.assertEqual(load.errors, [])
        self.assertEqual(daemon.stop(), ENDED)

    def poke(self, daemon: Daemon) -> None:
        def connects() -> bool:
            with contextlib.suppress(OSError):
                daemon.connect().close()
                return True
            return False

        wait_until(connects, "somebody to listen")


def kill_if_there(pid: int) -> None:
    """Kill a process, if it still is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
