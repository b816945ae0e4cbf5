"""A file that cannot be read or synced: the kernel asks a process, which answers with an error.

A FUSE file system is mounted at the path of the file itself, so its root is a regular file
(Linux's ``include/uapi/linux/fuse.h``).  Needs root and ``/dev/fuse``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from pathlib import Path
from typing import Final
from unittest import SkipTest

_HEADER: Final = struct.Struct("<IIQQIIII")

_GETATTR, _OPEN, _READ, _FLUSH, _RELEASE, _INIT, _FORGET, _INTERRUPT = 3, 14, 15, 25, 18, 26, 2, 36
_FSYNC: Final = 20

_DETACH: Final = 2


class FailingFile:
    """Stands in the place of a file until it is closed; a context manager.

    :param path: the file, which is there.
    :param good: how many of its first bytes can be read.
    :param hold: a sync is refused, too, but not before this is set.
    :ivar refused: how many reads and syncs were refused.
    """

    def __init__(self, path: Path, good: int = 0, hold: threading.Event | None = None) -> None:
        self._path = path
        self._data = path.read_bytes()
        self._modified = int(path.stat().st_mtime)
        self._good = good
        self._hold = hold
        self.refused = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FailingFile:
        libc = self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._device = os.open("/dev/fuse", os.O_RDWR)
        except OSError as error:
            raise SkipTest(f"there is no /dev/fuse: {error}") from None
        options = f"fd={self._device},rootmode={stat.S_IFREG:o},user_id=0,group_id=0,allow_other"
        target = os.fsencode(self._path)
        if libc.mount(b"failing", target, b"fuse.failing", 0, options.encode()):
            os.close(self._device)
            raise SkipTest(f"nothing can be mounted here: {os.strerror(ctypes.get_errno())}")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._libc.umount2(os.fsencode(self._path), _DETACH)
        self._thread.join()
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 20)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                continue
            _, operation, unique, *_ = _HEADER.unpack_from(request)
            if operation not in (_FORGET, _INTERRUPT):
                problem, answer = self._answer(operation, request[_HEADER.size :])
                head = struct.pack("<IiQ", 16 + len(answer), -problem, unique)
                os.write(self._device, head + answer)

    def _answer(self, operation: int, body: bytes) -> tuple[int, bytes]:
        """Return an error, or 0, and what the kernel is told."""
        if operation == _INIT:
            return 0, struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 8, 6, 65536, 1, 16, 0, 0)
        if operation == _GETATTR:
            times = (self._modified, self._modified, self._modified, 0, 0, 0)
            owner = (stat.S_IFREG | 0o640, 1, 0, 0, 0, 512, 0)
            entry = struct.pack("<QQQ3Q3I7I", 1, len(self._data), 1, *times, *owner)
            return 0, struct.pack("<QII", 0, 0, 0) + entry
        if operation == _OPEN:
            # Past the kernel's cache.
            return 0, struct.pack("<QII", 1, 1, 0)
        if operation == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            if offset + size > self._good and offset < len(self._data):
                self.refused += 1
                return errno.EIO, b""
            return 0, self._data[offset : offset + size]
        if operation == _FSYNC and self._hold is not None:
            self._hold.wait()
            self.refused += 1
            return errno.EIO, b""
        if operation in (_FLUSH, _RELEASE):
            return 0, b""
        return errno.ENOSYS, b""
