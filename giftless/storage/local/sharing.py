"""Let equal objects share the bytes of one file.

Each of the others becomes a hard link to that file, by exchanging two names at once
(``renameat2`` with ``RENAME_EXCHANGE``): which fails if the other has been deleted, so
nothing comes back that somebody deletes meanwhile.  Everything here blocks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from typing import Final

from giftless.storage.local.copying import temporary_link
from giftless.storage.local.disks import Place
from giftless.storage.local.files import ABSENT, sync_names
from giftless.storage.local.root import NO_LINKS, Held

#: From ``linux/fs.h``: both names must be there, and each gets the other's file.
_RENAME_EXCHANGE: Final = 2

#: glibc 2.28 has it; without it, nothing is shared.
_renameat2: Final = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)

#: What is raised if a file cannot share another's bytes: it is left alone.
_CANNOT: Final = NO_LINKS | ABSENT | {errno.EXDEV, errno.EINVAL, errno.EISDIR}


def share_file(place: Place, others: Iterable[Place]) -> int:
    """Make equal files links to one of them, durably: :meth:`giftless.interfaces.ISharing.share`.

    :param place: the file whose bytes they shall share.
    :param others: those on other disks, and those of another size, are left alone.
    :returns: how many have become links.
    :raises OSError: from the file system.
    """
    held = place.root.enter()
    return sum(_share(held, place.path, path) for root, path in others if root is place.root)


def _share(held: Held, path: bytes, other: bytes) -> bool:
    """Make a file a link to another one; returns ``False`` if it is left alone."""
    try:
        theirs = os.lstat(other, dir_fd=held.fd)
        if not stat.S_ISREG(theirs.st_mode) or os.path.samestat(theirs, _status(held, path)):
            return False
        with temporary_link(held, path) as name:
            return _replace(held, name, other)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise


def _replace(held: Held, name: bytes, other: bytes) -> bool:
    """Give a file's temporary name to what it shall replace, and its name to the file."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=held.fd)
    try:
        size = os.fstat(fd).st_size
        theirs = _status(held, other)
        if not _is_equal(theirs, size):
            return False
        _keep_newest(fd, theirs)
        _exchange(held, name, other)
        old = _status(held, name)
        if not _is_equal(old, size):
            # Somebody has put something else there just now.
            _exchange(held, name, other)
            return False
        # Or has stored it again.
        _keep_newest(fd, old)
        sync_names([(held, other)])
        return not os.path.samestat(old, os.fstat(fd))
    finally:
        os.close(fd)


def _is_equal(status: os.stat_result, size: int) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_size == size


def _keep_newest(fd: int, status: os.stat_result) -> None:
    """See to it that an object is not said to have been stored earlier than it was."""
    mine = os.fstat(fd)
    if status.st_mtime_ns > mine.st_mtime_ns:
        os.utime(fd, ns=(mine.st_atime_ns, status.st_mtime_ns))


def _status(held: Held, path: bytes) -> os.stat_result:
    return os.lstat(path, dir_fd=held.fd)


def _exchange(held: Held, name: bytes, other: bytes) -> None:
    """Exchange the names of two files below a root.

    :raises OSError: if one is missing, or the file system cannot do this.
    """
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _renameat2(held.fd, name, held.fd, other, _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
