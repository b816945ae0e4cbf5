"""Entries are compared with their digests when they are first used after a start."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.together import Together
from giftless.interfaces import CacheCounts, IBlocking
from giftless.lfs.objects import ObjectKey
from giftless.storage.cache.entries import Entries
from giftless.storage.coded.head import MAGIC

#: How long somebody waits until a large entry has been read.  Git LFS gives up after 30
#: seconds without a byte; whoever has waited for so long is served from the store.
PATIENCE: Final = 5.0

#: How much is read in one job, in bytes.
_SLICE: Final = 8 * 1024 * 1024

#: How many entries are read at once; the threads have other work, too.
_READERS: Final = 2

#: How many entries are known to be good, at most.
_MOST: Final = 200_000

_log = Logger(namespace="giftless.cache")


class _Damaged(Exception):  # it is dealt with here
    """An entry was wrong, and is removed."""


class Found(NamedTuple):
    """An entry that is good, and open.

    :ivar fd: its descriptor, for who has asked to close.
    :ivar plain: whether its digest is its oid: it is not coded.
    """

    fd: int
    plain: bool


#: Which file it is, and that it is as it was: device, inode, length, time of the last change.
Identity = tuple[int, int, int, int]


class Checks:
    """Knows which entries are good.

    :param entries: the directory.
    :param blocking: reads and hashes.
    :param clock: ends the wait for a large entry, and tells how long others take.
    :param counts: counts what was damaged.
    """

    def __init__(
        self, entries: Entries, blocking: IBlocking, clock: IReactorTime, counts: CacheCounts
    ) -> None:
        self._counts = counts
        self._entries = entries
        self._blocking = blocking
        self._clock = clock
        #: Opens entries: that is short, but for those that are compared.
        self._together = Together(blocking, clock.seconds)
        # Whether the digest of each is its oid.
        self._good: OrderedDict[Identity, bool] = OrderedDict()
        self._running: dict[ObjectKey, list[Deferred[None]]] = {}
        self._turns = DeferredSemaphore(_READERS)

    async def find(self, key: ObjectKey, size: int) -> Found | None:
        """Open an entry that is good.

        A large one that was not compared yet is read first.  Nobody waits long for that: as
        long as it takes, there is no such entry.

        :returns: ``None`` if there is none; one that is wrong is removed.
        """
        try:
            opened = await self._together.run(self._open, key, size)
        except _Damaged:
            self._counts.cache_removed("damaged", 1)
            return None
        if opened is None:
            return None
        fd, identity, plain = opened
        if plain is not None:
            self.note(identity, plain)
        elif (plain := self._good.get(identity)) is None:
            try:
                await self._wait(key, fd, identity)
            finally:
                plain = self._good.get(identity)
                if plain is None:
                    os.close(fd)
        return None if plain is None else Found(fd, plain)

    def compares(self, key: ObjectKey) -> bool:
        """Whether an entry is being compared."""
        return key in self._running

    def note(self, identity: Identity, plain: bool) -> None:
        """Remember that an entry is good.

        :param plain: whether its digest is its oid.
        """
        self._good[identity] = plain
        while len(self._good) > _MOST:
            self._good.popitem(last=False)

    def _open(self, key: ObjectKey, size: int) -> tuple[int, Identity, bool | None] | None:
        """Open an entry, and compare a small one at once.  Blocks.

        :returns: its descriptor, which file it is, and whether it is plain, if it was
            compared now; ``None`` if there is no entry.
        :raises _Damaged: if it was wrong, and is removed.
        """
        fd = self._entries.open(key, size)
        if fd is None:
            return None
        try:
            identity = identity_of(fd)
            small = size <= _SLICE and identity not in self._good
            return fd, identity, self._compare(key, _Reading(fd)) if small else None
        except BaseException:
            os.close(fd)
            raise

    async def _wait(self, key: ObjectKey, fd: int, identity: Identity) -> None:
        """Let a large entry be compared, and wait for that, or for :data:`PATIENCE`."""
        if key not in self._running:
            self._running[key] = []
            Deferred.fromCoroutine(self._run(key, os.dup(fd), identity))
        waiting = self._running.get(key)
        if waiting is None:
            return
        wait: Deferred[None] = Deferred()
        waiting.append(wait)
        timer = self._clock.callLater(PATIENCE, _fire, wait)
        try:
            await wait
        finally:
            if timer.active():
                timer.cancel()

    async def _run(self, key: ObjectKey, fd: int, identity: Identity) -> None:
        try:
            await self._turns.acquire()
            try:
                reading = _Reading(fd)
                while await self._blocking.run(reading.tried):
                    pass
                self.note(identity, await self._blocking.run(self._compare, key, reading))
            finally:
                self._turns.release()
        except _Damaged:
            self._counts.cache_removed("damaged", 1)
        except Exception:
            _log.failure("an entry of the cache could not be read")
        finally:
            os.close(fd)
            for wait in self._running.pop(key):
                _fire(wait)

    def _compare(self, key: ObjectKey, reading: _Reading) -> bool:
        """Read the rest of an entry, and compare it.

        :returns: whether its digest is its oid.
        :raises _Damaged: if it was wrong, and is removed.
        """
        try:
            while reading.step():
                pass
        except OSError as error:
            problem = error.strerror or "it cannot be read"
        else:
            digest = reading.digest.hexdigest()
            if digest == key.oid:
                return True
            if reading.head == MAGIC and digest == self._entries.recorded(key):
                return False
            problem = f"its SHA-256 is {digest}"
        self._entries.remove(key)
        _log.warn(
            "the cache's copy of {key} was damaged ({problem}); it is removed, and the object"
            " comes from the store",
            key=key.path,
            problem=problem,
        )
        raise _Damaged(problem)


class _Reading:
    """A file that is read and hashed, step by step.

    :param fd: its descriptor.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._offset = 0
        self.digest = hashlib.sha256()
        self.head = b""

    def tried(self) -> bool:
        """Do a step; one that fails is the last, and fails again."""
        try:
            return self.step()
        except OSError:
            return False

    def step(self) -> bool:
        """Read some.  Blocks.

        :returns: whether there may be more.
        """
        data = os.pread(self._fd, _SLICE, self._offset)
        if not self._offset:
            self.head = data[: len(MAGIC)]
        self.digest.update(data)
        self._offset += len(data)
        return bool(data)


def identity_of(fd: int) -> Identity:
    """Tell which file it is, and that it is as it was."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _fire(wait: Deferred[None]) -> None:
    if not wait.called:
        wait.callback(None)
