"""Read objects that are files."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.interfaces import IBlocking, IBody, IStoredFile
from giftless.lfs.objects import Extras
from giftless.storage.local.failures import unreadable

#: How much a download that the kernel cannot send reads at a time, in bytes.
READ_SIZE: Final = 256 * 1024


@implementer(IStoredFile)
class LocalObject:
    """An open object file."""

    def __init__(self, fd: int, size: int, extras: Extras, blocking: IBlocking) -> None:
        self._fd = fd
        self.size = size
        self.extras = extras
        self._blocking = blocking

    def fileno(self) -> int:
        """See :meth:`giftless.interfaces.IStoredFile.fileno`."""
        return self._fd

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        return _FileBody(self._fd, start, end, self._blocking)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@implementer(IBody)
class _FileBody:
    """Part of a file, read in a thread a piece at a time."""

    def __init__(self, fd: int, start: int, end: int, blocking: IBlocking) -> None:
        self._fd = fd
        self._offset = start
        self._end = end
        self._blocking = blocking

    async def read(self) -> Sequence[bytes]:
        wanted = min(READ_SIZE, self._end - self._offset)
        if wanted == 0:
            return []
        try:
            chunk = await self._blocking.run(os.pread, self._fd, wanted, self._offset)
            if not chunk:
                raise OSError(errno.EIO, "the file became shorter while it was read")
        except OSError as error:
            raise unreadable(error, "an object could not be read") from error
        self._offset += len(chunk)
        return [chunk]
