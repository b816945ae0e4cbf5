"""What a kernel may do to a process: refuse a call, hold it up, or never answer it.

Each function changes the process that calls it, so tests call them in one of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.processes import PATIENCE

_libc: Final = ctypes.CDLL(None, use_errno=True)

#: From ``linux/prctl.h``, ``linux/seccomp.h`` and ``linux/filter.h``.
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_LOAD_NUMBER: Final = (0x20, 0, 0, 0)
_RETURN_ERRNO: Final = 0x00050000
_RETURN_ALLOW: Final = 0x7FFF0000

#: From ``linux/fanotify.h``.
_FAN_CLASS_CONTENT: Final = 0x04
_FAN_MARK_ADD: Final = 0x01
_FAN_OPEN_PERM: Final = 0x10000
_FAN_ALLOW: Final = 1

#: From ``linux/sched.h`` and ``linux/mount.h``.
_CLONE_NEWNS: Final = 0x20000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def run_alone(module: str, function: str, *arguments: object) -> str:
    """Call a function in a process of its own.

    :param arguments: are given as text.
    :returns: what it has printed.
    :raises subprocess.SubprocessError: if it fails, or does not end.
    """
    # As in tests/run.py: "giftless" is what is installed.
    code = (
        "import sys; sys.path.append(sys.argv[1]);"
        f" from {module} import {function}; {function}(*sys.argv[2:])"
    )
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, (checkout, *arguments))],
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout.decode()


def refuse_call(number: int, error: int) -> None:
    """Let a system call fail from now on, as a sandbox does.

    :param error: its errno.
    """
    filters = (
        _LOAD_NUMBER,
        (0x15, 0, 1, number),
        (0x06, 0, 0, _RETURN_ERRNO | error),
        (0x06, 0, 0, _RETURN_ALLOW),
    )
    packed = b"".join(struct.pack("=HBBI", *each) for each in filters)
    program = _Program(len(filters), packed)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)))


def mount_what_hangs(path: str) -> None:
    """Mount a file system that answers nothing, for this process alone.

    :raises OSError: if that is not permitted.
    """
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None))
    server = os.open("/dev/fuse", os.O_RDWR)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % server
    _check(_libc.mount(b"hangs", path.encode(), b"fuse", ctypes.c_ulong(0), options))


@contextlib.contextmanager
def scanned(path: str, seconds: float) -> Iterator[None]:
    """Let another process hold up whoever opens a file, as a virus scanner does.

    :raises OSError: if that is not permitted.
    """
    scanner = _check(_libc.fanotify_init(_FAN_CLASS_CONTENT, os.O_RDONLY))
    mask = ctypes.c_uint64(_FAN_OPEN_PERM)
    _check(_libc.fanotify_mark(scanner, _FAN_MARK_ADD, mask, -100, path.encode()))
    if pid := os.fork():
        os.close(scanner)
        try:
            yield
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        return
    while True:
        _, _, _, _, _, fd, _ = struct.unpack_from("=IBBHQii", os.read(scanner, 24))
        time.sleep(seconds)
        os.write(scanner, struct.pack("=iI", fd, _FAN_ALLOW))
        os.close(fd)


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
