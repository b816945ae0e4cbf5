"""What somebody sees who starts the daemon in a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.integration.support import Daemon, IntegrationTestCase
from tests.support.commands import start_twistd
from tests.support.ports import free_port
from tests.support.processes import PATIENCE

READY = " is ready: "
LISTENS = " listens on "


class Terminal:
    """A daemon whose log goes to a terminal.

    :ivar shown: what the terminal has shown.
    """

    def __init__(self, daemon: Daemon, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        # Lines end as they were written.
        tty.setraw(slave)
        self.shown = ""
        command = ["-n", "--pidfile=", *arguments]
        environ = {**daemon.installation.environ, **daemon.environ}
        self.process = start_twistd(
            daemon.installation, command, daemon.directory, environ, slave, slave, stdin=slave
        )
        os.close(slave)

    def read_until(self, condition: Callable[[], object]) -> None:
        """Read until something is the case, or the daemon has ended."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.shown
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._master, 65536).decode()
                except OSError:  # nobody has the other end
                    return

    def close(self) -> None:
        """End the daemon as Ctrl+C does."""
        self.process.send_signal(signal.SIGINT)
        self.read_until(lambda: False)
        self.process.wait(PATIENCE)
        os.close(self._master)


class TerminalTests(IntegrationTestCase):
    """The daemon runs in the foreground."""

    def open(
        self,
        *twistd: str,
        environ: dict[str, str] | None = None,
        mode: int = 0o600,
        **config: Any,
    ) -> Terminal:
        """Start the daemon in a terminal.

        :param twistd: options of ``twistd``.
        :param mode: that of the configuration file.
        :param config: without any there is no configuration file.
        """
        self.port = free_port()
        self.daemon = daemon = self.make_daemon(port=self.port)
        endpoint = f"tcp:{self.port}:interface=127.0.0.1"
        daemon.environ = {"GIFTLESS_ENDPOINTS__0": endpoint, **(environ or {})}
        arguments: list[str] = [*twistd, "giftless"]
        if config:
            path = daemon.directory / "giftless.yaml"
            path.write_text(yaml.safe_dump(config))
            path.chmod(mode)
            arguments += ["--config", str(path)]
        terminal = Terminal(daemon, *arguments)
        self.addCleanup(self.end, terminal)
        return terminal

    def end(self, terminal: Terminal) -> None:
        """End the daemon, if it runs."""
        with contextlib.suppress(ProcessLookupError):
            terminal.process.kill()

    def test_the_first_start_shows_a_banner_and_nothing_else(self) -> None:
        terminal = self.open()
        terminal.read_until(lambda: "info/lfs\n\n" in terminal.shown)
        url = f"http://127.0.0.1:{self.port}"
        lines = terminal.shown.splitlines()
        self.assertRegex(lines[0], rf"\Agiftless \S+ is ready: {url}\Z")
        self.assertIn(f"  Objects    {self.daemon.directory}/giftless-data", lines)
        self.assertIn(f"  git config -f .lfsconfig lfs.url {url}/ORG/REPO.git/info/lfs", lines)
        self.assertIn("read and write", terminal.shown)
        self.assertIn("GIFTLESS_ADMIN__ENDPOINTS__0=", terminal.shown)
        self.assertNotIn("[", terminal.shown)
        self.assertLessEqual(len(lines), 12)
        terminal.close()
        self.assertEqual(terminal.process.returncode, -signal.SIGINT)

    def test_what_happens_then_is_logged_as_ever(self) -> None:
        terminal = self.open()
        terminal.read_until(lambda: READY in terminal.shown)
        self.assertEqual(self.daemon.request("GET", "/nowhere").status, 404)
        terminal.read_until(lambda: " GET /nowhere 404 " in terminal.shown)
        # What a worker has logged of its start does not come behind the banner.
        self.assertNotIn(" starting on ", terminal.shown)
        terminal.process.send_signal(signal.SIGHUP)
        terminal.read_until(lambda: LISTENS in terminal.shown)
        self.assertIn(" is ready\n", terminal.shown)
        self.assertEqual(terminal.shown.count(READY), 1)
        terminal.close()
        self.assertIn("Received SIGINT", terminal.shown)

    def test_with_a_configuration_the_banner_is_about_that(self) -> None:
        admin = free_port()
        terminal = self.open(
            admin={"endpoints": [f"tcp:{admin}:interface=127.0.0.1"]},
            storage={"type": "local", "path": "elsewhere"},
            workers=2,
        )
        terminal.read_until(lambda: "info/lfs\n\n" in terminal.shown)
        self.assertIn(f"  Dashboard  http://127.0.0.1:{admin}/\n", terminal.shown)
        self.assertIn(f"  Objects    {self.daemon.directory}/elsewhere\n", terminal.shown)
        self.assertNotIn("read and write", terminal.shown)
        self.assertNotIn(" starting on ", terminal.shown)
        terminal.close()

    def test_warnings_are_shown_in_front_of_the_banner(self) -> None:
        terminal = self.open(mode=0o644, secret="x" * 40)
        terminal.read_until(lambda: READY in terminal.shown)
        warning, _, _ = terminal.shown.partition(READY)
        self.assertIn("giftless#warn", warning)
        terminal.close()

    def test_a_start_that_fails_says_why(self) -> None:
        terminal = self.open(storage={"type": "local", "path": "/proc/nowhere"})
        terminal.read_until(lambda: False)
        self.assertEqual(terminal.process.wait(PATIENCE), 1)
        self.assertIn("storage", terminal.shown)
        self.assertNotIn(READY, terminal.shown)

    def test_json_stays_json_in_a_terminal(self) -> None:
        terminal = self.open(environ={"GIFTLESS_LOG_FORMAT": "json"})
        terminal.read_until(lambda: LISTENS in terminal.shown)
        self.assertNotIn(READY, terminal.shown)
        self.assertIn("starting up", terminal.shown)
        terminal.close()

    def test_a_log_file_is_as_ever_and_the_terminal_stays_empty(self) -> None:
        terminal = self.open("--logfile=giftless.log")
        log = Path(self.daemon.directory, "giftless.log")
        deadline = time.monotonic() + PATIENCE
        while not (log.exists() and LISTENS in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.assertIn("there is no configuration file", log.read_text())
        self.assertIn("starting up", log.read_text())
        terminal.close()
        self.assertEqual(terminal.shown, "")

    def test_another_log_than_a_terminal_has_no_banner(self) -> None:
        daemon = self.start_daemon(
            "piped",
            config=None,
            port=(port := free_port()),
            environ={"GIFTLESS_ENDPOINTS__0": f"tcp:{port}:interface=127.0.0.1"},
        )
        self.assertIn("starting up", daemon.stdout)
        self.assertIn("there is no configuration file", daemon.stdout)
        self.assertNotIn(READY, daemon.stdout)
