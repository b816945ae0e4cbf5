"""The files of a cache: where they are, and whether they are what they should be.  All blocks.

A directory for each repository holds a file for each object, whose name is the oid::

    entries/<SHA-256 of the repository's path>/<oid>

What has another digest than its oid, because it is sealed or compressed, has that digest in
a file beside it, ``<oid>.sha256``.  What is being filled is ``<oid>.<size>.part``
(:mod:`giftless.storage.cache.parts`).  Nothing here is synced: whatever a crash has left of
a file is seen by its length or digest before it is used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Final

from giftless.lfs.objects import ObjectKey, Oid, Repo

#: Where the entries are, below the cache's directory.
ENTRIES: Final = "entries"

#: What the name of a digest's file ends with.
DIGEST: Final = ".sha256"

#: How a file is opened: never what a link leads to.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

#: How a directory is opened.
_ENTER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


class Entries:
    """The directory of a cache.

    :param directory: where it is.
    """

    def __init__(self, directory: str) -> None:
        self.root = os.path.join(directory, ENTRIES)

    def make(self) -> None:
        """Make the directory, for its owner alone.

        :raises OSError: if it cannot be made or used.
        """
        os.makedirs(os.path.dirname(self.root), mode=0o700, exist_ok=True)
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        os.close(os.open(self.root, _ENTER))
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    @contextlib.contextmanager
    def enter(self, repo: Repo, make: bool = False) -> Iterator[int]:
        """Lend the descriptor of a repository's directory.

        :param make: whether to make it if it is missing.
        :raises OSError: if it is missing, or no directory.
        """
        name = name_of(repo)
        if make:
            self.make()
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(self.root, name), 0o700)
        with self.enter_named(name) as directory:
            yield directory

    @contextlib.contextmanager
    def enter_named(self, name: str) -> Iterator[int]:
        """Do the same by the directory's name.

        :raises OSError: if it is missing, or no directory.
        """
        directory = os.open(os.path.join(self.root, name), _ENTER)
        try:
            yield directory
        finally:
            os.close(directory)

    def directories(self) -> list[str]:
        """List the names of all repositories' directories."""
        with contextlib.suppress(FileNotFoundError):
            return [name for name in os.listdir(self.root) if Oid.PATTERN.fullmatch(name)]
        return []

    def open(self, key: ObjectKey, size: int) -> int | None:
        """Open an entry, and note that it was asked for.

        :param size: how many bytes it must have; what has another number is removed.
        :returns: a descriptor; ``None`` if there is no such entry.
        """
        try:
            with self.enter(key.repo) as directory:
                fd = os.open(key.oid, _READ, dir_fd=directory)
        except OSError:
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            os.close(fd)
            self.remove(key)
            return None
        # On a disk that takes no writes any more, what is there can still be read.
        with contextlib.suppress(OSError):
            os.utime(fd, ns=(time.time_ns(), status.st_mtime_ns))
        return fd

    def size_of(self, key: ObjectKey) -> int | None:
        """Return how many bytes an entry has; ``None`` if there is none."""
        try:
            with self.enter(key.repo) as directory:
                status = os.stat(key.oid, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def keys_of(self, repo: Repo) -> list[ObjectKey]:
        """List the entries of a repository."""
        try:
            with self.enter(repo) as directory:
                names = os.listdir(directory)
        except OSError:
            return []
        return [ObjectKey(repo, Oid(name)) for name in names if Oid.PATTERN.fullmatch(name)]

    def recorded(self, key: ObjectKey) -> str:
        """Return the digest that an entry's bytes must have, in hexadecimal: mostly its oid."""
        try:
            with self.enter(key.repo) as directory:
                fd = os.open(key.oid + DIGEST, _READ, dir_fd=directory)
        except OSError:
            return key.oid
        try:
            text = os.read(fd, 65).decode("ascii", "replace")
        finally:
            os.close(fd)
        return text if Oid.PATTERN.fullmatch(text) else key.oid

    def remove(self, key: ObjectKey) -> bool:
        """Remove an entry.

        :returns: whether it was there.
        """
        with contextlib.suppress(OSError), self.enter(key.repo) as directory:
            return _remove(key.oid, directory)
        return False

    def remove_all(self, repo: Repo | None, oids: Sequence[Oid] = ()) -> int:
        """Remove the entries of a repository, or of all (``None``); those of some oids, if any.

        :returns: how many there were.
        """
        removed = 0
        for name in self.directories() if repo is None else [name_of(repo)]:
            with contextlib.suppress(OSError), self.enter_named(name) as directory:
                found = filter(Oid.PATTERN.fullmatch, oids or os.listdir(directory))
                removed += sum(_remove(oid, directory) for oid in found)
        return removed


def name_of(repo: Repo) -> str:
    """Return the name of a repository's directory."""
    return hashlib.sha256(repo.path.encode()).hexdigest()


def _remove(oid: str, directory: int) -> bool:
    """Remove an entry from a directory; return whether it was there."""
    with contextlib.suppress(OSError):
        os.unlink(oid + DIGEST, dir_fd=directory)
    try:
        os.unlink(oid, dir_fd=directory)
    except OSError:
        return False
    return True
