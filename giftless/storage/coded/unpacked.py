"""Compressed content, read as if it were not compressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from giftless.errors import ObjectCorrupt
from giftless.interfaces import IBlocking, IBody, IStoredObject
from giftless.storage.coded.frames import (
    FRAME_SIZE,
    MAX_FRAMES,
    Table,
    count_frames,
    parse_table,
    table_size,
)
from giftless.storage.coded.views import Cutter, read_exactly

#: Returns what a frame holds, given how many bytes it must hold.  Blocks.
Unpack = Callable[[bytes, int], bytes]


async def read_table(packed: IStoredObject, size: int, blocking: IBlocking) -> Table:
    """Read where the frames of a content are.

    :param packed: the content.
    :param size: how many bytes the object has.
    :raises ObjectDamaged: if that is not what the content has.
    """
    length = table_size(size)
    if count_frames(size) > MAX_FRAMES or length > packed.size:
        raise ObjectCorrupt.because("it is too short for its size")
    data = await read_exactly(packed, packed.size - length, packed.size)
    return await blocking.run(parse_table, data, size, packed.size)


@implementer(IStoredObject)
class UnpackedContent:
    """Compressed content, read as if it were not compressed.

    :param packed: the content; whoever has opened it closes it.
    :param size: how many bytes the object has.
    :param table: where its frames are.
    :param unpack: unpacks a frame.
    :param blocking: where they are unpacked.
    """

    def __init__(
        self,
        packed: IStoredObject,
        size: int,
        table: Table,
        unpack: Unpack,
        blocking: IBlocking,
    ) -> None:
        self._packed = packed
        self.size = size
        self.extras = packed.extras
        self._table = table
        self._unpack = unpack
        self._blocking = blocking

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`: only the frames of the part."""
        frames = None
        if start < end:
            first, last = start // FRAME_SIZE, (end - 1) // FRAME_SIZE
            frames = self._packed.read(self._table.span(first)[0], self._table.span(last)[1])
        return _UnpackedBody(frames, self, start, end)

    async def unpack(self, number: int, frames: Cutter) -> bytes:
        """Unpack the frame that comes next.

        :param number: which one it is.
        """
        start, end = self._table.span(number)
        frame = await frames.take(end - start)
        return await self._blocking.run(self._unpack, frame, self._table.unpacked(number))

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`: the content stays open."""


@implementer(IBody)
class _UnpackedBody:
    """Part of an unpacked content: a frame after the other."""

    def __init__(
        self, frames: IBody | None, content: UnpackedContent, start: int, end: int
    ) -> None:
        self._frames = None if frames is None else Cutter(frames)
        self._content = content
        self._offset = start
        self._end = end

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ObjectDamaged: if a frame cannot be unpacked.
        """
        if self._frames is None or self._offset >= self._end:
            return []
        number, begin = divmod(self._offset, FRAME_SIZE)
        data = await self._content.unpack(number, self._frames)
        part = data[begin : begin + self._end - self._offset]
        self._offset += len(part)
        return [part]
