"""Ask a file system for what the kernel has in memory, without ever waiting for a disk.

Since Linux 5.12, ``openat2`` with ``RESOLVE_CACHED`` follows a path through the kernel's
caches alone, and is refused where it would have to read something, or to wait.  So the
reactor may ask, and only what is refused goes to a thread, which takes fifty times as long.

The functions answer plain questions only.  Whatever is not plain (a link, another file
system, a missing right) raises :class:`NotCached`, and a thread finds out what it is.
They keep the interpreter's lock: they are faster than giving it away and back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import sys
import time
from collections.abc import Callable
from typing import Final

#: The number of ``openat2``, the same on every processor that Linux 5.12 is built for
#: (but for Alpha, and where it is refused as unknown).
_OPENAT2: Final = 437

#: From ``linux/openat2.h``: no way to another file system; caches only.
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_CACHED: Final = 0x20

#: From ``linux/fcntl.h``: the path is the current directory's, or is absolute; it is
#: empty, and the descriptor is meant; no server is asked whether attributes have changed.
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_INO: Final = 0x100

#: The file systems that have the attributes of an open file in memory, by their magic
#: numbers (``statfs(2)``): ext4, XFS, Btrfs, tmpfs.  Others may ask a server or a process.
_LOCAL: Final = {0xEF53, 0x58465342, 0x9123683E, 0x01021994}

#: For how long no file is opened after somebody had to wait for that, in seconds.
PAUSE: Final = 30.0


class _How(ctypes.Structure):
    """``struct open_how``."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _Statx(ctypes.Structure):
    """``struct statx``, as far as it is looked at."""

    _fields_ = (
        ("before_ino", ctypes.c_uint8 * 32),
        ("ino", ctypes.c_uint64),
        ("before_dev", ctypes.c_uint8 * 96),
        ("dev_major", ctypes.c_uint32),
        ("dev_minor", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 112),
    )


def _how(flags: int, resolve: int) -> _How:
    return _How(flags | os.O_CLOEXEC, 0, resolve | _RESOLVE_CACHED)


_PLACE: Final = _how(os.O_PATH | os.O_DIRECTORY, 0)
_FILE: Final = _how(os.O_PATH | os.O_NOFOLLOW, _RESOLVE_NO_XDEV)
_READ: Final = _how(os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, _RESOLVE_NO_XDEV)

_HOW_BYTES: Final = ctypes.sizeof(_How)

_library: Final = ctypes.PyDLL(None, use_errno=True)
_syscall: Final = _library.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_How),
    ctypes.c_size_t,
)
#: glibc 2.28 has it; without it, nothing is asked.
_statx: Final = getattr(_library, "statx", None)


class NotCached(Exception):
    """Who wants to know must be able to wait."""


def can_ask(directory: int) -> bool:
    """Whether the other functions can answer for what is below a directory.

    Blocks.

    :param directory: its descriptor.
    """
    if sys.platform != "linux" or _statx is None:
        return False
    # It may ask a server, so it gives the interpreter's lock away.
    status = (ctypes.c_long * 64)()
    if ctypes.CDLL(None).fstatfs(directory, status) or status[0] not in _LOCAL:
        return False
    try:
        fd = _open(b".", _FILE, directory)
    except (NotCached, FileNotFoundError):
        return False
    os.close(fd)
    return True


def place_of(path: bytes) -> tuple[int, int]:
    """Return device and inode of the directory to which a path leads, whatever is there.

    :param path: an absolute path, perhaps through links and other file systems.
    :raises NotCached: if that cannot be told at once, or nothing is there.
    """
    try:
        fd = _open(path, _PLACE, _AT_FDCWD)
    except FileNotFoundError:
        raise NotCached from None
    try:
        status = _Statx()
        flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
        assert _statx is not None, "can_ask() has found it"
        if _statx(fd, b"", flags, _STATX_INO, ctypes.byref(status)):
            raise NotCached
        return os.makedev(status.dev_major, status.dev_minor), status.ino
    finally:
        os.close(fd)


def size_of(path: bytes, directory: int) -> int | None:
    """Return a file's size in bytes; ``None`` if nothing is there.

    :param directory: the descriptor of the directory from which the path goes.
    :raises NotCached: if that cannot be told at once, or something else is there.
    """
    try:
        fd = _open(path, _FILE, directory)
    except FileNotFoundError:
        return None
    try:
        return _size_of(fd)
    finally:
        os.close(fd)


class Opener:
    """Opens files for reading, as long as nobody waits for that.

    Whoever opens a file may be held up, though it is in memory, by what scans it for
    viruses first (``fanotify``).  Who has been held up once tries no more for some time.

    :param clock: tells the time, in seconds from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = 0.0

    def open(self, path: bytes, directory: int) -> tuple[int, int]:
        """Open a file.

        :param directory: the descriptor of the directory from which the path goes.
        :returns: its descriptor, and its size in bytes.
        :raises NotCached: if that cannot be done at once, or no file is there.
        """
        if self._not_before and self._clock() < self._not_before:
            raise NotCached
        waits = _count_waits()
        try:
            fd = _open(path, _READ, directory)
        except FileNotFoundError:
            raise NotCached from None
        finally:
            if _count_waits() != waits:
                self._not_before = self._clock() + PAUSE
        try:
            return fd, _size_of(fd)
        except BaseException:
            os.close(fd)
            raise


def _count_waits() -> int:
    """Return how often this thread has waited for something in the kernel."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def _open(path: bytes, how: _How, directory: int) -> int:
    fd: int = _syscall(_OPENAT2, directory, path, how, _HOW_BYTES)
    if fd >= 0:
        return fd
    if ctypes.get_errno() == errno.ENOENT:
        raise FileNotFoundError
    raise NotCached


def _size_of(fd: int) -> int:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise NotCached
    return status.st_size
