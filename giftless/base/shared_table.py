"""A table of counters in memory that several processes share.

The daemon makes the memory and its workers inherit it, so it outlives each of them
and holds nothing after the daemon's end.  Every worker sees at once what another has
counted.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Final

#: How long a key is, in bytes.  Keys are digests: their bits are evenly spread.
KEY_BYTES: Final = 16

#: A key, when its entry expires (in seconds, 0 for none), and its count.
_ENTRY: Final = Struct(f"<{KEY_BYTES}sdQ")

#: Each key has one bucket.  If all its entries are taken, the one that expires first goes.
_SLOTS: Final = 8
_BUCKETS: Final = 8192
_BUCKET_BYTES: Final = _SLOTS * _ENTRY.size
_SIZE: Final = _BUCKETS * _BUCKET_BYTES

#: How many seconds a process waits for another's lock, which is held for microseconds,
#: and how often it looks.
_PATIENCE: Final = 1.0
_PAUSE: Final = 0.0002

#: For how many seconds nobody waits again after that: a worker that stands still is killed
#: meanwhile.
_IN_VAIN: Final = 60.0


def shared_memory() -> int:
    """Make the memory of a table, for processes that inherit it.

    :returns: its descriptor.
    """
    descriptor = os.memfd_create("giftless", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, _SIZE)
    return descriptor


class SharedTable:
    """Counts under keys, each until it expires; in bounded memory.

    :param descriptor: memory from :func:`shared_memory`; ``None`` for a table that
        this process has for itself.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._in_vain_until = 0.0
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, _SIZE)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process change the table meanwhile.

        The kernel takes the lock from a process that dies.  A process that stands still
        with the lock is not waited for: others go on without it, and each of them may
        lose one change to one counter.
        """
        if self._descriptor is None:
            yield
            return
        locked = self._lock(self._descriptor)
        try:
            yield
        finally:
            if locked:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def get(self, key: bytes, now: float) -> tuple[int, float] | None:
        """Return what is counted under a key, and when that expires.

        :param now: the time in seconds, of a clock that all processes share.
        :returns: ``None`` if nothing is counted, or no longer.
        """
        place = self._find(key)
        if place < 0:
            return None
        found, expires, count = _ENTRY.unpack_from(self._memory, place)
        # Without the lock, another process may have put another entry there.
        return (count, expires) if found == key and now < expires else None

    def put(self, key: bytes, count: int, expires: float, now: float) -> None:
        """Count anew under a key.

        :param expires: until when, in seconds.
        """
        place = self._find(key)
        if place < 0:
            place = self._room(_start(key), now)
        _ENTRY.pack_into(self._memory, place, key, expires, count)

    def remove(self, key: bytes) -> None:
        """Forget what is counted under a key."""
        place = self._find(key)
        if place >= 0:
            self._memory[place : place + _ENTRY.size] = bytes(_ENTRY.size)

    def _find(self, key: bytes) -> int:
        """Return where the entry of a key is; -1 if it has none."""
        start = _start(key)
        end = start + _BUCKET_BYTES
        place = self._memory.find(key, start, end)
        while place >= 0 and (place - start) % _ENTRY.size:
            place = self._memory.find(key, place + 1, end)
        return place

    def _room(self, start: int, now: float) -> int:
        """Return where in a bucket the entry is that has expired, or expires first."""
        bucket = self._memory[start : start + _BUCKET_BYTES]
        ends = [expires if now < expires else 0 for _, expires, _ in _ENTRY.iter_unpack(bucket)]
        return start + ends.index(min(ends)) * _ENTRY.size

    def _lock(self, descriptor: int) -> bool:
        now = time.monotonic()
        deadline = now if now < self._in_vain_until else now + _PATIENCE
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    break
                time.sleep(_PAUSE)
            else:
                return True
        if deadline > now:
            self._in_vain_until = deadline + _IN_VAIN
        return False


def _start(key: bytes) -> int:
    return int.from_bytes(key[:4], "little") % _BUCKETS * _BUCKET_BYTES
