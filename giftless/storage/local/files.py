"""Files that appear whole and durable, or not at all.  Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from giftless.base.files import sync_directory
from giftless.storage.local.own import DIRECTORY_MODE, open_new
from giftless.storage.local.root import Held

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

    :param enter: returns the root below which it is made, at the first write.
    :param size: how many bytes are announced, 0 if that is not known.
    :param early: whether what is written goes to the disk at once, so that little is
        left for the sync at the end.
    """

    def __init__(self, enter: Callable[[], Held], size: int = 0, early: bool = True) -> None:
        self._enter = enter
        self._size = size
        self._early = early
        self._written = 0
        self._held: Held | None = None
        self._path: bytes | None = None
        self._fd = -1

    @classmethod
    def reopened(cls, held: Held, path: bytes) -> Upload:
        """Go on with a file that was left with :meth:`leave`, at its end.

        :param path: its path below the root.
        :raises OSError: if it cannot be opened.
        """
        upload = cls(lambda: held)
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        upload._fd = os.open(path, flags, dir_fd=held.fd)
        upload._held, upload._path = held, path
        upload._written = os.lseek(upload._fd, 0, os.SEEK_END)
        return upload

    @property
    def written(self) -> int:
        """How many bytes it has."""
        return self._written

    def fileno(self) -> int:
        """Return the file's descriptor; it has one after the first write."""
        return self._fd

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
        if self._early:
            # This only begins: what is being written is not dropped from memory.
            os.posix_fadvise(self._fd, start, self._written - start, os.POSIX_FADV_DONTNEED)

    def cut(self, length: int) -> None:
        """Forget what has been written behind a length."""
        os.ftruncate(self._fd, length)
        self._written = os.lseek(self._fd, length, os.SEEK_SET)

    def rename(self, target: bytes) -> None:
        """Make the bytes durable and visible as ``target``, a path below the root."""
        self.sync()
        sync_names([self.move(target)])

    def sync(self) -> None:
        """Make the bytes durable."""
        if self._fd < 0:
            self._create()
        os.fsync(self._fd)

    def move(self, target: bytes) -> Name:
        """Make the bytes, which are durable, visible; the caller syncs the name.

        :param target: where to, below the root.
        :returns: the name.
        :raises FileNotFoundError: if others keep removing the target's directory.
        """
        held = self._held
        assert held is not None and self._path is not None, "it is synced before"
        path = self._path
        move_into(
            held,
            target,
            lambda: os.rename(path, target, src_dir_fd=held.fd, dst_dir_fd=held.fd),
        )
        self._path = None
        return held, target

    def copy(self, enter: Callable[[], Held]) -> Upload:
        """Return a copy of the file below another root, on another file system."""
        assert self._held is not None and self._path is not None
        copy = Upload(enter, self._written)
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

    def read_back(self) -> Iterator[bytes]:
        """Make the bytes durable, and read them as the disk has them, piece by piece."""
        assert self._held is not None and self._path is not None
        os.fsync(self._fd)
        # What is on the disk need not be kept in memory, where it would be read from.
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._held.fd)
        try:
            while data := os.read(file, _COPY_SIZE):
                yield data
        finally:
            os.close(file)

    def remove(self) -> None:
        """Remove the file, unless it was renamed."""
        if self._path is not None:
            assert self._held is not None
            path, self._path = self._path, None
            os.unlink(path, dir_fd=self._held.fd)

    def close(self) -> None:
        """Free the file; remove it unless it was renamed."""
        # On a disk that takes no changes any more, the next sweep removes it.
        with contextlib.suppress(OSError):
            self.remove()
        self.leave()

    def leave(self) -> None:
        """Free the file; leave it where it is."""
        self._path = None
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _create(self) -> None:
        held = self._held = self._enter()
        path = held.writer.new_path()
        self._fd = open_new(path, held.fd)
        self._path = path
        # Refuse before the client has sent gigabytes for nothing.
        if self._size and self._size > available(held.fd):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def move_into(held: Held, target: bytes, move: Callable[[], None]) -> None:
    """Make a directory, durably, and call what puts a file there.

    :param target: where the file is to be, below the root.
    :param move: puts it there.
    :raises FileNotFoundError: if others keep removing the directory, or ``move`` raises it
        for another reason.
    """
    directory = os.path.dirname(target)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            make_directories(held, directory)
            move()
            break
        except FileNotFoundError:
            # Directories of parts are removed while others begin to use them.
            held.forget_synced(directory)
            if attempt == _ATTEMPTS:
                raise


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
    sync_below(held, parent)
    held.note_synced(path)


def sync_names(names: Iterable[Name]) -> None:
    """Make the names of files durable, with one sync for each directory.

    A file that has been removed since, with its directory, needs none.
    """
    for held, directory in {(held, os.path.dirname(path)) for held, path in names}:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            sync_below(held, directory)


def sync_below(held: Held, path: bytes) -> None:
    """Make the names in a directory durable; the root itself has an empty path."""
    if not path:
        os.fsync(held.fd)
        return
    sync_directory(path, held.fd)
