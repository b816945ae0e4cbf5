"""The layout of compressed content: Zstandard in its seekable format.

The content is cut into frames of :data:`FRAME_SIZE` bytes, the last one of what is left, so
any part can be had by unpacking the frames that it lies in.  Behind the frames stands the
table of their sizes, a skippable frame (``contrib/seekable_format`` of Zstandard)::

    4 bytes  magic of a skippable frame, 0x184D2A5E
    4 bytes  how many bytes follow
    8 bytes  of each frame: how many it has packed, how many unpacked (4 each)
    4 bytes  how many frames there are
    1 byte   flags: none
    4 bytes  magic of a table, 0x8F92EAB1

How many frames there are, and so how long the table is, follows from the size of the object:
nothing that a store has changed makes anybody allocate more than a frame and the table.
"""

from __future__ import annotations

import struct
from array import array
from typing import Final

from giftless.errors import ObjectCorrupt

#: How many bytes of an object a frame holds.
FRAME_SIZE: Final = 1024 * 1024

#: The most frames that an object may have: their table must fit into memory.  That is 4 TiB.
MAX_FRAMES: Final = 4 * 1024 * 1024

#: More than a frame can have that holds bytes which cannot be packed.
_MAX_PACKED: Final = FRAME_SIZE + FRAME_SIZE // 128 + 1024

_START: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<II")
_END: Final = struct.Struct("<IBI")

_SKIPPABLE: Final = 0x184D2A5E
_SEEKABLE: Final = 0x8F92EAB1


def count_frames(size: int) -> int:
    """Return how many frames an object of ``size`` bytes has."""
    return max(1, -(-size // FRAME_SIZE))


def table_size(size: int) -> int:
    """Return how many bytes the table of an object of ``size`` bytes has."""
    return _START.size + _ENTRY.size * count_frames(size) + _END.size


class TableWriter:
    """Notes the sizes of frames, and makes the table of them."""

    def __init__(self) -> None:
        self._sizes = bytearray()

    def add(self, packed: int, unpacked: int) -> None:
        """Note a frame."""
        self._sizes += _ENTRY.pack(packed, unpacked)

    def encode(self) -> bytes:
        """Return the table."""
        count = len(self._sizes) // _ENTRY.size
        start = _START.pack(_SKIPPABLE, len(self._sizes) + _END.size)
        return start + bytes(self._sizes) + _END.pack(count, 0, _SEEKABLE)


class Table:
    """Where the frames of a content are.

    :param offsets: where each begins, and where the last one ends.
    :param size: how many bytes the object has.
    """

    def __init__(self, offsets: array[int], size: int) -> None:
        self._offsets = offsets
        self._size = size

    @property
    def packed_size(self) -> int:
        """How many bytes all frames have."""
        return self._offsets[-1]

    def span(self, number: int) -> tuple[int, int]:
        """Return where a frame begins and ends in the content."""
        return self._offsets[number], self._offsets[number + 1]

    def unpacked(self, number: int) -> int:
        """Return how many bytes a frame holds."""
        return min(FRAME_SIZE, self._size - number * FRAME_SIZE)


def parse_table(data: bytes, size: int, content_size: int) -> Table:
    """Read the table of an object, and compare it with what is known of the object.

    :param data: the last :func:`table_size` bytes of the content.
    :param size: how many bytes the object has.
    :param content_size: how many the content has.
    :raises ObjectDamaged: if it does not fit.
    """
    count = count_frames(size)
    sizes = memoryview(data)[_START.size : -_END.size]
    if (
        _START.unpack_from(data) != (_SKIPPABLE, len(sizes) + _END.size)
        or _END.unpack_from(data, len(data) - _END.size) != (count, 0, _SEEKABLE)
        or len(sizes) != count * _ENTRY.size
    ):
        raise _wrong_table()
    offsets = array("Q", [0])
    end, left = 0, size
    for packed, unpacked in _ENTRY.iter_unpack(sizes):
        if unpacked != min(FRAME_SIZE, left) or not 0 < packed <= _MAX_PACKED:
            raise _wrong_table()
        left -= unpacked
        end += packed
        offsets.append(end)
    if end + len(data) != content_size:
        raise _wrong_table()
    return Table(offsets, size)


def _wrong_table() -> ObjectCorrupt:
    return ObjectCorrupt.because("the table of its compressed parts is wrong")
