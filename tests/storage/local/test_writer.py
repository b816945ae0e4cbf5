"""Temporary files and their writers: what is removed after a crash, and what never is."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.storage.local import own
from giftless.storage.local.writer import Writer, sweep

#: Writes a temporary file, says so, and waits to be killed.
SCRIPT = """
import os, sys
from giftless.storage.local.files import Upload
from giftless.storage.local.root import Root
upload = Upload(Root(os.fsencode(sys.argv[1])).enter)
upload.write([b"half"])
print("written", flush=True)
sys.stdin.read()
"""


class WriterTestCase(SynchronousTestCase):
    """A test case with an empty root."""

    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.tmp = self.top / ".giftless" / "tmp"
        self.writers = self.top / ".giftless" / "writers"
        self.root = os.open(self.top, os.O_RDONLY)
        self.addCleanup(os.close, self.root)

    def make_file(self, writer: Writer) -> str:
        """Make a temporary file; returns its name."""
        path = writer.new_path()
        os.close(own.open_new(path, self.root))
        return os.path.basename(path).decode()

    def temporaries(self) -> list[str]:
        """List the temporary files."""
        return sorted(os.listdir(self.tmp))


class NameTests(WriterTestCase):
    def test_no_name_comes_twice(self) -> None:
        """Neither of one writer, nor of two: a process that starts again is another."""
        writers = [Writer(self.root), Writer(self.root)]
        paths = [writer.new_path() for _ in range(1000) for writer in writers]
        self.assertEqual(len(set(paths)), 2000)

    def test_names_do_not_tell_the_same_number_apart_by_its_length(self) -> None:
        """A writer's name must not begin another's file."""
        self.assertEqual({len(Writer(self.root).new_path()) for _ in range(300)}, {46})

    def test_a_writer_locks_one_file_however_much_it_writes(self) -> None:
        operations: list[int] = []
        flock = fcntl.flock

        def note(fd: int, operation: int) -> None:
            operations.append(operation)
            flock(fd, operation)

        self.patch(fcntl, "flock", note)
        writer = Writer(self.root)
        names = [self.make_file(writer) for _ in range(3)]
        self.assertEqual(operations, [fcntl.LOCK_SH])
        (lock,) = os.listdir(self.writers)
        self.assertEqual({name[:16] for name in names}, {lock})

    def test_a_root_that_is_only_read_gets_no_file(self) -> None:
        Writer(self.root)
        self.assertEqual(os.listdir(self.top), [])

    def test_a_writer_that_is_no_more_holds_no_lock(self) -> None:
        before = os.listdir("/proc/self/fd")
        writer = Writer(self.root)
        self.make_file(writer)
        self.assertEqual(sweep(self.root), 0)
        del writer
        self.assertEqual(os.listdir("/proc/self/fd"), before)
        self.assertEqual(sweep(self.root), 1)


class SweepTests(WriterTestCase):
    def start(self) -> subprocess.Popen[bytes]:
        """Start a process that writes a temporary file; it has when this returns."""
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(self.top)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"written\n")
        return process

    def test_files_of_other_processes_stay_until_these_are_dead(self) -> None:
        first, second = self.start(), self.start()
        self.assertEqual(sweep(self.root), 0)
        self.assertEqual(len(self.temporaries()), 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        self.assertEqual(sweep(self.root), 1)
        (left,) = self.temporaries()
        self.assertEqual(os.listdir(self.writers), [left[:16]])
        second.send_signal(signal.SIGKILL)
        second.wait()
        self.assertEqual(sweep(self.root), 1)
        self.assertEqual(self.temporaries(), [])
        self.assertEqual(os.listdir(self.writers), [])

    def test_a_sweep_between_the_file_and_its_lock(self) -> None:
        """The file is gone when it is locked; the writer takes another name."""
        flock = fcntl.flock
        swept: list[list[str]] = []

        def sweep_first(fd: int, operation: int) -> None:
            if not swept:
                swept.append(os.listdir(self.writers))
                sweep(self.root)
            flock(fd, operation)

        self.patch(fcntl, "flock", sweep_first)
        before = os.listdir("/proc/self/fd")
        writer = Writer(self.root)
        name = self.make_file(writer)
        self.assertNotEqual(swept, [[name[:16]]])
        self.assertEqual(os.listdir(self.writers), [name[:16]])
        self.assertEqual(sweep(self.root), 0)
        self.assertEqual(self.temporaries(), [name])
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before) + 1)

    def test_a_writer_that_begins_during_a_sweep_keeps_its_files(self) -> None:
        """It was not among the living when the sweeper looked for them."""
        self.make_file(Writer(self.root))
        listdir, late = os.listdir, []
        writer = Writer(self.root)

        def begin_after(fd: Any) -> list[str]:
            names = listdir(fd)
            if isinstance(fd, int) and os.readlink(f"/proc/self/fd/{fd}").endswith("writers"):
                late.append(self.make_file(writer))
            return names

        patch = self.patch(os, "listdir", begin_after)
        self.assertEqual(sweep(self.root), 1)
        patch.restore()
        self.assertEqual(self.temporaries(), late)

    def test_a_writer_whose_lock_cannot_be_looked_at_is_alive(self) -> None:
        """Rather a file too many than an upload that fails."""
        writer = Writer(self.root)
        name = self.make_file(writer)
        real = os.open

        def refuse(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if os.path.basename(os.fsencode(path)) == name[:16].encode():
                raise PermissionError(13, "not yours")
            return real(path, flags, *args, **options)

        self.patch(os, "open", refuse)
        del writer
        self.assertEqual(sweep(self.root), 0)
        self.assertEqual(self.temporaries(), [name])
