"""The memory of one process's counts, which its parent reads.

The parent makes it, and the process inherits it: so it holds to the last number what
the process has counted, however that ends.  One process writes.  A number is one
aligned word, so a reader finds the value before a change or the one after it.

It begins with how many bytes of the directory are valid.  The numbers follow, and then
the directory: which families there are, and from which number on a series has its own.
The directory only grows.  What it says of an entry is written before the entry counts,
so a reader never finds half of one.  It describes itself: the parent, which may be
older than the process, needs to know no family.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from struct import Struct
from typing import Final

import msgspec

from giftless.base.metrics.families import Family

#: How many numbers there are.
NUMBERS: Final = 16_384

#: How long the directory may become, in bytes.
DIRECTORY_BYTES: Final = 512 * 1024

_WORD: Final = 8
_FIRST_NUMBER: Final = 64
_DIRECTORY: Final = _FIRST_NUMBER + NUMBERS * _WORD
_SIZE: Final = _DIRECTORY + DIRECTORY_BYTES

#: How long an entry is, in front of it.
_LENGTH: Final = Struct("<I")

#: Nobody may cut the memory off: who reads it would be killed for that.
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Series(msgspec.Struct, frozen=True, array_like=True, tag="series"):
    """Where the numbers of a series are.

    :ivar family: the name of its family.
    :ivar number: the index of its first number.
    :ivar labels: its labels' values.
    """

    family: str
    number: int
    labels: tuple[str, ...]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Family | Series).decode


def slab_memory() -> int:
    """Make the memory of a process's counts; pages that nobody touches take no room.

    :returns: its descriptor.
    """
    descriptor = os.memfd_create("giftless-counts", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _SIZE)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


class Slab:
    """The memory, for the process that writes it.

    :param descriptor: from :func:`slab_memory`; ``None`` if nobody else reads it.
    :ivar numbers: the numbers; change them in the reactor's thread alone.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, _SIZE)
        words = memoryview(self._memory)
        self.numbers = words[_FIRST_NUMBER:_DIRECTORY].cast("d")
        self._valid = words[:_WORD].cast("Q")
        self._taken = 0

    def add_family(self, family: Family) -> None:
        """Enter a family.

        :raises MemoryError: if the directory is full.
        """
        if not self._enter(family):
            raise MemoryError(f"there is no room for {family.name}")

    def add_series(self, family: Family, labels: tuple[str, ...]) -> int | None:
        """Enter a series of a family that has been entered.

        :param labels: its labels' values.
        :returns: the index of its first number; ``None`` if there is no room.
        """
        number, end = self._taken, self._taken + family.width
        if end > NUMBERS or not self._enter(Series(family.name, number, labels)):
            return None
        self._taken = end
        return number

    def _enter(self, entry: Family | Series) -> bool:
        data = _encode(entry)
        start = self._valid[0]
        end = start + _LENGTH.size + len(data)
        if end > DIRECTORY_BYTES:
            return False
        place = _DIRECTORY + start
        _LENGTH.pack_into(self._memory, place, len(data))
        self._memory[place + _LENGTH.size : _DIRECTORY + end] = data
        self._valid[0] = end
        return True


class SlabReader:
    """The memory, for the parent.

    What it finds was written by another process: nonsense is passed over.

    :param descriptor: from :func:`slab_memory`.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE, prot=mmap.PROT_READ)
        self._words = words = memoryview(self._memory)
        self._numbers = words[_FIRST_NUMBER:_DIRECTORY].cast("d")
        self._valid = words[:_WORD].cast("Q")
        self._read = 0
        self._families: dict[str, Family] = {}
        self._series: list[Series] = []

    def series(self) -> Iterator[tuple[Family, tuple[str, ...], list[float]]]:
        """Yield every series: its family, its labels' values and its numbers."""
        self._read_directory()
        for series in self._series:
            family = self._families[series.family]
            numbers = self._numbers[series.number : series.number + family.width]
            yield family, series.labels, list(numbers)

    def close(self) -> None:
        """Free the memory, and the descriptor that Python keeps for it."""
        for view in (self._numbers, self._valid, self._words):
            view.release()
        self._memory.close()

    def _read_directory(self) -> None:
        valid = min(self._valid[0], DIRECTORY_BYTES)
        while self._read + _LENGTH.size <= valid:
            place = _DIRECTORY + self._read + _LENGTH.size
            (length,) = _LENGTH.unpack_from(self._memory, place - _LENGTH.size)
            if self._read + _LENGTH.size + length > valid:
                return
            self._read += _LENGTH.size + length
            try:
                entry = _decode(self._memory[place : place + length])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                continue
            if isinstance(entry, Family):
                if entry.is_sound:
                    self._families.setdefault(entry.name, entry)
            elif self._is_whole(entry):
                self._series.append(entry)

    def _is_whole(self, series: Series) -> bool:
        family = self._families.get(series.family)
        if family is None:
            return False
        fits = 0 <= series.number <= NUMBERS - family.width
        return fits and len(series.labels) == len(family.labels)
