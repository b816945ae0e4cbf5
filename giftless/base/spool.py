"""Bytes that wait on disk until all of them have come, and it is known what they are."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Sequence
from typing import IO, Final

from twisted.logger import Logger
from zope.interface import implementer

from giftless.errors import InsufficientStorage, StorageUnavailable
from giftless.interfaces import IBlocking, IBody

#: How much is read at once, in bytes.
_READ_SIZE: Final = 1024 * 1024

#: The errno values that mean "no room".
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: What clients are told to wait while the disk fails, in seconds.
_RETRY_AFTER: Final = 30

_log = Logger(namespace="giftless.storage")


@implementer(IBody)
class Spool:
    """A body that has been received before it is read.

    Its file has no name, so a process that is killed leaves none.

    :param directory: where it is; made if missing.
    :param blocking: writes and reads.
    """

    def __init__(self, directory: str, blocking: IBlocking) -> None:
        self._directory = directory
        self._blocking = blocking
        self._file: IO[bytes] | None = None

    async def __aenter__(self) -> Spool:
        """Begin; whoever does ends it as well."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Free the room on disk."""
        if self._file is not None:
            await self._blocking.run(self._file.close)

    async def fill(self, body: IBody) -> int:
        """Receive a body.

        :returns: how many bytes it has.
        :raises InsufficientStorage: if the disk has no room for them.
        :raises StorageUnavailable: if it fails otherwise.
        """
        try:
            while chunks := await body.read():
                await self._blocking.run(self._write, chunks)
            return await self._blocking.run(self._rewind)
        except OSError as error:
            _log.error(
                "an upload could not wait in {place}: {error}",
                place=self._directory,
                error=str(error),
            )
            if error.errno in _FULL:
                raise InsufficientStorage(
                    "the server's own disk is full; nothing was stored"
                ) from error
            raise StorageUnavailable(
                "the server's own disk fails; try again later", _RETRY_AFTER
            ) from error

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        chunk = await self._blocking.run(self._read)
        return [chunk] if chunk else []

    def _write(self, chunks: Sequence[bytes]) -> None:
        if self._file is None:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
        self._file.writelines(chunks)

    def _rewind(self) -> int:
        if self._file is None:
            return 0
        length = self._file.tell()
        self._file.seek(0)
        return length

    def _read(self) -> bytes:
        return b"" if self._file is None else self._file.read(_READ_SIZE)
