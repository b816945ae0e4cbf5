"""The files that stand for names which one holder at a time has.  Everything here blocks.

A file has one holder in its life, who locks one byte of it; the kernel frees that lock
when the holder's process dies.  Whoever wants the name makes the file longer, and so does
a holder who has noticed that, who is given more time then.  Whoever takes the name away
from its holder puts another file in its place.  A second byte is locked by whoever decides
over that: by the holder for as long as nobody may take the name away, and by others while
they do.  Nothing is written into a file, and its length takes no room, so a full disk stops
nobody who waits.

Locks are those of open file descriptions (``F_OFD_SETLK``), so two who are in one process
exclude each other as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

#: Which byte the holder locks, and which one whoever takes the name away.
_LIFE: Final = 0
_FATE: Final = 1

#: How long a file is that somebody has, one that others want as well, and one whose holder
#: knows that.
_HAD: Final = 1
_WANTED: Final = 2
_ANSWERED: Final = 3

#: After how many seconds a name is taken from a holder who does not answer, and from one who
#: does, and does not give it back: its disk may be slow.
PATIENCE: Final = 1.5
SLOW_PATIENCE: Final = 10.0

#: Bits of a file's mode: its holder has taken the name from one who may be alive; the name
#: has been taken from its holder.
_SEIZED: Final = stat.S_IXUSR
_LOST: Final = stat.S_IXGRP

_MODE: Final = 0o600
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW

#: The name of a file that is about to take another one's place ends like this.
_NEXT: Final = ".next"


class HoldFile:
    """The file of a name that is held.

    :param directory: opens the directory of the file; whoever calls closes it.
    :param name: the name of the file.
    :param fd: its descriptor; the holder's byte is locked.
    :ivar seized: whether the name was taken from somebody who may be alive.  As long as it
        is set, the file stays when the name is given back, and so whoever has the name next
        is told the same.
    """

    def __init__(self, directory: Callable[[], int], name: str, fd: int) -> None:
        self._directory = directory
        self._name = name
        self._fd = fd
        #: Whoever looks whether it is wanted must not meet another file by its descriptor.
        self._closing = threading.Lock()
        self.seized = bool(os.fstat(fd).st_mode & _SEIZED)

    def wanted(self) -> bool:
        """Whether somebody else wants the name, or has taken it away; tell that it is known."""
        with self._closing, contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size < _WANTED:
                return self.lost()
            os.ftruncate(self._fd, _ANSWERED)
        return True

    def lost(self) -> bool:
        """Whether somebody has taken the name away."""
        try:
            status = os.fstat(self._fd)
        except OSError:
            return True
        return not status.st_nlink or bool(status.st_mode & _LOST)

    def keep(self) -> bool:
        """Let nobody take the name away; returns whether nobody has."""
        return _lock(self._fd, _FATE) and not self.lost()

    def offer(self) -> None:
        """Let others take the name away if this process does not answer."""
        _unlock(self._fd, _FATE)

    def close(self) -> None:
        """Give the name back.  Harmless when repeated."""
        with self._closing:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                # If the directory is not there, whoever comes next removes the file.
                with contextlib.suppress(OSError):
                    if not self.seized:
                        with _opened(self._directory) as directory:
                            _remove(directory, self._name, fd)
            finally:
                os.close(fd)


class Attempt:
    """Somebody's attempt to get a name, step by step.

    :param directory: opens the directory of the files; whoever calls closes it.
    :param name: the name of the file.
    """

    def __init__(self, directory: Callable[[], int], name: str) -> None:
        self._directory = directory
        self._name = name
        #: The file that somebody else has.  While it is open, no other has its inode.
        self._fd = -1
        #: Since when its holder has been asked.
        self._since = 0.0
        self._lock = threading.Lock()
        self._given_up = False
        self._file: HoldFile | None = None

    def step(self, now: float) -> HoldFile | float:
        """Get the name if that is possible now; ask its holder for it otherwise.

        :param now: the time, in seconds.
        :returns: the name's file; or how long its present holder has had the name since it
            was asked, in seconds.
        :raises OSError: from the file system.
        """
        with self._lock:
            if self._given_up:
                return 0.0
            with _opened(self._directory) as directory:
                self._file = self._free(directory, now) or self._ask(directory, now)
            return self._file or now - self._since

    def try_(self) -> HoldFile | None:
        """Get the name if nobody has it; ask nobody.

        :raises OSError: from the file system.
        """
        with _opened(self._directory) as directory:
            try:
                return self._free(directory, 0.0)
            finally:
                self._close()

    def give_up(self) -> None:
        """Leave nothing behind, whatever has been reached."""
        with self._lock:
            self._given_up = True
            self._close()
            if self._file is not None:
                self._file.close()

    def _free(self, directory: int, now: float) -> HoldFile | None:
        """Get the name if nobody has it."""
        while True:
            if self._fd < 0 or not _is_at(directory, self._name, self._fd):
                self._close()
                self._fd = os.open(self._name, _FLAGS, _MODE, dir_fd=directory)
                self._since = now
            if not _lock(self._fd, _LIFE):
                return None
            if not _is_at(directory, self._name, self._fd):
                # It was given back after it was opened here.
                continue
            status = os.fstat(self._fd)
            if status.st_size:
                # A process that was killed has left it.
                return self._replace(directory, status.st_mode & _SEIZED)
            os.ftruncate(self._fd, _HAD)
            fd, self._fd = self._fd, -1
            return HoldFile(self._directory, self._name, fd)

    def _ask(self, directory: int, now: float) -> HoldFile | None:
        """Ask who has the name for it; take it away if that was long ago."""
        if self._fd < 0:
            return None
        answered = os.fstat(self._fd).st_size >= _ANSWERED
        if not answered:
            # If the holder answers just then, its answer is lost, which is harmless.
            os.ftruncate(self._fd, _WANTED)
        if now - self._since < (SLOW_PATIENCE if answered else PATIENCE):
            return None
        return self._replace(directory, _SEIZED)

    def _replace(self, directory: int, seized: int) -> HoldFile | None:
        """Put a file of this process in place of one that others may still have.

        At once: whoever comes in between must know that the name was taken away.

        :param seized: a bit of the new file's mode.
        :returns: ``None`` if the holder lets nobody do that, or another one is doing it.
        """
        if not _lock(self._fd, _FATE):
            return None
        try:
            if not _is_at(directory, self._name, self._fd):
                return None
            os.fchmod(self._fd, os.fstat(self._fd).st_mode | _LOST)
            return self._put_next(directory, seized)
        finally:
            self._close()

    def _put_next(self, directory: int, seized: int) -> HoldFile | None:
        name = self._name + _NEXT
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        fd = os.open(name, _FLAGS | os.O_EXCL, _MODE, dir_fd=directory)
        try:
            os.fchmod(fd, _MODE | seized)
            os.ftruncate(fd, _HAD)
            # Who removes what killed processes have left may have been here.
            if _lock(fd, _LIFE) and _is_at(directory, name, fd):
                os.rename(name, self._name, src_dir_fd=directory, dst_dir_fd=directory)
                held, fd = HoldFile(self._directory, self._name, fd), -1
                return held
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def sweep(open_directory: Callable[[], int]) -> int:
    """Remove the files that killed processes have left.

    Those stay whose name was taken from somebody who may be alive.

    :param open_directory: opens the directory of the files; the caller closes it.
    :returns: how many were removed.
    :raises OSError: if the directory cannot be read.
    """
    count = 0
    with _opened(open_directory) as directory:
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
                fd = os.open(name, flags, dir_fd=directory)
                try:
                    if not os.fstat(fd).st_mode & _SEIZED and _lock(fd, _LIFE):
                        count += _remove(directory, name, fd)
                finally:
                    os.close(fd)
    return count


@contextlib.contextmanager
def _opened(open_directory: Callable[[], int]) -> Iterator[int]:
    directory = open_directory()
    try:
        yield directory
    finally:
        os.close(directory)


def _remove(directory: int, name: str, fd: int) -> bool:
    """Remove a file, unless another one has its name, or is about to."""
    removed = _lock(fd, _FATE) and _is_at(directory, name, fd)
    if removed:
        os.unlink(name, dir_fd=directory)
    return removed


def _is_at(directory: int, name: str, fd: int) -> bool:
    try:
        found = os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))


def _lock(fd: int, byte: int) -> bool:
    """Lock a byte of a file; returns whether nobody else has."""
    try:
        _set_lock(fd, fcntl.F_WRLCK, byte)
    except BlockingIOError:
        return False
    return True


def _unlock(fd: int, byte: int) -> None:
    _set_lock(fd, fcntl.F_UNLCK, byte)


def _set_lock(fd: int, kind: int, byte: int) -> None:
    # struct flock: type, whence, start, length, process id.
    flock = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, flock)
