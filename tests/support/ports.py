"""TCP ports for servers that tests start, each for one process only."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

#: The lowest port that is given away.
LOWEST: Final = 10_000

#: The ports that this process was given, itself.
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses now, for this process alone.

    It lies below those that the kernel gives to outgoing connections: one of
    these could take it before the daemon does, and a connection to a port
    where nobody listens yet could even meet itself there.

    It stays this process's until it ends, whether somebody listens or not:
    other processes that run tests get other ports.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(LOWEST, max(LOWEST + 10_000, ephemeral))
        if port not in _given and _reserve(port) and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as listener, contextlib.suppress(OSError):
        listener.bind(("127.0.0.1", port))
        return True
    return False


def _reserve(port: int) -> bool:
    """Lock the byte that stands for a port, in a file that all processes share.

    The kernel lets go of such locks when the process ends.

    :returns: whether no other process has it.
    """
    with contextlib.suppress(BlockingIOError, PermissionError):
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        return True
    return False


@functools.cache
def _reservations() -> int:
    path = Path(tempfile.gettempdir()) / f"giftless-test-ports-{os.geteuid()}"
    # It stays open: whoever closes a file loses all locks on it.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
