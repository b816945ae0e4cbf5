"""Decide whether an object is worth compressing, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from giftless.errors import ConfigError
from giftless.storage.coded.coding import IPacker
from giftless.storage.coded.frames import FRAME_SIZE, MAX_FRAMES
from giftless.storage.coded.head import HEAD_SIZE

#: What smaller objects would save is less than a file system's block, in bytes.
MIN_BYTES: Final = 4096

#: What share of an object must be saved.
MIN_GAIN: Final = 0.05

#: How much of an object's beginning is looked at, in bytes; how many places of that are
#: tried, and how many bytes of each.
START_BYTES: Final = 256 * 1024
_SAMPLES: Final = 4
_SAMPLE_BYTES: Final = 16 * 1024

_FORM: Final = re.compile(r"zstd(?::([0-9]{1,2}))?", re.ASCII)
_DEFAULT_LEVEL: Final = 3
_MAX_LEVEL: Final = 19


def parse_level(text: str, option: str = "compression") -> int:
    """Read what an option says: ``zstd`` or ``zstd:LEVEL``.

    :raises ConfigError: if it says something else.
    """
    match = _FORM.fullmatch(text)
    level = int(match[1] or _DEFAULT_LEVEL) if match is not None else 0
    if not 1 <= level <= _MAX_LEVEL:
        raise ConfigError(option, f"must be zstd or zstd:LEVEL with a level from 1 to {_MAX_LEVEL}")
    return level


@dataclass(frozen=True, slots=True)
class Compression:
    """Compresses what is worth it.

    :ivar packer: compresses.
    :ivar sampler: compresses what is tried, quickly: what it saves, the other saves at least.
    """

    packer: IPacker
    sampler: IPacker

    def suits(self, size: int) -> bool:
        """Tell whether an object of so many bytes may be compressed; quick."""
        return MIN_BYTES <= size <= MAX_FRAMES * FRAME_SIZE

    def pays(self, start: bytes, size: int) -> bool:
        """Tell whether compressing an object saves enough, as its beginning shows.

        Few bytes are tried, so this may run where the reactor does.

        :param start: the beginning; all if the object has no more.
        :param size: how many bytes the object has.
        """
        sample = _sample(start)
        share = len(self.sampler.pack(sample)) / len(sample)
        return share * size + HEAD_SIZE <= (1 - MIN_GAIN) * size


def _sample(start: bytes) -> bytes:
    if len(start) <= _SAMPLES * _SAMPLE_BYTES:
        return start
    step = (len(start) - _SAMPLE_BYTES) // (_SAMPLES - 1)
    return b"".join(start[n * step : n * step + _SAMPLE_BYTES] for n in range(_SAMPLES))


def load_compression(text: str, option: str = "compression") -> Compression:
    """Make what compresses as an option says.

    :raises ConfigError: if it says something else, or the library is missing.
    """
    level = parse_level(text, option)
    try:
        from giftless.storage.coded.zstd import Packer
    except ImportError:
        raise ConfigError(
            option, "needs zstandard; install it with: pip install 'giftless[zstd]'"
        ) from None
    return Compression(Packer(level), Packer(1, _SAMPLES * _SAMPLE_BYTES))
