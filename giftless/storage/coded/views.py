"""Parts of what is stored, read as if they were objects of their own."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.base.bodies import Resumed, take_most
from giftless.base.page_cache import read_now
from giftless.errors import ObjectUnreadable
from giftless.interfaces import IBody, IStoredFile, IStoredObject

#: What is read of a file where the reactor runs, if it is in memory, in bytes at most.
_INLINE_BYTES: Final = 64 * 1024

#: What clients are told to wait before they read again what has become shorter, in seconds.
_RETRY_AFTER: Final = 30


@implementer(IStoredObject)
class StoredView:
    """Part of a stored object.

    :param stored: the whole; whoever has opened it closes it.
    :param begin: the offset of the part's first byte.
    :param end: one past the offset of its last.
    """

    def __init__(self, stored: IStoredObject, begin: int, end: int) -> None:
        self._stored = stored
        self._begin = begin
        self.size = end - begin
        self.extras = stored.extras

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        return self._stored.read(self._begin + start, self._begin + end)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`: the whole stays open."""


@implementer(IStoredObject)
class BegunObject:
    """A stored object whose first bytes have been read already.

    :param stored: the object; it is closed with this.
    :param start: its first bytes.
    :ivar whole: the object.
    """

    def __init__(self, stored: IStoredObject, start: bytes) -> None:
        self.whole = stored
        self._start = start
        self.size = stored.size
        self.extras = stored.extras

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        if end <= len(self._start):
            return Bytes(self._start[start:end])
        return self.whole.read(start, end)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        self.whole.close()


@implementer(IBody)
class Bytes:
    """A body of bytes that are there."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        data, self._data = self._data, b""
        return [data] if data else []


class Cutter:
    """Cuts a body into pieces of given lengths, wherever its chunks end."""

    def __init__(self, body: IBody) -> None:
        self._body = body
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False

    def rest(self) -> IBody:
        """Return what has not been taken, in the chunks that it came in."""
        begun = [list(self._chunks)] if self._chunks else []
        return Resumed(begun, Bytes(b"") if self._ended else self._body)

    async def peek(self, length: int) -> bytes:
        """Return what :meth:`take_most` would, without taking it."""
        await self._gather(length)
        # Of what may be much more, only this is copied.
        return _joined(take_most(self._chunks.copy(), length))

    async def take(self, length: int) -> bytes:
        """Return the next ``length`` bytes.

        :raises OSError: if there are not so many.
        """
        piece = await self.take_most(length)
        if len(piece) < length:
            raise OSError(errno.EIO, "the object became shorter while it was read")
        return piece

    async def take_most(self, length: int) -> bytes:
        """Return the next ``length`` bytes, or all that are left if there are fewer."""
        await self._gather(length)
        piece = _joined(take_most(self._chunks, length))
        self._waiting -= len(piece)
        return piece

    async def _gather(self, length: int) -> None:
        """Wait until ``length`` bytes are there, or all."""
        while self._waiting < length and not self._ended:
            chunks = await self._body.read()
            self._ended = not chunks
            self._chunks += chunks
            self._waiting += sum(map(len, chunks))


def _joined(chunks: Sequence[bytes]) -> bytes:
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_exactly(stored: IStoredObject, start: int, end: int) -> bytes:
    """Read a small part of an object at once.

    :raises ObjectUnreadable: if it is shorter than it says.
    """
    if IStoredFile.providedBy(stored) and end - start <= _INLINE_BYTES:
        data = read_now(stored.fileno(), start, end)
        if data is not None:
            return data
    try:
        return await Cutter(stored.read(start, end)).take(end - start)
    except OSError as error:
        raise ObjectUnreadable(
            f"the server cannot read this object ({error.strerror})", 30
        ) from error
