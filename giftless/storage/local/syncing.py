"""Make several files durable at the same time.

A disk flushes eight files as fast as one if it may flush them together: a journal takes all
of them at once.  But ``fsync`` waits for one file, and a thread for each would cost more than
a small file does.  So Linux gets all of them by one call of its asynchronous I/O
(``io_submit(2)`` with ``IOCB_CMD_FSYNC``, since Linux 4.18), and threads of its own wait for
the disk.  Files that it does not take, for whatever reason, are synced one after the other.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

#: The most files that the kernel gets at once.
MOST: Final = 16

#: ``IOCB_CMD_FSYNC`` of ``linux/aio_abi.h``.
_FSYNC: Final = 2


class Numbers(NamedTuple):
    """The numbers of the system calls."""

    setup: int
    destroy: int
    submit: int
    getevents: int


#: By the name that ``uname(2)`` has for the processor.
NUMBERS: Final = {
    "x86_64": Numbers(setup=206, destroy=207, submit=209, getevents=208),
    "aarch64": Numbers(setup=0, destroy=1, submit=2, getevents=4),
}


class _Request(ctypes.Structure):
    """``struct iocb``, where the low byte comes first."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_uint32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("fd", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("event_fd", ctypes.c_uint32),
    )


class _Event(ctypes.Structure):
    """``struct io_event``."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("request", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("result2", ctypes.c_int64),
    )


class Kernel:
    """The system calls of asynchronous I/O.  They give the interpreter's lock away.

    Each raises :class:`OSError`.

    :param machine: the processor, as ``uname(2)`` names it.
    """

    def __init__(self, machine: str = os.uname().machine) -> None:
        # A program of 32 bits has other numbers on the same processor.
        is_known = sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8
        self._numbers = NUMBERS.get(machine) if is_known else None
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long

    def setup(self) -> int:
        """Return a new context, for at most :data:`MOST` requests at once."""
        context = ctypes.c_ulong(0)
        self._call("setup", ctypes.c_long(MOST), ctypes.byref(context))
        return context.value

    def submit(self, context: int, requests: ctypes.Array[_Request]) -> int:
        """Begin with requests; returns with how many, the first ones."""
        count, first = len(requests), ctypes.addressof(requests)
        places = range(first, first + ctypes.sizeof(requests), ctypes.sizeof(_Request))
        pointers = (ctypes.c_void_p * count)(*places)
        return self._call("submit", ctypes.c_ulong(context), ctypes.c_long(count), pointers)

    def wait(self, context: int, events: ctypes.Array[_Event]) -> int:
        """Wait for as many requests as there is room for; returns how many have ended."""
        count = ctypes.c_long(len(events))
        return self._call("getevents", ctypes.c_ulong(context), count, count, events, None)

    def destroy(self, context: int) -> None:
        """Free a context, when all its requests have ended."""
        self._call("destroy", ctypes.c_ulong(context))

    def _call(self, name: str, *arguments: object) -> int:
        if self._numbers is None:
            raise _error(errno.ENOSYS)
        result: int = self._syscall(ctypes.c_long(getattr(self._numbers, name)), *arguments)
        if result < 0:
            raise _error(ctypes.get_errno())
        return result


class _Context:
    """Takes requests, of one thread at a time.

    :raises OSError: if the kernel has none.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._process = os.getpid()
        self._number = 0
        self._number = kernel.setup()

    @property
    def is_open(self) -> bool:
        """Whether it takes requests: a process that was forked has none of its parent's."""
        return self._number != 0 and self._process == os.getpid()

    def close(self) -> None:
        """Free it, when all requests that it has taken have ended."""
        if self.is_open:
            with contextlib.suppress(OSError):
                self._kernel.destroy(self._number)
        self._number = 0

    __del__ = close

    def submit(self, fds: Sequence[int]) -> int:
        """Begin to sync files; returns with how many, the first ones."""
        requests = (_Request * len(fds))()
        for number, (request, fd) in enumerate(zip(requests, fds, strict=True)):
            request.data, request.opcode, request.fd = number, _FSYNC, fd
        try:
            # The kernel has copied them when this returns.
            return self._kernel.submit(self._number, requests)
        except OSError:
            return 0

    def wait(self, count: int) -> list[OSError | None]:
        """Wait until all that were begun, so many, have ended; returns their errors."""
        # A file of which nobody tells may not be durable, and its error is told only once.
        problems: list[OSError | None] = [_error(errno.EIO) for _ in range(count)]
        left = count
        while left:
            events = (_Event * left)()
            try:
                ended = self._kernel.wait(self._number, events)
            except InterruptedError:
                continue
            except OSError:
                self.close()
                break
            for event in events[:ended]:
                problems[event.data] = _error(-event.result) if event.result else None
            left -= ended
        return problems


class Syncs:
    """Makes files durable, several at the same time, in any thread.

    :param kernel: takes the files.
    """

    def __init__(self, kernel: Kernel | None = None) -> None:
        self._kernel = Kernel() if kernel is None else kernel
        #: Contexts that no thread uses now: it takes milliseconds to free one.
        self._idle: list[_Context] = []

    def sync_all(self, fds: Sequence[int]) -> list[OSError | None]:
        """Make files durable.  Blocks until the kernel is done with each.

        :param fds: their descriptors, which stay open meanwhile.
        :returns: for each why it may not be durable; ``None`` if it is.
        """
        if len(fds) < 2:
            return _sync_in_turn(fds)
        try:
            context = self._enter()
        except OSError:
            return _sync_in_turn(fds)
        begun = context.submit(fds[:MOST])
        try:
            others = _sync_in_turn(fds[begun:])
        finally:
            problems = context.wait(begun)
        self._idle.append(context)
        return problems + others

    def _enter(self) -> _Context:
        with contextlib.suppress(IndexError):
            context = self._idle.pop()
            if context.is_open:
                return context
        return _Context(self._kernel)


def _sync_in_turn(fds: Sequence[int]) -> list[OSError | None]:
    if len(fds) > 1:
        for fd in fds:
            # The disk begins with all of them at once, and so ends with them sooner.
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return [_problem(fd) for fd in fds]


def _problem(fd: int) -> OSError | None:
    try:
        os.fsync(fd)
    except OSError as error:
        return error
    return None


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
