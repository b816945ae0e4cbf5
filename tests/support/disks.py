"""File systems for tests that fill one, or let it take nothing more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.support.processes import wait_until


@contextmanager
def small_disk(disk: Path, room: int) -> Iterator[Path]:
    """Mount a file system.

    :param disk: where.
    :param room: its size in bytes.
    :raises SkipTest: if that is not permitted here.
    """
    if os.geteuid() != 0:
        raise SkipTest("only root can mount a file system that is small enough to fill")
    command = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        raise SkipTest(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        # A worker whose parent is killed holds the disk for some time.
        unmount = ["umount", "--quiet", str(disk)]
        wait_until(lambda: subprocess.run(unmount).returncode == 0, "the disk to be free")
