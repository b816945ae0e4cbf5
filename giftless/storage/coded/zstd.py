"""Pack and unpack with Zstandard, from ``giftless[zstd]``.  Everything here blocks."""

from __future__ import annotations

import threading
from typing import Final

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
        # What a thread packs with takes a megabyte, and cannot be used by two.
        self._own = threading.local()

    def pack(self, data: bytes) -> bytes:
        """Return a frame that holds ``data``."""
        compressor = getattr(self._own, "compressor", None)
        if compressor is None:
            parameters = zstandard.ZstdCompressionParameters.from_level(
                self._level,
                source_size=self._size,
                write_checksum=True,
                write_content_size=True,
                write_dict_id=False,
            )
            compressor = zstandard.ZstdCompressor(compression_params=parameters)
            self._own.compressor = compressor
        packed: bytes = compressor.compress(data)
        return packed


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
