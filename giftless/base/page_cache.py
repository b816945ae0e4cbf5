"""What the kernel has in memory of a file, so that reading it waits for no disk."""

from __future__ import annotations

import errno
import os
from typing import Final

#: In what steps a file is made sure to be in memory before it is sent.
WARM_BYTES: Final = 8 * 1024 * 1024


def read_now(fd: int, start: int, end: int) -> bytes | None:
    """Read part of a file if that need not wait for a disk.

    :returns: all of it; ``None`` if it is not in memory, or not there.
    """
    buffer = bytearray(end - start)
    try:
        count = os.preadv(fd, [buffer], start, os.RWF_NOWAIT)
    except OSError:
        return None
    return bytes(buffer) if count == end - start else None


def in_memory(fd: int, begin: int, end: int) -> bool:
    """Whether reading there would not wait for a disk, as far as is known."""
    probe = bytearray(1)
    try:
        return all(
            os.preadv(fd, [probe], offset, os.RWF_NOWAIT) == 1
            for offset in (begin, (begin + end) // 2, end - 1)
        )
    except BlockingIOError:
        return False
    except OSError as error:
        # A file system in memory need not support the question.
        return error.errno == errno.EOPNOTSUPP


def read_into_memory(fd: int, begin: int, end: int) -> None:
    """Let the kernel have part of a file in memory.  Blocks."""
    buffer = bytearray(1024 * 1024)
    os.posix_fadvise(fd, begin, 2 * (end - begin), os.POSIX_FADV_WILLNEED)
    while begin < end:
        count = os.preadv(fd, [buffer], begin)
        if count == 0:
            return
        begin += count
