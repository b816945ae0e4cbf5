"""What has come of an upload that is gone on with, as a file.  Everything here blocks.

The file is ``.giftless/resumable/{the repository}/.giftless.{oid}.{the object's size}``
below the root of the object's disk: so it becomes the object by a rename.  Its length tells
how much has come, and it is there as soon as the upload has begun.

Somebody else may take the upload away from a process that is stopped.  When that goes on,
it can still end a write that it had begun, and nothing else: for everything that changes
names it keeps the upload for itself.  So whoever takes the upload away copies the file, and
goes on with the copy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from giftless.base.holds import Hold, taken_over
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.local.commits import Commits
from giftless.storage.local.disks import Place
from giftless.storage.local.files import (
    ABSENT,
    Upload,
    available,
    move_into,
    remove,
    sync_names,
)
from giftless.storage.local.own import FILE_MODE, OWN
from giftless.storage.local.root import Held

#: The directory of all such files, below a root.
RESUMABLE: Final = OWN + b"/resumable"


def path_of(path: bytes, size: int) -> bytes:
    """Return where the file of an upload is, below the root of its disk.

    :param path: where the object is to be, below the same root.
    :param size: how many bytes the object will have.
    """
    repo, oid = os.path.split(path)
    # Beside it are the directories of repositories, none of which is called so.
    return os.path.join(RESUMABLE, repo, b"%b.%b.%d" % (OWN, oid, size))


def parse_path(path: bytes) -> tuple[bytes, int] | None:
    """Return the object's path and its size: the inverse of :func:`path_of`.

    :returns: ``None`` if no upload can be there.
    """
    repo, name = os.path.split(path)
    own, _, rest = name.partition(OWN + b".")
    oid, _, size = rest.partition(b".")
    if own or not size.isdigit():
        return None
    return os.path.join(repo[len(RESUMABLE) + 1 :], oid), int(size)


class GrowingFile:
    """The file of an upload that is claimed.

    :param place: where the object is to be.
    :param size: how many bytes it will have.
    :param hold: tells whether somebody has taken the upload away.
    :ivar offset: how many bytes have come, and are durable; ``None`` if it has not begun.
    :ivar changed: when the last of them came, in seconds since the epoch.
    """

    def __init__(self, place: Place, size: int, hold: Hold) -> None:
        self._place = place
        self._path = path_of(place.path, size)
        self._size = size
        self._hold = hold
        self._held: Held | None = None
        self._file: Upload | None = None
        self._has_room = False
        self._closed = False
        self.offset: int | None = None
        self.changed = 0.0

    def open(self) -> None:
        """Find out what has come; harmless if nobody waits for it any more.

        :raises OSError: from the file system.
        :raises Conflict: if somebody else has taken the upload over.
        """
        if self._closed:
            return
        held = self._held = self._place.root.enter()
        with self._hold.kept():
            if _is_upload(held, self._path, self._size):
                if self._hold.seized:
                    _replace(held, self._path)
                self._file = Upload.reopened(held, self._path)
                # Who has written it may have been killed before it was durable.
                self._sync()
        self._hold.replaced()

    def begin(self) -> None:
        """Make the file, durably, unless it is there.

        :raises OSError: from the file system.
        :raises Conflict: if somebody else has taken the upload over.
        """
        if self._file is not None:
            return
        assert self._held is not None, "it has been opened"
        held = self._held
        with self._hold.kept():
            # What lies there is no upload, or it would have been found.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path, dir_fd=held.fd)
            move_into(held, self._path, lambda: _make(held, self._path))
            self._file = Upload.reopened(held, self._path)
            self._sync()
            sync_names([(held, self._path)])

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append bytes; they are not durable yet.

        :raises OSError: from the file system.
        :raises Conflict: if somebody else has taken the upload over.
        """
        assert self._file is not None, "it has begun"
        assert self._file.written + sum(map(len, chunks)) <= self._size, "the body is too long"
        if not self._has_room:
            self._check_room(self._file)
        if self._hold.lost():
            raise taken_over()
        self._file.write(chunks)

    def sync(self) -> None:
        """Make what has come durable.

        :raises OSError: from the file system; what was not durable before does not count.
        :raises Conflict: if somebody else has taken the upload over.
        """
        assert self._file is not None, "it has begun"
        # It may take long, and whoever wants to go on with the upload waits for it.
        with self._hold.kept():
            try:
                self._sync()
            except OSError:
                # The next sync would succeed, whatever is on the disk.
                with contextlib.suppress(OSError):
                    self._file.cut(self.offset or 0)
                raise

    def pieces(self) -> Iterator[bytes]:
        """Return what has come as the disk has it, piece by piece."""
        assert self._file is not None, "it has begun"
        return self._file.read_back()

    def commit(self, commits: Commits, key: ObjectKey, extras: Extras) -> None:
        """Make the object of the file.  The hold is committing.

        :raises OSError: from the file system.
        """
        file, held = self._file, self._held
        assert file is not None and held is not None, "it has begun"
        if not _is_at(held, self._path, file):
            raise taken_over()
        # An object is as old as its commit: of its age depends what is deleted.
        os.utime(file.fileno())
        commits.commit(file, self._place, key, extras)
        # It is still there if the object is a copy on another disk.
        file.close()
        self._forget()
        remove_directories(held, self._path)

    def discard(self) -> None:
        """Remove the file, durably; harmless if there is none.

        :raises OSError: from the file system.
        :raises Conflict: if somebody else has taken the upload over.
        """
        file, held = self._file, self._held
        if file is None:
            return
        assert held is not None, "it has been opened"
        with self._hold.kept():
            remove(held, self._path)
        self._forget()
        file.leave()
        remove_directories(held, self._path)

    def close(self) -> None:
        """Close the file, for good.  Harmless when repeated."""
        self._closed = True
        if self._file is not None:
            file, self._file = self._file, None
            file.leave()

    def _check_room(self, file: Upload) -> None:
        """Refuse before the client has sent gigabytes for nothing."""
        if self._size - file.written > available(file.fileno()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._has_room = True

    def _sync(self) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        self.offset = self._file.written
        self.changed = os.fstat(self._file.fileno()).st_mtime

    def _forget(self) -> None:
        self._file, self.offset, self.changed = None, None, 0.0


def remove_directories(held: Held, path: bytes) -> None:
    """Remove the directories of a file that is gone, as far as they are empty."""
    # Others may be making a file there.
    with contextlib.suppress(OSError):
        while (path := os.path.dirname(path)) != RESUMABLE:
            os.rmdir(path, dir_fd=held.fd)


def _replace(held: Held, path: bytes) -> None:
    """Put a copy of a file in its place: a stopped process may still have it open."""
    file = Upload.reopened(held, path)
    try:
        copy = file.copy(lambda: held)
        try:
            copy.rename(path)
        finally:
            copy.close()
    finally:
        file.leave()


def _make(held: Held, path: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(path, flags, FILE_MODE, dir_fd=held.fd))


def _is_upload(held: Held, path: bytes, size: int) -> bool:
    try:
        status = os.lstat(path, dir_fd=held.fd)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    return stat.S_ISREG(status.st_mode) and status.st_size <= size


def _is_at(held: Held, path: bytes, file: Upload) -> bool:
    try:
        found = os.lstat(path, dir_fd=held.fd)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    return os.path.samestat(found, os.fstat(file.fileno()))
