"""Files that appear whole and durable, or not at all.  Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Sequence
from typing import Final

from giftless.storage.local.root import DIRECTORY_MODE, FILE_MODE, OWN, Held, Root

#: The directory of temporary files, below a root.
TMP: Final = OWN + b"/tmp"

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

#: How often a file is renamed into a directory that others remove just then.
_ATTEMPTS: Final = 8

#: How much is copied at once to another file system, in bytes.
_COPY_SIZE: Final = 1024 * 1024

#: A file's name: the root that holds it, and the path from there.
Name = tuple[Held, bytes]


class Upload:
    """A temporary file that may become an object, or a part of one.

    :param root: the root below which it is made, at the first write.
    :param size: how many bytes are announced, 0 if that is not known.
    """

    def __init__(self, root: Root, size: int) -> None:
        self._root = root
        self._size = size
        self._written = 0
        self._held: Held | None = None
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

    def rename(self, target: bytes) -> None:
        """Make the bytes durable and visible as ``target``, a path below the root."""
        sync_names([self.move(target)])

    def move(self, target: bytes) -> Name:
        """Make the bytes durable and visible; the caller syncs the name.

        :param target: where to, below the root.
        :returns: the name.
        :raises FileNotFoundError: if others keep removing the target's directory.
        """
        if self._fd < 0:
            self._create()
        held = self._held
        assert held is not None and self._path is not None
        os.fsync(self._fd)
        directory = os.path.dirname(target)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                make_directories(held, directory)
                os.rename(self._path, target, src_dir_fd=held.fd, dst_dir_fd=held.fd)
                break
            except FileNotFoundError:
                # Directories of parts are removed while others begin to use them.
                held.forget_synced(directory)
                if attempt == _ATTEMPTS:
                    raise
        self._path = None
        return held, target

    def copy(self, root: Root) -> Upload:
        """Return a copy of the file below another root, on another file system."""
        assert self._held is not None and self._path is not None
        copy = Upload(root, self._written)
        source = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._held.fd)
        try:
            while data := os.read(source, _COPY_SIZE):
                copy.write([data])
        except BaseException:
            copy.close()
            raise
        finally:
            os.close(source)
        return copy

    def close(self) -> None:
        """Free the file; remove it unless it was renamed."""
        if self._path is not None:
            assert self._held is not None
            # On a disk that takes no changes any more, the next sweep removes it.
            with contextlib.suppress(OSError):
                os.unlink(self._path, dir_fd=self._held.fd)
            self._path = None
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _create(self) -> None:
        held = self._held = self._root.enter()
        while not self._lock_new(held):
            pass
        # Refuse before the client has sent gigabytes for nothing.
        if self._size and self._size > available(held.fd):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _lock_new(self, held: Held) -> bool:
        """Make and lock a file.

        :returns: whether that succeeded; otherwise, try again.
        """
        path = os.path.join(TMP, os.urandom(16).hex().encode())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, FILE_MODE, dir_fd=held.fd)
        except FileNotFoundError:
            for directory in (OWN, TMP):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(directory, DIRECTORY_MODE, dir_fd=held.fd)
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


def size_of(path: bytes, fd: int) -> int | None:
    """Return a file's size in bytes; ``None`` if no regular file is there.

    :param fd: the directory from which the path goes.
    """
    try:
        status = os.lstat(path, dir_fd=fd)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def remove(held: Held, path: bytes) -> None:
    """Remove a file, durably; harmless if no regular file is there."""
    if size_of(path, held.fd) is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path, dir_fd=held.fd)
    # Even if it was gone: who has removed it may not have synced it yet.
    sync_names([(held, path)])


def available(directory: int) -> int:
    """Return how many bytes can be written to a directory's file system.

    :param directory: its descriptor.
    """
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def make_directories(held: Held, path: bytes) -> None:
    """Make ``path``, below a root, and make its name and those above it durable.

    Also of directories that are there: who has made them may not have synced them
    yet, and be killed before.  Each is synced once in the life of this process.
    """
    if not path or held.is_synced(path):
        return
    parent = os.path.dirname(path)
    make_directories(held, parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, DIRECTORY_MODE, dir_fd=held.fd)
    sync_directory(held, parent)
    held.note_synced(path)


def sync_names(names: Iterable[Name]) -> None:
    """Make the names of files durable, with one sync for each directory.

    A file that has been removed since, with its directory, needs none.
    """
    for held, directory in {(held, os.path.dirname(path)) for held, path in names}:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            sync_directory(held, directory)


def sync_directory(held: Held, path: bytes) -> None:
    """Make the names in a directory durable; the root itself has an empty path."""
    if not path:
        os.fsync(held.fd)
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held.fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep(root: Root) -> int:
    """Remove what killed uploads left behind below a root.

    Files of uploads that run now, in this process or another, are locked by it
    and stay.

    :returns: how many files were removed.
    """
    held = root.enter()
    try:
        directory = os.open(TMP, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held.fd)
    except FileNotFoundError:
        return 0
    try:
        return sum(_remove_if_stale(directory, name) for name in os.listdir(directory))
    finally:
        os.close(directory)


def _remove_if_stale(directory: int, name: str) -> int:
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=directory)
    except OSError:
        return 0
    finally:
        os.close(fd)
    return 1
