"""The directory of a store, held open, and recognised by the mark in it.

What the daemon does is done below the descriptor that it holds, so nothing is diverted
when the directory's path begins to lead elsewhere: to the mount point of a disk that is
gone, or to another directory.  Each piece of work compares the two first.  While they
differ, the store is not there: nobody is told that its objects are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
from typing import Final

from twisted.logger import Logger

from giftless.base.files import sync_directory
from giftless.base.identities import (
    UNMARKED,
    Remembered,
    give_to_owner,
    new_identity,
    parse_identity,
)
from giftless.storage.local import cached
from giftless.storage.local.own import DIRECTORY_MODE, FILE_MODE, OWN
from giftless.storage.local.writer import Writer

#: The file with the store's identity.
MARK: Final = OWN + b"/identity"

#: How many directories are remembered as synced, at most.
_MAX_SYNCED: Final = 10_000

#: What linking raises where there are no hard links.
NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

_log = Logger(namespace="giftless.storage")


class NotTheStore(OSError):
    """The directory is missing, or is not the one that holds the objects.

    :param problem: what was found and what to do, in one line.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Held:
    """A directory that is held open: what is below it is reached from here.

    It is closed when nobody uses it any more.

    :param path: the directory.
    :raises OSError: if there is none.
    :ivar fd: its descriptor.
    :ivar place: which directory it is: device and inode.
    :ivar writer: what this process writes there.
    :ivar cached: whether :mod:`giftless.storage.local.cached` can tell what is below.
    """

    def __init__(self, path: bytes) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(self.fd)
        self.place = (status.st_dev, status.st_ino)
        self.writer = Writer(self.fd)
        self.cached = cached.can_ask(self.fd)
        self._synced: set[bytes] = set()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close it before that.  Harmless when repeated."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def is_synced(self, path: bytes) -> bool:
        """Whether this process has made a directory's name durable, and those above."""
        return path in self._synced

    def note_synced(self, path: bytes) -> None:
        """Remember that the directory's name is durable."""
        if len(self._synced) >= _MAX_SYNCED:
            self._synced.clear()
        self._synced.add(path)

    def forget_synced(self, path: bytes) -> None:
        """Forget a directory, which somebody has removed, and those above it."""
        while path:
            self._synced.discard(path)
            path = os.path.dirname(path)


