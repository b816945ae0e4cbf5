"""``giftless top`` in a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from http.server import HTTPServer
from pathlib import Path

import msgspec

from tests.commands.support import OVERVIEW, Handler, ServerTestCase
from tests.runtime.admin.pages.sample import HOSTILE, overview
from tests.support.commands import run_command, start_command
from tests.support.processes import PATIENCE, installed

#: The installed command.
GIFTLESS = str(Path(sys.executable).with_name("giftless"))

#: Runs it as a login does.
AT_TERMINAL = str(Path(__file__).parents[1] / "support" / "at_terminal.py")

#: What the terminal is told before and behind the pictures.
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"

#: Everything that a picture tells the terminal: places, styles, and to clear the rest.
OBEYED = re.compile(r"\x1b\[(H|K|J|0m|1m|1;7m)")

#: Sets titles, clears the screen, turns the direction of writing.
TRICK = "\x1b]0;owned\x07\x1b[2J\u202e\x9b2J"


def command(*arguments: str) -> list[str]:
    """Return the command line of ``giftless top``."""
    return [sys.executable, GIFTLESS, "top", *arguments]


class Terminal:
    """A terminal with a program.

    :ivar text: all that was shown so far.
    """

    def __init__(self, columns: int, lines: int, *arguments: str) -> None:
        self._end, inside = pty.openpty()
        self.text = ""
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(inside)
        self.process = start_command(
            *(AT_TERMINAL, GIFTLESS, "top", *arguments),
            directory=Path.cwd(),
            files=[inside] * 3,
            environ={"TERM": "xterm", "LC_ALL": "C.UTF-8"},
        )
        self.inside = inside

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window, of which the program is told."""
        termios.tcsetwinsize(self._end, (lines, columns))

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._end, keys)

    def read(self, seconds: float) -> None:
        """Take what is shown within some time."""
        ready, _, _ = select.select([self._end], [], [], seconds)
        if ready:
            self.text += os.read(self._end, 65536).decode("utf-8", "replace")

    def wait_for(self, words: str) -> str:
        """Wait until something is shown that was not shown before.

        :returns: the text up to and including it.
        """
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            if time.monotonic() > deadline:
                raise AssertionError(f"{words!r} is not shown: {self.text!r}")
            self.read(1)
        shown, _, self.text = self.text.partition(words)
        return shown + words

    def ended(self) -> int:
        """Wait for the end of the program, and return its status."""
        while (status := self.process.poll()) is None:
            self.read(0.05)
        self.read(0.1)
        return status

    def close(self) -> None:
        """End everything."""
        self.process.kill()
        self.process.wait()
        os.close(self.inside)
        os.close(self._end)


