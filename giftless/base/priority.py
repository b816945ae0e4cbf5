"""Let a thread's reads wait for those of all others (``ioprio_set(2)``)."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

#: The numbers of ``ioprio_set`` by machine: neither Python nor the C library has a name for it.
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}

#: From ``linux/ioprio.h``: whom the call is about, and the class "idle".
_WHO_PROCESS: Final = 1
_CLASS_IDLE: Final = 3 << 13


def lower_io_priority() -> bool:
    """Give the disk to others first, from now on, for whatever this thread reads.

    Kernels heed it whose scheduler of the disk is ``bfq``; others have no priorities.

    :returns: whether the kernel has agreed.
    """
    number = _IOPRIO_SET.get(platform.machine())
    if number is None:
        return False
    libc = ctypes.CDLL(None)
    # 0 is the thread that calls.
    return bool(libc.syscall(number, _WHO_PROCESS, 0, _CLASS_IDLE) == 0)
