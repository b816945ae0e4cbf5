"""Read the files of a store from their disk, and leave the kernel's memory to clients."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Sequence
from typing import Any, Final

from zope.interface import directlyProvides, implementer, providedBy

from giftless.interfaces import (
    IBlocking,
    IBody,
    IReadableStore,
    IStoredFile,
    IStoredObject,
)
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.local.failures import unreadable

#: How much is read at a time, in bytes: so little that the disk is soon free for others.
SLICE: Final = 512 * 1024

#: Reads past the kernel's memory begin at multiples of this, in bytes.
_BLOCK: Final = 4096


def quiet_store(store: IReadableStore, blocking: IBlocking) -> IReadableStore:
    """Return a store with the same interfaces and objects, whose files are read quietly.

    :param blocking: reads, in one thread.
    """
    quiet: Any = _QuietStore(store, blocking)
    directlyProvides(quiet, providedBy(store))
    return quiet  # type: ignore[no-any-return]


class _QuietStore:
    """A store whose objects, where they are files, are read slice by slice from the disk.

    What clients read often stays in the kernel's memory, and what is read here does not come
    to be there.  So the bytes are those of the disk, whatever the memory has.  All else is
    the store's own.
    """

    def __init__(self, store: IReadableStore, blocking: IBlocking) -> None:
        self._store = store
        self._blocking = blocking
        self._reader = Reader()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        """See :meth:`giftless.interfaces.IReadableStore.open`."""
        stored: IStoredObject | None = await self._store.open(key)
        if stored is None or not IStoredFile.providedBy(stored):
            return stored
        return _QuietObject(stored, self._blocking, self._reader)


class Reader:
    """Reads slices of files; one at a time, because all come through the same memory."""

    def __init__(self) -> None:
        # The kernel writes there itself: it begins where a page begins.
        self._memory = mmap.mmap(-1, SLICE)

    def read(self, fd: int, offset: int, count: int) -> bytes:
        """Read part of a file.  Blocks.

        :param fd: a descriptor that nobody else reads by.
        :param count: how many bytes at most.
        :returns: some bytes, or fewer than there are; none only behind the file's end.
        :raises OSError: from the file system.
        """
        skipped = offset % _BLOCK
        try:
            _set_direct(fd, True)
            found = os.preadv(fd, [self._memory], offset - skipped)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # This file system cannot, or not here.
            _set_direct(fd, False)
            return _read_through_memory(fd, offset, count)
        return self._memory[skipped : min(found, skipped + count)]


def _set_direct(fd: int, direct: bool) -> None:
    """Let a descriptor read past the kernel's memory, or through it.

    :raises OSError: if the file system does not let it.
    """
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    wanted = flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT
    if wanted != flags:
        fcntl.fcntl(fd, fcntl.F_SETFL, wanted)


def _read_through_memory(fd: int, offset: int, count: int) -> bytes:
    """Read part of a file, and have it forgotten."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    found = os.pread(fd, count, offset)
    os.posix_fadvise(fd, offset, len(found), os.POSIX_FADV_DONTNEED)
    return found


@implementer(IStoredObject)
class _QuietObject:
    """An open file that is read in slices."""

    def __init__(self, stored: IStoredFile, blocking: IBlocking, reader: Reader) -> None:
        self._stored: IStoredFile | None = stored
        self._blocking = blocking
        self._reader = reader
        self.size: int = stored.size
        self.extras: Extras = stored.extras

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        return _Slices(self, start, end)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        stored, self._stored = self._stored, None
        if stored is not None:
            # Behind a read that runs: the descriptor's number may be another file's then.
            self._blocking.run(stored.close)

    async def slice(self, offset: int, count: int) -> bytes:
        """Read some bytes; never none."""
        assert self._stored is not None, "it is open"
        fd = self._stored.fileno()
        try:
            found = await self._blocking.run(self._reader.read, fd, offset, count)
            if not found:
                raise OSError(errno.EIO, "the file became shorter while it was read")
        except OSError as error:
            raise unreadable(error, "an object could not be read") from error
        return found


@implementer(IBody)
class _Slices:
    """Part of an open file."""

    def __init__(self, stored: _QuietObject, start: int, end: int) -> None:
        self._stored = stored
        self._offset = start
        self._end = end

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        wanted = min(SLICE, self._end - self._offset)
        if wanted == 0:
            return []
        chunk = await self._stored.slice(self._offset, wanted)
        self._offset += len(chunk)
        return [chunk]
