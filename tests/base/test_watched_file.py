"""Files that people edit while the daemon runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.task import Clock

from giftless.base.watched_file import FileProblem, WatchedFile
from giftless.errors import ConfigError
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.logs import observe
from tests.support.run import CoroutineTestCase


def parse(content: bytes) -> int:
    """Read a number."""
    try:
        return int(content)
    except ValueError:
        raise FileProblem(f"line 1: {content!r} is no number") from None


class WatchedFileTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text("1")
        self.clock = Clock()
        self.blocking = InlineBlocking()
        self.log: list[str] = []
        observe(self, self.observe)

    def observe(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("giftless.base.watched_file"):
            self.log.append(event["log_format"].format(**event))

    def watch(self, blocking: Any = None) -> WatchedFile[int]:
        return WatchedFile(str(self.path), parse, "file", blocking or self.blocking, self.clock)

    def now(self, watched: WatchedFile[int], after: float = 1) -> int:
        """Return the value, after some seconds."""
        self.clock.advance(after)
        return self.run_now(watched.current())

    def replace(self, text: str) -> None:
        """Replace the file as editors do."""
        other = Path(self.mktemp())
        other.write_text(text)
        other.rename(self.path)

    def test_a_change_counts_within_a_second(self) -> None:
        watched = self.watch()
        self.assertEqual(self.now(watched), 1)
        self.replace("2")
        self.assertEqual(self.now(watched, 0.5), 1)
        self.assertEqual(self.now(watched, 0.5), 2)

    def test_a_change_in_place_counts(self) -> None:
        watched = self.watch()
        before = self.path.stat()
        self.path.write_text("2")
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        self.assertEqual(self.now(watched), 2)

    def test_an_older_file_counts(self) -> None:
        """As when a backup is put back."""
        watched = self.watch()
        self.replace("2")
        os.utime(self.path, (0, 0))
        self.assertEqual(self.now(watched), 2)

    def test_a_file_that_did_not_change_is_not_read(self) -> None:
        watched = self.watch()
        for _ in range(10):
            self.now(watched, 0.25)
        self.assertEqual(len(self.blocking.jobs), 2)
        self.assertEqual(self.log, [])

    def test_what_is_broken_after_a_change_leaves_what_was(self) -> None:
        watched = self.watch()
        self.replace("two")
        for _ in range(3):
            self.assertEqual(self.now(watched), 1)
        self.assertEqual(len(self.log), 1)
        self.assertIn(str(self.path), self.log[0])
        self.assertIn("line 1: b'two' is no number", self.log[0])
        self.replace("3")
        self.assertEqual(self.now(watched), 3)

    def test_what_is_gone_leaves_what_was(self) -> None:
        watched = self.watch()
        self.path.unlink()
        for _ in range(3):
            self.assertEqual(self.now(watched), 1)
        self.assertEqual(len(self.log), 1)
        self.assertIn("No such file", self.log[0])
        self.path.write_text("4")
        self.assertEqual(self.now(watched), 4)

    def test_it_must_be_good_at_the_start(self) -> None:
        self.path.write_text("two")
        error = self.assertRaises(ConfigError, self.watch)
        self.assertEqual(error.path, "file")
        self.assertEqual(error.problem, f"{str(self.path)!r}: line 1: b'two' is no number")
        self.path.unlink()
        error = self.assertRaises(ConfigError, self.watch)
        self.assertIn("cannot be read: No such file", error.problem)

    def test_nobody_waits_for_a_look_that_somebody_else_takes(self) -> None:
        blocking = ManualBlocking()
        watched = self.watch(blocking)
        self.replace("2")
        self.clock.advance(1)
        first = self.start(watched.current())
        self.assertNoResult(first)
        self.assertEqual(self.run_now(watched.current()), 1)
        self.assertEqual(blocking.waiting, 1)
        blocking.do_next()
        blocking.do_next()
        self.assertEqual(self.successResultOf(first), 2)

    def test_a_look_that_fails_in_an_unforeseen_way_is_not_the_last(self) -> None:
        blocking = ManualBlocking()
        watched = self.watch(blocking)
        self.replace("2")
        self.clock.advance(1)
        first = self.start(watched.current())
        blocking.fail_next(RuntimeError("threads are gone"))
        self.failureResultOf(first, RuntimeError)
        self.clock.advance(1)
        second = self.start(watched.current())
        blocking.do_next()
        blocking.do_next()
        self.assertEqual(self.successResultOf(second), 2)

    def test_a_private_file_is_refused_while_others_may_use_it(self) -> None:
        def watch() -> WatchedFile[int]:
            return WatchedFile(
                str(self.path), parse, "file", self.blocking, self.clock, private=True
            )

        for mode in (0o644, 0o640, 0o620, 0o601):
            self.path.chmod(mode)
            error = self.assertRaises(ConfigError, watch)
            self.assertIn(f"mode is {mode:04o}", error.problem)
            self.assertIn("chmod 600", error.problem)
        self.path.chmod(0o400)
        watched = watch()
        self.replace("2")
        self.path.chmod(0o604)
        for _ in range(3):
            self.assertEqual(self.now(watched), 1)
        self.assertEqual(len(self.log), 1)
        self.path.chmod(0o600)
        self.assertEqual(self.now(watched), 2)

    def test_a_private_file_is_refused_that_belongs_to_somebody_else(self) -> None:
        if os.geteuid():
            raise SkipTest("only root can give files away")
        self.path.chmod(0o600)
        os.chown(self.path, 12345, -1)
        with self.assertRaises(ConfigError) as caught:
            WatchedFile(str(self.path), parse, "file", self.blocking, self.clock, private=True)
        self.assertIn("belongs to neither", caught.exception.problem)

    def test_whoever_cannot_wait_has_it_looked_at_now(self) -> None:
        watched = self.watch()
        self.replace("2")
        self.assertEqual(self.run_now(watched.newest()), 2)
