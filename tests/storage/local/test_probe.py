"""Whether a disk works: tried by a file, of which nothing stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zope.interface.verify import verifyObject

from giftless.errors import StorageUnavailable
from giftless.interfaces import IProbing
from giftless.storage.local import probe
from giftless.storage.local.files import Upload
from giftless.storage.local.store import LocalStore
from tests.support.blocking import InlineBlocking
from tests.support.run import CoroutineTestCase

#: A process that is killed in the middle of a probe.
KILLED = """
import os, signal, sys
from giftless.storage.local import probe, root
from giftless.storage.local.files import Upload
Upload.read_back = lambda _: os.kill(os.getpid(), signal.SIGKILL)
probe.probe([root.Root(os.fsencode(sys.argv[1]))])
"""


class ProbeTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.store = LocalStore(str(self.top), "", InlineBlocking())

    def probe(self) -> None:
        self.run_now(self.store.probe())

    def problem(self) -> str:
        error: StorageUnavailable = self.assert_fails(StorageUnavailable, self.store.probe())
        return error.message

    def files(self) -> list[Path]:
        """List what is there, without what says which processes write."""
        files = [path for path in self.top.rglob("*") if path.is_file()]
        return [path for path in files if path.parent.name != "writers"]

    def test_it_provides_its_interface(self) -> None:
        verifyObject(IProbing, self.store)

    def test_nothing_stays_of_a_probe(self) -> None:
        self.probe()
        self.assertEqual(self.files(), [])
        self.assertEqual(self.run_now(self.store.list(None)).objects, [])

    def test_a_file_is_written_and_read(self) -> None:
        """Another one each time."""
        written: list[bytes] = []
        write = Upload.write

        def note(upload: Upload, chunks: Sequence[bytes]) -> None:
            written.extend(chunks)
            write(upload, chunks)

        self.patch(Upload, "write", note)
        self.probe()
        self.probe()
        self.assertEqual(len(set(written)), 2)

    def failing(self, step: str, number: int) -> Any:
        """Let a step of every upload fail."""

        def fail(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        return self.patch(Upload, step, fail)

    def test_whatever_fails_is_told_with_its_place(self) -> None:
        for step in ("write", "read_back", "remove"):
            for number in (errno.ENOSPC, errno.EROFS, errno.EIO):
                failing = self.failing(step, number)
                problem = self.problem()
                failing.restore()
                self.assertIn(os.strerror(number), problem)
                self.assertIn(str(self.top), problem)

    def test_other_bytes_are_a_problem(self) -> None:
        self.patch(Upload, "read_back", lambda _: iter([b"other"]))
        self.assertIn("other bytes are read than were written", self.problem())
        self.assertEqual(self.files(), [])

    def test_a_full_disk_is_a_problem(self) -> None:
        """Also for root, who may use what is kept back for root."""
        self.patch(probe, "Upload", lambda enter, _, early: Upload(enter, 2**62, early))
        self.assertIn(os.strerror(errno.ENOSPC), self.problem())

    def test_a_missing_directory_is_a_problem(self) -> None:
        self.probe()
        self.top.rename(self.top.with_name("elsewhere"))
        self.assertIn(os.strerror(errno.ENOENT), self.problem())
        self.top.with_name("elsewhere").rename(self.top)
        self.probe()

    def test_a_server_of_files_that_came_back_is_found_again(self) -> None:
        self.probe()
        write = Upload.write
        self.failing("write", errno.ESTALE)
        self.problem()
        self.patch(Upload, "write", write)
        self.assertIsNone(self.store._disks.main._held)
        self.probe()

    def test_what_a_killed_process_has_left_is_swept(self) -> None:
        killed = subprocess.run([sys.executable, "-c", KILLED, str(self.top)])
        self.assertEqual(killed.returncode, -9)
        self.assertEqual(len(self.files()), 1)
        self.store.sweep()
        self.assertEqual(self.files(), [])