class TerminalTests(ServerTestCase):
    def setUp(self) -> None:
        self.server = self.tcp()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def open(self, columns: int = 80, lines: int = 24, url: str = "") -> Terminal:
        """Open a terminal, and wait for the first picture."""
        terminal = Terminal(columns, lines, "--url", url or self.url)
        self.addCleanup(terminal.close)
        terminal.wait_for(ENTER)
        return terminal

    def picture(self, terminal: Terminal) -> list[str]:
        """Return the lines of the next whole picture, without styles."""
        terminal.wait_for("\x1b[H")
        shown = terminal.wait_for("\x1b[J")
        self.assertNotIn("\x1b", OBEYED.sub("", shown))
        return [OBEYED.sub("", line).rstrip() for line in shown.split("\r\n")]

    def assert_restored(self, terminal: Terminal) -> None:
        """Check that the terminal is as it was."""
        self.assertIn(LEAVE, terminal.text)
        self.assertIn("\x1b[?25h", terminal.text)
        self.assertEqual(termios.tcgetattr(terminal.inside), terminal.modes)
        self.assertNotIn("Traceback", terminal.text)

    def test_it_is_shown_at_80_by_24_until_q_is_pressed(self) -> None:
        terminal = self.open()
        lines = self.picture(terminal)
        self.assertEqual(len(lines), 24)
        self.assertTrue(lines[0].startswith("giftless 1.0   https://lfs.example.com"))
        self.assertLessEqual(max(map(len, lines)), 80)
        terminal.press(b"q")
        self.assertEqual(terminal.ended(), 0)
        self.assert_restored(terminal)

    def test_ctrl_c_and_signals_give_the_terminal_back(self) -> None:
        for end, status in ((b"\x03", 0), (signal.SIGTERM, 143)):
            terminal = self.open()
            self.picture(terminal)
            if isinstance(end, bytes):
                terminal.press(end)
            else:
                terminal.process.send_signal(end)
            self.assertEqual(terminal.ended(), status)
            self.assert_restored(terminal)

    def test_another_size_is_filled_at_once(self) -> None:
        terminal = self.open()
        self.picture(terminal)
        for columns, lines in ((120, 40), (40, 6), (1, 1)):
            terminal.resize(columns, lines)
            terminal.process.send_signal(signal.SIGWINCH)
            while len(shown := self.picture(terminal)) > lines:
                pass
            self.assertLessEqual(max(map(len, shown)), columns)

    def test_figures_are_new_every_two_seconds(self) -> None:
        terminal = self.open()
        self.picture(terminal)
        newer = overview(url="https://newer.example")
        self.server.answer = 200, msgspec.json.encode(newer)
        began = time.monotonic()
        terminal.wait_for("https://newer.example")
        self.assertLess(time.monotonic() - began, PATIENCE)
        self.assertEqual(self.server.asked[0][0], "/overview.json")

    def test_a_daemon_that_is_away_is_waited_for(self) -> None:
        terminal = self.open()
        self.picture(terminal)
        port = self.server.server_port
        self.server.shutdown()
        self.server.server_close()
        terminal.wait_for("trying again")
        # What was seen last stays.
        terminal.wait_for("https://lfs.example.com")
        again = self.serve(HTTPServer(("127.0.0.1", port), Handler))
        again.answer = 200, msgspec.json.encode(overview(url="https://again.example"))
        terminal.wait_for("https://again.example")
        self.assertNotIn("trying again", "".join(self.picture(terminal)))

    def test_hostile_names_reach_the_terminal_as_their_codes(self) -> None:
        hostile = overview((*HOSTILE, TRICK), url=f"http://{TRICK}", reload_problem=TRICK)
        self.server.answer = 200, msgspec.json.encode(hostile)
        terminal = self.open(250, 100)
        text = "\n".join(self.picture(terminal))
        self.assertIn("\\x1b]0;owned\\x07\\x1b[2J\\u202e\\x9b2J", text)
        self.assertNotRegex(
            text, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]"
        )

    def test_ctrl_z_gives_the_terminal_back_for_a_while(self) -> None:
        terminal = self.open()
        self.picture(terminal)
        os.kill(terminal.process.pid, signal.SIGTSTP)
        terminal.wait_for(LEAVE)
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.wait_for(ENTER)
        self.picture(terminal)
        terminal.press(b"q")
        self.assertEqual(terminal.ended(), 0)

    def test_a_terminal_that_goes_away_ends_it(self) -> None:
        terminal = self.open()
        self.picture(terminal)
        terminal.process.send_signal(signal.SIGHUP)
        self.assertEqual(terminal.ended(), 129)


class PipeTests(ServerTestCase):
    """Without a terminal."""

    def run_top(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_command("giftless", "top", *arguments, directory=Path.cwd())

    def test_it_is_shown_once(self) -> None:
        server = self.tcp()
        result = self.run_top("--url", f"http://127.0.0.1:{server.server_port}")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(result.stdout.startswith("giftless 1.0"))
        self.assertNotIn("\x1b", result.stdout)
        self.assertEqual(len(server.asked), 1)

    def test_the_first_admin_endpoint_of_the_configuration_is_asked(self) -> None:
        server = self.tcp()
        file = Path(self.mktemp())
        endpoint = f"tcp:{server.server_port}:interface=127.0.0.1"
        file.write_text(f'admin: {{endpoints: ["{endpoint}", "tcp:1"]}}\n')
        result = self.run_top("--once", "--config", str(file))
        self.assertIn(OVERVIEW.url, result.stdout)
        file.write_text("{}\n")
        result = self.run_top("--once", "--config", str(file))
        self.assertEqual(result.returncode, 1)
        self.assertIn("no admin endpoint (admin.endpoints)", result.stderr)

    def test_a_daemon_that_is_away_is_an_error(self) -> None:
        result = self.run_top("--once", "--url", "http://127.0.0.1:1")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(result.stderr, "giftless: http://127.0.0.1:1: Connection refused\n")

    def test_an_encoding_that_knows_little_is_no_problem(self) -> None:
        hostile = overview(HOSTILE)
        server = self.tcp()
        server.answer = 200, msgspec.json.encode(hostile)
        for encoding in ("ascii", "latin-1"):
            environ = {**installed().environ, "PYTHONIOENCODING": encoding}
            result = subprocess.run(
                command("--once", "--url", f"http://127.0.0.1:{server.server_port}"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environ,
                timeout=PATIENCE,
            )
            self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_a_reader_that_goes_away_is_no_problem(self) -> None:
        server = self.tcp()
        url = f"http://127.0.0.1:{server.server_port}"
        process = subprocess.Popen(
            command("--once", "--url", url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(installed().environ),
        )
        with process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            errors = process.stderr.read()
        self.assertEqual((process.returncode, errors), (0, b""))
