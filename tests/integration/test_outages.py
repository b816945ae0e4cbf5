"""``/health/ready`` while what the server needs is away: false in time, and true again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.test_monitoring import Admin, MonitoringTestCase
from tests.support.disks import small_disk
from tests.support.postgresql import PostgreSQLServer, postgresql
from tests.support.processes import wait_until
from tests.support.servers import S3, shared, versitygw

MIB = 1024 * 1024

#: In how many seconds an outage is known, on a busy machine too.
SOON = 30.0


def serving_port(port: int) -> int:
    """Return the number of the process that was told to listen on a port."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"127.0.0.1:{port}".encode() in words:
            return int(line.parent.name)
    raise AssertionError(f"nothing listens on {port}")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process: it keeps its sockets, and does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class OutageTests(MonitoringTestCase):
    def assert_outage(self, admin: Admin, part: str, *words: str) -> None:
        """Check that it is seen in time, told of in words, and nothing is restarted for it."""
        began = time.monotonic()
        wait_until(lambda: admin.health()[0] == 503, "the outage to be seen")
        self.assertLess(time.monotonic() - began, SOON)
        parts = admin.health()[1]["parts"]
        self.assertTrue(any(word in parts[part] for word in words), parts)
        self.assertEqual({parts[name] for name in parts if name != part}, {"well"})
        self.assertEqual(admin.get("/health/live")[0], 200)
        self.assertEqual(admin.samples()["giftless_part_ready", f"part={part}"], 0)

    def assert_well(self, admin: Admin) -> None:
        """Check that it is ready, at once or soon."""
        wait_until(lambda: admin.health()[0] == 200, "the end of the outage")

    def disk(self, room: int = 8 * MIB) -> Path:
        """Mount a small disk."""
        place = self.directory / "disk"
        place.mkdir()
        mounted = small_disk(place, room)
        disk = mounted.__enter__()
        self.addCleanup(mounted.__exit__, None, None, None)
        return disk

    def serve_disk(self, disk: Path) -> Admin:
        storage = {"type": "local", "path": str(disk / "objects")}
        self.daemon, admin = self.serve(1, storage=storage)
        # Before the disk is unmounted.
        self.addCleanup(self.daemon.stop)
        self.assert_well(admin)
        return admin

    def test_a_full_disk_is_not_ready(self) -> None:
        disk = self.disk()
        admin = self.serve_disk(disk)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (MIB, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
        self.assert_outage(admin, "store", "No space left", "room", "full")
        filler.unlink()
        self.assert_well(admin)

    def test_a_disk_that_is_made_read_only_is_not_ready(self) -> None:
        """Whatever has been stored before: no file stays open there for writing."""
        disk = self.disk()
        admin = self.serve_disk(disk)
        self.assertEqual(self.daemon.put(b"an object"), 200)
        for options, check in (
            ("remount,ro", lambda: self.assert_outage(admin, "store", "Read-only file system")),
            ("remount,rw", lambda: self.assert_well(admin)),
        ):
            subprocess.run(["mount", "-o", options, str(disk)], check=True)
            check()
        self.assertEqual(self.daemon.put(b"another"), 200)

    def test_a_disk_that_becomes_read_only_is_not_ready(self) -> None:
        """As the kernel makes one that fails, whoever has files open there."""
        disk, fail = self.failing_disk()
        admin = self.serve_disk(disk)
        fail.write_text("1")
        self.assert_outage(admin, "store", "Read-only file system")

    def failing_disk(self) -> tuple[Path, Path]:
        """Mount a disk of ext4.

        :returns: where it is, and the file that makes it fail if something is written there.
        :raises SkipTest: if that is not permitted here.
        """
        image, disk = self.directory / "image", self.directory / "disk"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(32 * MIB)
        for command in (
            ["mkfs.ext4", "-q", str(image)],
            ["mount", "-o", "loop,errors=remount-ro", str(image), str(disk)],
        ):
            try:
                subprocess.run(command, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise SkipTest(f"cannot mount a disk that fails: {error}") from None
        unmount = ["umount", "--quiet", str(disk)]
        self.addCleanup(
            wait_until, lambda: subprocess.run(unmount).returncode == 0, "the disk to be free"
        )
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(disk)], check=True, capture_output=True, text=True
        )
        device = found.stdout.strip().rpartition("/")[2]
        fail = Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
        if not os.access(fail, os.W_OK):
            raise SkipTest("the kernel cannot be told that a disk fails")
        return disk, fail

    def serve_bucket(self) -> tuple[S3, Admin]:
        """Serve a bucket of an S3 server of its own."""
        place = self.directory / "s3"
        place.mkdir()
        running = versitygw(place)
        server = running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        daemon, admin = self.serve(1, storage=server.options("bucket"))
        self.addCleanup(daemon.stop)
        self.assert_well(admin)
        return server, admin

    def test_a_store_of_s3_that_hangs_is_not_ready(self) -> None:
        server, admin = self.serve_bucket()
        with stopped(serving_port(server.port)):
            self.assert_outage(admin, "store", "no answer within 4 seconds")
            self.assertNotIn("CancelledError", admin.health()[1]["parts"]["store"])
        self.assert_well(admin)

    def test_a_store_of_s3_that_is_gone_is_not_ready(self) -> None:
        server, admin = self.serve_bucket()
        pid = serving_port(server.port)
        command = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
        environ = dict(
            item.split("=", 1)
            for item in Path(f"/proc/{pid}/environ").read_text().split("\0")
            if item
        )
        os.kill(pid, signal.SIGKILL)
        self.assert_outage(admin, "store", "Connection was refused")
        again: Any = subprocess.Popen(
            command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.addCleanup(again.wait)
        self.addCleanup(again.terminate)
        self.assert_well(admin)

    def test_a_database_of_locks_that_hangs_is_not_ready(self) -> None:
        server: PostgreSQLServer = shared(postgresql)
        conninfo = server.conninfo(server.make_database())
        _, admin = self.serve(1, locks={"type": "postgresql", "conninfo": conninfo})
        self.assert_well(admin)
        processes = subprocess.run(
            ["pgrep", "-f", f"postgres.*{server.data}"], capture_output=True, text=True, check=True
        )
        pids = [int(pid) for pid in processes.stdout.split()]
        children = [
            int(child)
            for pid in pids
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
        for pid in (*pids, *children):
            os.kill(pid, signal.SIGSTOP)
        try:
            self.assert_outage(admin, "locks", "not answered", "cannot be reached")
        finally:
            for pid in (*pids, *children):
                os.kill(pid, signal.SIGCONT)
        self.assert_well(admin)
