"""A file without a name: bytes wait there for a while, and a killed process leaves none."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO, Final, TypeVar

from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.files import FULL
from giftless.errors import InsufficientStorage, StorageUnavailable
from giftless.interfaces import IBlocking, IBody

T = TypeVar("T")

#: How much is read at once, in bytes.
READ_SIZE: Final = 1024 * 1024

#: What clients are told to wait while the disk fails, in seconds.
_RETRY_AFTER: Final = 30

_log = Logger(namespace="giftless.storage")


class NamelessFile:
    """Bytes that wait on disk; nothing is there before the first one comes.

    :param directory: where; made if missing.
    :param blocking: writes and reads.
    :ivar length: how many bytes there are.
    """

    def __init__(self, directory: str, blocking: IBlocking) -> None:
        self.length = 0
        self._directory = directory
        self._blocking = blocking
        self._file: IO[bytes] | None = None
        #: Nothing is read or written by a descriptor that is being closed: it may be another
        #: file's by then.
        self._lock = threading.Lock()

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Add bytes at the end; if that fails, there are as many as before.

        :raises InsufficientStorage: if the disk has no room for them.
        :raises StorageUnavailable: if it fails otherwise.
        """
        self.length += await self._run(self._write, chunks)

    def body(self) -> IBody:
        """Return what reads all that is there now, from the beginning."""
        return _Reading(self)

    async def close(self) -> None:
        """Free the room on disk.  Harmless when repeated."""
        if self._file is not None:
            await self._blocking.run(self._close)

    async def read(self, start: int, most: int) -> bytes:
        """Return bytes from an offset on; few or none at the end.

        :raises StorageUnavailable: if the disk fails.
        """
        return await self._run(self._read, start, most) if most else b""

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        try:
            return await self._blocking.run(function, *args)
        except OSError as error:
            _log.error(
                "an upload could not wait in {place}: {error}",
                place=self._directory,
                error=str(error),
            )
            if error.errno in FULL:
                raise InsufficientStorage(
                    "the server's own disk is full; nothing more was stored"
                ) from error
            raise StorageUnavailable(
                "the server's own disk fails; try again later", _RETRY_AFTER
            ) from error

    def _write(self, chunks: Sequence[bytes]) -> int:
        with self._lock:
            if self._file is None:
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
            position = self.length
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    written = os.pwrite(self._file.fileno(), rest, position)
                    position += written
                    rest = rest[written:]
            return position - self.length

    def _read(self, start: int, most: int) -> bytes:
        with self._lock:
            return b"" if self._file is None else os.pread(self._file.fileno(), most, start)

    def _close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


@implementer(IBody)
class _Reading:
    """Reads a file from its beginning."""

    def __init__(self, file: NamelessFile) -> None:
        self._file = file
        self._position = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        most = min(READ_SIZE, self._file.length - self._position)
        chunk = await self._file.read(self._position, most)
        self._position += len(chunk)
        return [chunk] if chunk else []
