"""Look objects up: which are there, how large they are, and open one.

The functions block.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from giftless.base.together import Together
from giftless.errors import LFSError
from giftless.interfaces import IBlocking
from giftless.storage.local import damage
from giftless.storage.local.files import ABSENT, size_of
from giftless.storage.local.root import Held, Root

#: What is told of an object: its size in bytes, ``None`` if it is absent, or an error.
Size = int | LFSError | None


class Lookups:
    """Where short lookups share a thread's turn, for each disk by itself.

    One disk may be slow, or hang.

    :param blocking: runs them.
    """

    def __init__(self, blocking: IBlocking) -> None:
        self._blocking = blocking
        self._disks: dict[Root, Together] = {}

    def on(self, root: Root) -> Together:
        """Return what runs lookups on a root's disk."""
        together = self._disks.get(root)
        if together is None:
            together = self._disks[root] = Together(self._blocking)
        return together


def sizes_below(held: Held, paths: Sequence[bytes]) -> Sequence[Size]:
    """Return what is to be told of each of some objects.

    :param paths: theirs, below the root.
    """
    sizes: list[Size] = [size_of(path, held.fd) for path in paths]
    if None in sizes and not damage.is_empty(held):
        return [
            damage.look_for(held, path) if size is None else size
            for path, size in zip(paths, sizes, strict=True)
        ]
    return sizes


def open_file(held: Held, path: bytes) -> tuple[int, int] | None:
    """Open an object for reading.

    :param path: its path below the root.
    :returns: its descriptor, and its size in bytes; ``None`` if it is absent.
    :raises ObjectDamaged: if it is set apart.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, dir_fd=held.fd)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        if (damaged := damage.look_for(held, path)) is not None:
            raise damaged from None
        return None
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            opened, fd = (fd, status.st_size), -1
            return opened
        return None
    finally:
        if fd >= 0:
            os.close(fd)
