"""How this process gets memory from the kernel, and when it gives it back."""

from __future__ import annotations

import ctypes
from typing import Final

#: Blocks up to so many bytes are cut from the heap.  glibc asks the kernel for
#: each of more than 128 KiB by itself, and gives it back at once: for every read
#: of an upload hundreds of pages that the kernel has to clear and map.
LARGEST_BLOCK: Final = 4 * 1024 * 1024

#: How much may stay free at the end of the heap, in bytes: what the uploads of a
#: worker need is not given back between two reads.
SPARE: Final = 32 * 1024 * 1024

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
