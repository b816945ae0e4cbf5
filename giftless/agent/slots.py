"""Connections that all agents of a repository share.

git-lfs starts several agents, and each may have an object of many parts.  Each
has one connection of its own; the further ones are taken from as many slots as
there are for all of them.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path


class Slots:
    """Locks on the bytes of a file: the kernel frees those of an agent that dies.

    :param path: the file, made if it is missing; its folder must be there.
    :param count: how many there are.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._free = set(range(count))  # those that this process does not hold
        self._fd = -1
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """Take a slot; ``None`` if there is none free, or no locking here."""
        with self._lock:
            for slot in sorted(self._free):
                if self._locked(slot):
                    self._free.remove(slot)
                    return slot
        return None

    def give_back(self, slot: int) -> None:
        """Give a slot back, so that another agent can take it."""
        with self._lock:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)
            self._free.add(slot)

    def _locked(self, slot: int) -> bool:
        try:
            if self._fd < 0:
                # Never closed: that would free every slot.
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except OSError:
            return False
        return True
