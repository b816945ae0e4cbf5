"""Progress of commands: in a real terminal, and in a file or a pipe."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import termios

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.commands.progress import Progress
from tests.support.processes import PATIENCE, installed

#: Counts to 1,000 in ten steps that take half a second of the clock each.
PROGRAM = """
import itertools, sys
from giftless.commands.progress import Progress
clock = itertools.count()
what = sys.argv[1].encode().decode("unicode_escape")
summary = "silent" not in sys.argv
with Progress(1000, "objects", what, summary=summary, clock=lambda: next(clock) / 2) as progress:
    for _ in range(10):
        if "clear" in sys.argv:
            progress.clear()
            print("found", file=sys.stderr)
        progress.add(100)
        if "break" in sys.argv:
            raise SystemExit("broken off")
"""


def in_terminal(columns: int, *arguments: str, term: str = "xterm") -> str:
    """Run the program in a terminal, and return all that it shows."""
    end, inside = pty.openpty()
    try:
        termios.tcsetwinsize(end, (24, columns))
        environ = {**installed().environ, "TERM": term, "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-c", PROGRAM, *arguments]
        subprocess.run(
            command,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=environ,
            timeout=PATIENCE,
            check=False,
        )
        shown = b""
        os.set_blocking(end, False)
        while True:
            try:
                shown += os.read(end, 65536)
            except BlockingIOError:
                return shown.decode()
    finally:
        os.close(inside)
        os.close(end)


class TerminalTests(SynchronousTestCase):
    def pictures(self, shown: str) -> list[str]:
        """Return the lines that were drawn one over the other."""
        first, *pictures = shown.split("\r\x1b[K")
        self.assertEqual(first, "")
        return pictures

    def test_a_bar_is_drawn_over_itself_and_ends_as_a_line(self) -> None:
        *pictures, last = self.pictures(in_terminal(100, "listing"))
        self.assertEqual(len(pictures), 11)
        self.assertEqual(pictures[0], f"listing: [{'-' * 20}]   0%  0 of 1,000 objects")
        self.assertEqual(
            pictures[5],
            f"listing: [{'#' * 10}{'-' * 10}]  50%  500 of 1,000 objects  200/s  2 s left",
        )
        self.assertIn(f"[{'#' * 20}] 100%  1,000 of 1,000 objects", pictures[-1])
        self.assertEqual(last, "listing: 1,000 objects, 5 s, 182/s\r\n")

    def test_a_bar_goes_away_if_something_else_says_what_was_done(self) -> None:
        self.assertTrue(in_terminal(100, "listing", "silent").endswith("/s\r\x1b[K"))

    def test_a_line_of_something_else_takes_the_place_of_the_bar(self) -> None:
        pictures = self.pictures(in_terminal(100, "listing", "clear"))
        self.assertEqual(pictures.count("found\r\n"), 10)
        self.assertEqual(sum("objects" in picture for picture in pictures), 12)

    def test_a_narrow_terminal_is_never_overrun(self) -> None:
        for columns in (40, 10, 2):
            for picture in self.pictures(in_terminal(columns, "listing")):
                self.assertLess(len(picture.rstrip()), columns)

    def test_hostile_names_reach_the_terminal_as_their_codes(self) -> None:
        trick = "\\x1b]0;owned\\x07\\x1b[2J\\u202e\\x9b2J\\r\\n"
        shown = in_terminal(200, trick)
        self.assertIn("\\x1b]0;owned\\x07\\x1b[2J\\u202e\\x9b2J\\r\\n: [", shown)
        rest = shown.replace("\r\x1b[K", "").removesuffix("\r\n")
        self.assertNotRegex(rest, "[\x00-\x1f\x7f-\x9f\u202e]")
        for picture in self.pictures(in_terminal(80, "x" * 4000)):
            self.assertLess(len(picture.rstrip()), 80)

    def test_what_breaks_off_leaves_the_bar_above_the_error(self) -> None:
        shown = in_terminal(100, "listing", "break")
        self.assertTrue(shown.endswith("left\r\nbroken off\r\n"), shown)

    def test_a_terminal_that_obeys_nothing_gets_plain_lines(self) -> None:
        shown = in_terminal(100, "listing", term="dumb")
        self.assertEqual(shown, "listing: 1,000 objects, 5 s, 182/s\r\n")


class PlainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()

    def progress(self, total: int | None = 1000, quiet: bool = False) -> Progress:
        return Progress(
            total,
            "bytes",
            "copying",
            quiet=quiet,
            stream=self.stream,
            clock=self.clock.seconds,
        )

    def test_a_plain_line_is_written_every_ten_seconds(self) -> None:
        with self.progress(8_000_000_000) as progress:
            for _ in range(50):
                self.clock.advance(0.5)
                progress.add(100_000_000)
        lines = self.stream.getvalue().splitlines()
        self.assertEqual(
            lines,
            [
                "copying: 25%  2.0 GB of 8.0 GB  200 MB/s  30 s left",
                "copying: 50%  4.0 GB of 8.0 GB  200 MB/s  20 s left",
                "copying: 5.0 GB, 25 s, 200 MB/s",
            ],
        )

    def test_the_rate_is_that_of_the_last_seconds(self) -> None:
        progress = self.progress(None)
        for count in (5_000_000, 10_000):
            self.clock.advance(10)
            progress.add(count)
        self.assertEqual(
            self.stream.getvalue(), "copying: 5.0 MB  500 kB/s\ncopying: 5.0 MB  1.0 kB/s\n"
        )

    def test_what_an_earlier_run_has_done_counts_but_makes_no_rate(self) -> None:
        before = 7_000_000_000
        with Progress(
            8_000_000_000,
            "bytes",
            "copying",
            before=before,
            stream=self.stream,
            clock=self.clock.seconds,
        ) as progress:
            self.clock.advance(10)
            progress.add(200_000_000)
        self.assertEqual(
            self.stream.getvalue().splitlines(),
            [
                "copying: 90%  7.2 GB of 8.0 GB  20.0 MB/s  40 s left",
                "copying: 7.2 GB, 10 s, 20.0 MB/s",
            ],
        )

    def test_nothing_to_do_and_more_than_was_said_is_no_problem(self) -> None:
        for total in (0, 5):
            progress = self.progress(total)
            self.clock.advance(10)
            progress.add(10)
        self.assertEqual(re.findall(r"\d+%", self.stream.getvalue()), ["100%", "100%"])

    def test_quiet_is_quiet(self) -> None:
        with self.progress(quiet=True) as progress:
            self.clock.advance(60)
            progress.add(1)
        self.assertEqual(self.stream.getvalue(), "")

    def test_a_reader_that_goes_away_stops_nothing(self) -> None:
        reads, writes = os.pipe()
        os.close(reads)
        stream = os.fdopen(writes, "w")
        with Progress(None, "objects", "x", stream=stream, clock=self.clock.seconds) as progress:
            self.clock.advance(10)
            progress.add(1)
        self.assertEqual(progress.count, 1)
        with contextlib.suppress(BrokenPipeError):
            stream.close()

    def test_what_fails_is_not_said_to_be_done(self) -> None:
        with self.assertRaises(ZeroDivisionError), self.progress():
            raise ZeroDivisionError
        self.assertEqual(self.stream.getvalue(), "")
