"""Files that appear whole and durable, or not at all.  Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Sequence
from typing import Final

#: The most buffers that one ``writev`` takes.
_IOV_MAX: Final = os.sysconf("SC_IOV_MAX")

#: The errno values that mean "no such file": nothing is there, or a link
#: (``ELOOP``), or a socket (``ENXIO``).
ABSENT: Final = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENXIO,
}


class Upload:
    """A temporary file that may become an object, or a part of one.

    :param directory: where it is made, at the first write.
    :param size: how many bytes are announced, 0 if that is not known.
    """

    def __init__(self, directory: bytes, size: int) -> None:
        self._directory = directory
        self._size = size
        self._written = 0
        self._path: bytes | None = None
        self._fd = -1

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append chunks.

        :raises OSError: from the file system, for instance when it is full.
        """
        if self._fd < 0:
            self._create()
        pending = [memoryview(chunk) for chunk in chunks]
        start = self._written
        while pending:
            count = os.writev(self._fd, pending[:_IOV_MAX])
            self._written += count
            while pending and count >= len(pending[0]):
                count -= len(pending.pop(0))
            if count:
                pending[0] = pending[0][count:]
        # Starts writing to the disk now, so that little is left for the fsync
        # at the end.  What is being written is not dropped from memory.
        os.posix_fadvise(self._fd, start, self._written - start, os.POSIX_FADV_DONTNEED)

    def rename(self, target: bytes, top: bytes) -> None:
        """Make the bytes durable and visible as ``target``, below ``top``."""
        self.move(target, top)
        sync_names([target])

    def move(self, target: bytes, top: bytes) -> None:
        """Make the bytes durable and visible; the caller syncs the new name.

        :param target: where to.
        :param top: what exists already of the directories on the way.
        """
        if self._fd < 0:
            self._create()
        assert self._path is not None
        os.fsync(self._fd)
        for last in (False, False, False, True):
            try:
                os.rename(self._path, target)
                break
            except FileNotFoundError:
                # Directories of parts are removed while others begin to use them.
                if last:
                    raise
                make_directories(os.path.dirname(target), top)
        self._path = None

    def close(self) -> None:
        """Free the file; remove it unless it was renamed."""
        if self._path is not None:
            os.unlink(self._path)
            self._path = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _create(self) -> None:
        while not self._lock_new():
            pass
        # Refuse before the client has sent gigabytes for nothing.
        if self._size and self._size > available(self._directory):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _lock_new(self) -> bool:
        """Make and lock a file.

        :returns: whether that succeeded; otherwise, try again.
        """
        path = os.path.join(self._directory, os.urandom(16).hex().encode())
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            os.makedirs(self._directory, exist_ok=True)
            return False
        try:
            # Held for as long as this process lives: tells sweepers to keep off.
            fcntl.flock(fd, fcntl.LOCK_EX)
            # One that starts now may have locked, and then removed, it before.
            if os.fstat(fd).st_nlink == 0:
                os.close(fd)
                return False
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._path = fd, path
        return True


def size_of(path: bytes) -> int | None:
    """Return a file's size in bytes; ``None`` if no regular file is there."""
    try:
        status = os.lstat(path)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def remove(path: bytes) -> None:
    """Remove a file, durably; harmless if no regular file is there."""
    if size_of(path) is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    # Even if it was gone: who has removed it may not have synced it yet.
    sync_names([path])


def available(path: bytes) -> int:
    """Return how many bytes can be written below a directory."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def make_directories(path: bytes, top: bytes) -> None:
    """Make ``path``, each new directory durable, down from ``top``."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if path != top:
        make_directories(parent, top)
    # Another upload may be faster; it need not have synced yet.
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    sync_directory(parent)


def sync_names(paths: Iterable[bytes]) -> None:
    """Make the names of files durable, with one sync for each directory.

    A file that has been removed since, with its directory, needs none.
    """
    for directory in {os.path.dirname(path) for path in paths}:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            sync_directory(directory)


def sync_directory(path: bytes) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep(directory: bytes) -> int:
    """Remove what killed uploads left behind.

    Files of uploads that run now, in this process or another, are locked by it
    and stay.

    :returns: how many files were removed.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return 0
    return sum(_remove_if_stale(os.path.join(directory, name)) for name in names)


def _remove_if_stale(path: bytes) -> int:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        return 0
    finally:
        os.close(fd)
    return 1
