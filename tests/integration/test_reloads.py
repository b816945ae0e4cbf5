"""SIGHUP: workers are replaced under load."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from typing import Any

from tests.integration.support import (
    Daemon,
    download_head,
    oid_of,
    read_reply,
    temporaries,
    upload_head,
)
from tests.integration.workers import DATA, MIB, Load, WorkersTestCase
from tests.support.certificates import write_certificate
from tests.support.ports import free_port
from tests.support.processes import ENDED, PATIENCE, installed, wait_until
from tests.support.rounds import rounds


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
            for _ in range(rounds(2, 10)):
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
        """Pushes and clones come to a good end while workers are replaced all the time."""
        daemon = self.start(2)
        git = self.make_git()
        files = {f"{number}.bin": os.urandom(300_000 + number) for number in range(rounds(50, 150))}
        over = threading.Event()

        def reload() -> None:
            while not over.wait(0.3):
                daemon.running.send_signal(signal.SIGHUP)

        reloading = threading.Thread(target=reload)
        reloading.start()
        transfers: list[dict[str, Any]] = []
        try:
            for number in range(100):
                name = f"other-{number}"
                repo = git.create(self.directory / name, f"{daemon.url}/acme/{name}")
                repo.git("config", "lfs.transfer.maxretries", "1")
                self.assert_round_trip(repo, files)
                path = f"/{name}/objects/storage/"
                found = daemon.accesses("PUT", path) + daemon.accesses("GET", path)
                # Each once: nothing had to be tried again.
                self.assertEqual([event["status"] for event in found], [200] * 2 * len(files))
                transfers += found
                # Replacing workers may take longer than a push.
                workers = {event["worker"] for event in transfers}
                if len(workers) > rounds(2, 20):
                    break
        finally:
            over.set()
            reloading.join()
        self.assertGreater(len(workers), rounds(2, 20))
        self.assert_no_traceback(daemon)

    def test_a_single_worker_is_replaced_smoothly(self) -> None:
        """One worker is replaced as smoothly."""
        daemon = self.start(1)
        with Load(daemon) as load:
            for _ in range(rounds(2, 10)):
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
            for _ in range(rounds(1, 5)):
                write_certificate(self.directory)
                encrypted.more()
                plain.more()
                self.hup(daemon)
            encrypted.more()
            plain.more()
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
            for _ in range(rounds(20, 100)):
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


def kill_if_there(pid: int) -> None:
    """Kill a process, if it still is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
