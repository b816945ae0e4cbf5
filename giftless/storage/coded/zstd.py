"""Pack and unpack with Zstandard, from ``giftless[zstd]``.  Everything here blocks."""

from __future__ import annotations

from typing import Any, Final

import zstandard

from giftless.errors import ObjectCorrupt
from giftless.storage.coded.frames import FRAME_SIZE

_QUICK_LEVEL: Final = 5


class Packer:
    """Makes frames; several threads may use it.

    :param level: how much time is spent to save bytes, from 1 to 19.
    :param size: how many bytes are packed at once, at most; the fewer, the less is prepared.
    :ivar is_quick: whether 64 KiB take less than a millisecond.
    """

    def __init__(self, level: int, size: int = FRAME_SIZE) -> None:
        self._level = level
        self._size = size
        self.is_quick = level <= _QUICK_LEVEL
        # A compressor takes a megabyte, and cannot be used by two at once.  The one that was used
        # last is taken first, in whichever thread: the processor has it in its own memory.
        self._idle: list[Any] = []

    def pack(self, data: bytes) -> bytes:
        """Return a frame that holds ``data``."""
        try:
            compressor = self._idle.pop()
        except IndexError:
            compressor = self._make()
        try:
            packed: bytes = compressor.compress(data)
        finally:
            self._idle.append(compressor)
        return packed

    def _make(self) -> Any:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            self._level,
            source_size=self._size,
            write_checksum=True,
            write_content_size=True,
            write_dict_id=False,
        )
        return zstandard.ZstdCompressor(compression_params=parameters)


def unpack(frame: bytes, size: int) -> bytes:
    """Return what a frame holds.

    :param size: how many bytes it must hold.
    :raises ObjectDamaged: if it is not such a frame, or its checksum is wrong.
    """
    try:
        parameters = zstandard.get_frame_parameters(frame)
        # No more memory than this is allocated, whatever the frame unpacks to.
        if parameters.content_size != size or parameters.dict_id or not parameters.has_checksum:
            raise _wrong_frame()
        data: bytes = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError:
        raise _wrong_frame() from None
    if len(data) != size:
        raise _wrong_frame()
    return data


def _wrong_frame() -> ObjectCorrupt:
    return ObjectCorrupt.because("a part of it cannot be unpacked")
