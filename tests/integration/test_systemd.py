"""What systemd is told about workers, and gives."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.support import (
    Daemon,
    download_head,
    oid_of,
)
from tests.integration.workers import DATA, HANGING, Load, WorkersTestCase
from tests.support.ports import free_port
from tests.support.processes import ENDED, PATIENCE, installed, is_running, wait_until
from tests.support.rounds import rounds


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
            for _ in range(rounds(1, 10)):
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
