"""Files of a clone: read without holding up the reactor, and compared with their oids."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from zope.interface import implementer

from giftless.base.pace import Pace
from giftless.interfaces import IBlocking, IBody

#: How much is read at a time, in bytes.
READ_SIZE: Final = 1024 * 1024


class Unreadable(Exception):
    """A file cannot be read; the text says why, in one line."""


@implementer(IBody)
class FileBody:
    """The bytes of a file; it is closed behind the last one, or by :meth:`close`.

    :param path: the file; a link or a device is none.
    :param blocking: opens and reads.
    :param pace: holds up reading; ``None``: nobody does.
    :param done: is told how many bytes were read.
    """

    def __init__(
        self,
        path: Path,
        blocking: IBlocking,
        pace: Pace | None = None,
        done: Callable[[int], None] | None = None,
    ) -> None:
        self._path = path
        self._blocking = blocking
        self._pace = pace
        self._done = done
        self._fd: int | None = None
        self._ended = False

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises Unreadable: if the disk does not give them.
        """
        if self._ended:
            return []
        chunk = await self._blocking.run(self._read)
        if not chunk:
            self.close()
            return []
        if self._pace is not None:
            await self._pace.take(len(chunk))
        if self._done is not None:
            self._done(len(chunk))
        return [chunk]

    def close(self) -> None:
        """Close the file.  Harmless when repeated."""
        self._ended = True
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _read(self) -> bytes:
        try:
            if self._fd is None:
                self._fd = os.open(
                    self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                )
            return os.read(self._fd, READ_SIZE)
        except OSError as error:
            raise Unreadable(f"{self._path} cannot be read: {error.strerror}") from None


async def matches(path: Path, oid: str, blocking: IBlocking) -> bool:
    """Tell whether a file holds the object of an oid.

    :raises Unreadable: if it cannot be read.
    """
    digest = hashlib.sha256()
    body = FileBody(path, blocking)
    try:
        while chunks := await body.read():
            for chunk in chunks:
                await blocking.run(digest.update, chunk)
    finally:
        body.close()
    return digest.hexdigest() == oid
