"""Who writes temporary files: so that a sweeper can tell what a dead process has left.

A process that writes below a root makes a file of its own there, in
``.giftless/writers``, and holds a lock on it for as long as it lives.  The names of its
temporary files begin with that file's name, so none of them needs a lock of its own.
Everything here blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import threading
from typing import Final

from giftless.storage.local.own import OWN, open_new

#: The directory of temporary files, below a root.
TMP: Final = OWN + b"/tmp"

#: The directory of the files that writers have locked.
WRITERS: Final = OWN + b"/writers"

#: How long a writer's name is, in bytes.
_NAME_LENGTH: Final = 16


class Writer:
    """What a process writes below a root.

    :param root: the root's descriptor, which stays open for as long as this is used.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._lock = -1
        self._name = b""
        self._count = itertools.count()
        self._beginning = threading.Lock()

    def __del__(self) -> None:
        if self._lock >= 0:
            # A child of this process that runs no other program yet has closed it.
            with contextlib.suppress(OSError):
                os.close(self._lock)

    def new_path(self) -> bytes:
        """Return a path, below the root, that no other temporary file has or had."""
        if self._lock < 0:
            with self._beginning:
                while self._lock < 0:
                    self._begin()
        return b"%b/%b%016x" % (TMP, self._name, next(self._count))

    def _begin(self) -> None:
        """Take a name and lock its file; without success if a sweeper comes between.

        The file is open for reading, so that a disk can be made read-only meanwhile.  NFS
        gives such a file a shared lock only, which keeps sweepers out as well.
        """
        name = secrets.token_hex(_NAME_LENGTH // 2).encode()
        fd = open_new(os.path.join(WRITERS, name), self._root, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            # Who sweeps now may have locked, and then removed, it before.
            if os.fstat(fd).st_nlink:
                self._name, self._lock, fd = name, fd, -1
        finally:
            if fd >= 0:
                os.close(fd)


def sweep(root: int) -> int:
    """Remove what dead processes have left behind.

    :param root: the root's descriptor.
    :returns: how many temporary files were removed.
    """
    # In this order: who is not a writer yet has no file in the list.
    names = _names_in(TMP, root)
    living = {name for name in _names_in(WRITERS, root) if _lives(name, root)}
    return sum(
        _remove(os.path.join(TMP, name), root)
        for name in names
        if name[:_NAME_LENGTH] not in living
    )


def _lives(name: bytes, root: int) -> bool:
    """Whether a writer's process lives; if it does not, its file is removed."""
    path = os.path.join(WRITERS, name)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=root)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path, root)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _names_in(directory: bytes, root: int) -> list[bytes]:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    except FileNotFoundError:
        return []
    try:
        return [os.fsencode(name) for name in os.listdir(fd)]
    finally:
        os.close(fd)


def _remove(path: bytes, root: int) -> int:
    with contextlib.suppress(OSError):
        os.unlink(path, dir_fd=root)
        return 1
    return 0
