"""How much a cache holds, and who makes room in it.  All blocks.

What is there is counted in a file that whoever makes room holds a lock on: so one process at
a time does, whichever daemon it belongs to.  The count may be wrong, after a kill or where
somebody else has removed files.  Whoever looks at all files, because nothing that is known
can go, puts it right.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from giftless.lfs.objects import Oid
from giftless.storage.cache.entries import DIGEST, Entries
from giftless.storage.cache.parts import PART

#: The file that says how much there is, below the cache's directory.
LEDGER: Final = "ledger"

#: How many of the entries that nobody has asked for longest are remembered after a look at
#: all of them.
_CANDIDATES: Final = 20_000


@dataclass(slots=True)
class Holdings:
    """What a cache holds.

    :ivar bytes: of entries, and what is being filled will have.
    :ivar entries: how many there are, with those that are being filled.
    """

    bytes: int = 0
    entries: int = 0

    def add(self, size: int, count: int = 1) -> None:
        """Count some more, or less; never less than nothing."""
        self.bytes = max(0, self.bytes + size)
        self.entries = max(0, self.entries + count)


@dataclass(frozen=True, slots=True, order=True)
class _Candidate:
    """An entry that may go.

    :ivar used: when it was last asked for, in nanoseconds since the epoch.
    :ivar directory: the name of its repository's directory.
    """

    used: int
    size: int
    directory: str
    name: str


class Ceiling:
    """Keeps a cache below its limit.

    :param entries: the directory.
    :param limit: the most bytes that it may hold.
    :ivar limit: the same.
    :ivar evicted: how many entries this process has removed to make room.
    """

    def __init__(self, entries: Entries, limit: int) -> None:
        self._entries = entries
        self.limit = limit
        self._path = os.path.join(os.path.dirname(entries.root), LEDGER)
        # Those who were asked for last come first.
        self._candidates: list[_Candidate] = []
        self.evicted = 0

    def reserve(self, size: int, place: str) -> bool:
        """Make room for an entry, and count it.

        :param place: where it is to be filled, below the entries: it is there already.
        :returns: whether there is room.  Nothing is removed in vain.
        :raises OSError: if the disk does not let it be counted.
        """
        if size > self.limit:
            return False
        with self._ledger(place) as holdings:
            return self._make_room(holdings, size, place)

    def release(self, size: int) -> None:
        """Count an entry no more, because it is not there.

        :raises OSError: if the disk does not let it be counted.
        """
        with self._ledger() as holdings:
            holdings.add(-size, -1)

    def settle(self) -> None:
        """Look at everything, and remove what is above the limit.

        :raises OSError: if that cannot be done.
        """
        with self._ledger() as holdings:
            self._walk_all(holdings)
            self._evict(holdings, self.limit)

    def look(self) -> Holdings:
        """Tell what was counted last, by whomever.

        :raises OSError: if that cannot be read.
        """
        try:
            with open(self._path, "rb") as file:
                return _parse(file.read(64)) or self.recount()
        except FileNotFoundError:
            return self.recount()

    def recount(self) -> Holdings:
        """Look at everything.

        :raises OSError: if the disk does not let it be counted.
        """
        with self._ledger() as holdings:
            self._walk_all(holdings)
            return Holdings(holdings.bytes, holdings.entries)

    def _make_room(self, holdings: Holdings, size: int, place: str) -> bool:
        missing = size - self._free()
        if missing > holdings.bytes:
            # Others have filled the disk.
            return False
        target = self.limit - size
        if missing > 0:
            target = min(target, holdings.bytes - missing)
        if not self._evict(holdings, target):
            self._walk_all(holdings, place)
            if not self._evict(holdings, target):
                return False
        holdings.add(size)
        return True

    def _free(self) -> int:
        disk = os.statvfs(self._entries.root)
        return disk.f_bavail * disk.f_frsize

    @contextlib.contextmanager
    def _ledger(self, place: str = "") -> Iterator[Holdings]:
        """Hold the count; what is changed in it meanwhile is written."""
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            text = os.pread(fd, 64, 0)
            holdings = _parse(text)
            if holdings is None:
                holdings = Holdings()
                self._walk_all(holdings, place)
            yield holdings
            written = f"{holdings.bytes} {holdings.entries}\n".encode()
            if written != text:
                os.pwrite(fd, written, 0)
                os.ftruncate(fd, len(written))
        finally:
            os.close(fd)

    def _evict(self, holdings: Holdings, target: int) -> bool:
        """Remove known entries, those first that nobody has asked for longest.

        :param target: how many bytes may stay.
        :returns: whether no more are left.
        """
        while holdings.bytes > target:
            if not self._candidates:
                return False
            candidate = self._candidates.pop()
            if self._remove(candidate):
                self.evicted += 1
                holdings.add(-candidate.size, -1)
        return True

    def _remove(self, candidate: _Candidate) -> bool:
        """Remove an entry, unless it was asked for since, or is gone."""
        try:
            with self._entries.enter_named(candidate.directory) as directory:
                status = os.stat(candidate.name, dir_fd=directory, follow_symlinks=False)
                if status.st_atime_ns > candidate.used:
                    return False
                os.unlink(candidate.name, dir_fd=directory)
                with contextlib.suppress(OSError):
                    os.unlink(candidate.name + DIGEST, dir_fd=directory)
        except OSError:
            return False
        return True

    def _walk_all(self, holdings: Holdings, besides: str = "") -> None:
        """Count what there is, and remove what nobody fills any more.

        :param besides: the place of what is not counted.
        """
        holdings.bytes = holdings.entries = 0
        found = heapq.nsmallest(_CANDIDATES, self._walk(holdings, besides))
        found.reverse()
        self._candidates = found

    def _walk(self, holdings: Holdings, besides: str) -> Iterator[_Candidate]:
        for name in self._entries.directories():
            with contextlib.suppress(OSError):
                with self._entries.enter_named(name) as directory:
                    yield from self._walk_one(name, directory, holdings, besides)
                # It stays if anything is in it.
                os.rmdir(os.path.join(self._entries.root, name))

    def _walk_one(
        self, name: str, directory: int, holdings: Holdings, besides: str
    ) -> Iterator[_Candidate]:
        with os.scandir(directory) as files:
            for file in files:
                # Another process may remove files at the same time.
                with contextlib.suppress(OSError):
                    if Oid.PATTERN.fullmatch(file.name):
                        status = file.stat(follow_symlinks=False)
                        holdings.add(status.st_size)
                        yield _Candidate(status.st_atime_ns, status.st_size, name, file.name)
                    elif (part := PART.fullmatch(file.name)) is not None:
                        own = f"{name}/{file.name}" == besides
                        if not own and not _abandoned(file.name, directory):
                            holdings.add(int(part[2]))
                    elif file.name.endswith(DIGEST):
                        _remove_alone(file.name, directory)


def _abandoned(name: str, directory: int) -> bool:
    """Remove a file that nobody fills any more.

    :returns: whether it was one.
    """
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=directory)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _remove_alone(name: str, directory: int) -> None:
    """Remove the digest of an entry that is gone."""
    oid = name.removesuffix(DIGEST)
    if not Oid.PATTERN.fullmatch(oid):
        return
    try:
        os.stat(oid, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        os.unlink(name, dir_fd=directory)


def _parse(text: bytes) -> Holdings | None:
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None
    return Holdings(int(words[0]), int(words[1]))