class Root:
    """The root of a store.

    :param path: its absolute path, perhaps through links.
    :param remembered: which store it was; ``None`` to recognise it by its device and
        inode alone.
    """

    def __init__(self, path: bytes, remembered: Remembered | None = None) -> None:
        self.path = path
        self._remembered = remembered
        self._identity: str | None = None
        self._place: tuple[int, int] | None = None
        self._held: Held | None = None
        self._lock = threading.Lock()

    def open(self, make: bool) -> None:
        """Open the root when the daemon starts, and mark it if it is new.

        :param make: whether to make the directory, if nothing was ever there.
        :raises NotTheStore: if it is not the store that was here before.
        :raises OSError: if it cannot be used.
        :raises ConfigError: if what is remembered cannot be read.
        """
        assert self._remembered is not None, "a root without a memory opens itself"
        known = self._remembered.get()
        try:
            held = Held(self.path)
        except FileNotFoundError:
            if known is not None:
                raise self._wrong("is missing, though objects were kept there") from None
            if not make:
                raise
            os.makedirs(self.path, DIRECTORY_MODE, exist_ok=True)
            held = Held(self.path)
        _sync_parents(self.path, held)
        identity = read_mark(held)
        if identity is None:
            if known not in (None, UNMARKED) or (known == UNMARKED and not os.listdir(held.fd)):
                raise self._wrong("lacks the mark of the store that was there")
            identity = self._make_mark(held)
        elif known not in (None, UNMARKED, identity):
            raise self._wrong("has the mark of another store than was there")
        if known != (identity or UNMARKED):
            self._remember(identity or UNMARKED)
        self._identity, self._held, self._place = identity, held, held.place

    def enter(self) -> Held:
        """Return the directory, for one piece of work.

        :raises NotTheStore: if it is not there now, or another is in its place.
        """
        held = self._held
        if held is not None:
            try:
                status = os.stat(self.path)
            except OSError as error:
                raise self._away(f"cannot be reached: {error.strerror}") from None
            if (status.st_dev, status.st_ino) == held.place:
                return held
        return self._open_again()

    def enter_cached(self) -> Held:
        """Do the same without ever waiting.

        :raises NotCached: if that is not possible, or if it is not there.
        """
        held = self._held
        if held is None or not held.cached or cached.place_of(self.path) != held.place:
            raise cached.NotCached
        return held

    def drop(self) -> None:
        """Open the directory anew next time: a server of files has forgotten this one."""
        self._held = None

    def _open_again(self) -> Held:
        with self._lock:
            try:
                held = Held(self.path)
            except OSError as error:
                raise self._away(f"cannot be opened: {error.strerror}") from None
            if self._held is not None and held.place == self._held.place:
                return self._held
            try:
                self._recognise(held)
            except BaseException:
                # Whoever keeps the error must not keep the directory open.
                held.close()
                raise
            if self._place is not None:
                _log.info("the store in {path} is there again", path=self._name)
            self._held, self._place = held, held.place
            return held

    def _recognise(self, held: Held) -> None:
        """Make sure that a directory is the one that was here.

        :raises NotTheStore: if it is another one.
        :raises OSError: if its mark cannot be read.
        """
        if self._identity is not None:
            if read_mark(held) != self._identity:
                raise self._away("is another directory than was there; is a disk gone?")
        elif self._place not in (None, held.place):
            raise self._away(
                "is another directory than was there; if that is right, restart giftless"
            )

    def _make_mark(self, held: Held) -> str | None:
        """Mark a store that has no identity yet.

        :returns: the identity, which may be another process's; ``None`` if the store
            takes none.
        """
        try:
            write_mark(held, new_identity())
        except OSError as error:
            _log.warn(
                "the store in {path} cannot be marked: {error}; if its disk is missing one"
                " day, that may not be noticed",
                path=self._name,
                error=error.strerror,
            )
            return None
        return read_mark(held)

    def _remember(self, identity: str) -> None:
        assert self._remembered is not None
        try:
            self._remembered.keep(identity)
        except OSError as error:
            _log.warn(
                "it cannot be remembered which store is in {path}: {file}: {error}; if its"
                " disk is missing at a start, that will not be noticed",
                path=self._name,
                file=self._remembered.file,
                error=error.strerror,
            )

    @property
    def _name(self) -> str:
        return os.fsdecode(self.path)

    def _away(self, problem: str) -> NotTheStore:
        return NotTheStore(f"{self._name!r} {problem}")

    def _wrong(self, problem: str) -> NotTheStore:
        assert self._remembered is not None
        return NotTheStore(
            f"{self._name!r} {problem}; mount the right disk, or, if a new store is to begin"
            f" here, remove {self._remembered.file}"
        )


def read_mark(held: Held) -> str | None:
    """Return a store's identity; ``None`` if it has no mark, empty if that is broken.

    :raises OSError: if it cannot be read.
    """
    try:
        fd = os.open(MARK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=held.fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return parse_identity(os.read(fd, 100))
    finally:
        os.close(fd)


def write_mark(held: Held, identity: str) -> None:
    """Mark a store, durably, unless it is marked.

    :raises OSError: if that is impossible.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(OWN, DIRECTORY_MODE, dir_fd=held.fd)
    own = os.open(OWN, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held.fd)
    try:
        give_to_owner(own, held.fd)
        name = b"identity.%b" % secrets.token_hex(8).encode()
        _write_new(own, name, identity.encode() + b"\n")
        try:
            os.link(name, b"identity", src_dir_fd=own, dst_dir_fd=own)
        except FileExistsError:
            pass  # another process was faster; its identity counts
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            os.rename(name, b"identity", src_dir_fd=own, dst_dir_fd=own)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=own)
        os.fsync(own)
        os.fsync(held.fd)
    finally:
        os.close(own)


def _write_new(directory: int, name: bytes, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(name, flags, FILE_MODE, dir_fd=directory)
    try:
        give_to_owner(fd, directory)
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_parents(path: bytes, held: Held) -> None:
    """Make a root's name durable, up to where its file system is mounted.

    Whoever has made its directories need not have synced them.  Those that this
    process may not read are left out.
    """
    parent = os.path.dirname(os.path.realpath(path))
    with contextlib.suppress(OSError):
        while os.stat(parent).st_dev == held.place[0]:
            sync_directory(parent)
            if parent == b"/":
                break
            parent = os.path.dirname(parent)
