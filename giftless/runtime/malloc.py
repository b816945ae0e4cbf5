"""How this process gets memory from the kernel, and when it gives it back."""

from __future__ import annotations

import ctypes
import os
from typing import Final

#: Blocks up to so many bytes are cut from the heap.  glibc asks the kernel for
#: each of more than 128 KiB by itself, and gives it back at once: for every read
#: of an upload hundreds of pages that the kernel has to clear and map.
LARGEST_BLOCK: Final = 4 * 1024 * 1024

#: How much may stay free at the end of the heap, in bytes: what the uploads of a
#: worker need is not given back between two reads.
SPARE: Final = 32 * 1024 * 1024

#: How much more than at its best the process may have before it is trimmed, in bytes.
_MUCH: Final = 2 * SPARE

#: Names of ``mallopt``'s parameters (``malloc.h``).
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_buffers() -> bool:
    """Let buffers of uploads be used again, for as long as the process lives.

    :returns: whether that was possible: only glibc can be told.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(_M_TRIM_THRESHOLD, SPARE))


def resident() -> int:
    """Return how much memory the process has from the kernel, in bytes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Trimmer:
    """Gives the kernel back what is free, wherever it lies in the heap.

    glibc does so only for what is free at the heap's end: one small object there keeps
    hundreds of megabytes.
    """

    def __init__(self) -> None:
        self._lowest = resident()
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def __call__(self) -> None:
        """Give back if the process has much more than it once had; quick otherwise."""
        try:
            now = resident()
        except OSError:
            # Too many files are open: another time, or it would never be done again.
            return
        self._lowest = min(self._lowest, now)
        if self._trim is not None and now > self._lowest + _MUCH:
            self._trim(0)
