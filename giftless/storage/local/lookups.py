"""Look objects up: which are there, how large they are, and open one.

Asking the kernel for what it has in memory takes microseconds, but going to a thread
and back takes a hundred.  So a few objects are first looked up in the kernel's caches
alone, where the reactor runs (:mod:`giftless.storage.local.cached`).  What these do not
tell is asked in a thread, together with what other requests ask.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from giftless.base.page_cache import read_now
from giftless.base.together import Together
from giftless.errors import LFSError, ObjectDamaged
from giftless.interfaces import Glimpse, IBlocking, Room
from giftless.lfs.objects import Extras, ObjectKey, Repo
from giftless.storage.local import cached, damage
from giftless.storage.local.disks import Disks
from giftless.storage.local.extras import ExtrasFiles
from giftless.storage.local.failures import unreadable
from giftless.storage.local.files import ABSENT, available, size_of
from giftless.storage.local.opened_object import LocalObject
from giftless.storage.local.root import Held, Root

T = TypeVar("T")

#: What is told of an object: its size in bytes, ``None`` if it is absent, or an error.
Size = int | LFSError | None

#: How many objects are looked up without a thread, or together with those of other
#: requests, at most.
_FEW_KEYS: Final = 16


class _Way(NamedTuple):
    """One of the two ways in which things are looked up.

    :ivar enter: returns the directory of a root.
    :ivar sizes: returns what is to be told of objects below it.
    :ivar open: opens an object below it; ``None`` if it is absent.
    :ivar extras: returns an object's extras, given the store's own root.
    :ivar start: returns the first bytes of an open file, so many at most.
    """

    enter: Callable[[Root], Held]
    sizes: Callable[[Held, Sequence[bytes]], Sequence[Size]]
    open: Callable[[Held, bytes], tuple[int, int] | None]
    extras: Callable[[Held, ObjectKey], Extras]
    start: Callable[[int, int], bytes]


class Lookups:
    """Looks up the objects of a store.

    What a lookup may raise, beside what is said: :class:`OSError`, from the file system.

    :param disks: where objects are.
    :param extras: where their extras are.
    :param blocking: asks the disks.
    """

    def __init__(self, disks: Disks, extras: ExtrasFiles, blocking: IBlocking) -> None:
        self._disks = disks
        self._blocking = blocking
        self._opener = cached.Opener()
        self._waiting = _Way(Root.enter, _sizes, _open, extras.read, _start)
        self._at_once = _Way(
            Root.enter_cached, _sizes_cached, self._open_cached, extras.read_cached, _start_cached
        )
        #: What runs short lookups, for each disk by itself: one may be slow, or hang.
        self._together: dict[Root, Together] = {}

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[Size]:
        """Return what is to be told of each of some objects."""
        return await self._look_up(keys, lambda way: self._sizes(way, keys))

    async def sizes_and_room(
        self, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[Size], Room]:
        """Return the same, and the room on a repository's disk."""
        return await self._look_up(keys, lambda way: self._sizes_and_room(way, keys, repo))

    async def room(self, repo: Repo) -> Room:
        """Return the room on a repository's disk."""
        return await self._look_up((), lambda way: self._room(way, repo))

    async def open(self, key: ObjectKey) -> LocalObject | None:
        """Open an object for reading; returns ``None`` if it is absent.

        :raises ObjectDamaged: if it is set apart.
        """
        return await self._look_up([key], lambda way: self._open(way, key))

    async def peek(
        self, keys: Sequence[ObjectKey], count: int
    ) -> Sequence[Glimpse | LFSError | None]:
        """Return what each of some objects begins with."""
        return await self._look_up(keys, lambda way: [self._peek(way, key, count) for key in keys])

    async def _look_up(self, keys: Sequence[ObjectKey], look: Callable[[_Way], T]) -> T:
        """Call what looks objects up, where it need not wait if that is possible."""
        blocking = self._blocking
        if 0 < len(keys) <= _FEW_KEYS:
            try:
                return look(self._at_once)
            except cached.NotCached:
                blocking = self._on_disk(keys[0])
        return await blocking.run(look, self._waiting)

    def _on_disk(self, key: ObjectKey) -> IBlocking:
        """Return what runs lookups on an object's disk."""
        root = self._disks.place_of(key).root
        together = self._together.get(root)
        if together is None:
            together = self._together[root] = Together(self._blocking)
        return together

    def _sizes_and_room(
        self, way: _Way, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[Size], Room]:
        disks = self._disks
        if disks.linked:
            return self._sizes(way, keys), self._room(way, repo)
        held = way.enter(disks.main)
        return way.sizes(held, list(map(disks.path, keys))), Room(available(held.fd))

    def _sizes(self, way: _Way, keys: Sequence[ObjectKey]) -> Sequence[Size]:
        disks = self._disks
        if not disks.linked:
            return way.sizes(way.enter(disks.main), list(map(disks.path, keys)))
        sizes: list[Size] = []
        for root, path in map(disks.place_of, keys):
            sizes += way.sizes(way.enter(root), [path])
        return sizes

    def _room(self, way: _Way, repo: Repo) -> Room:
        path = b"%b/" % self._disks.path(repo)
        return Room(available(way.enter(self._disks.place(path).root).fd))

    def _open(self, way: _Way, key: ObjectKey) -> LocalObject | None:
        root, path = self._disks.place_of(key)
        held = way.enter(root)
        opened = way.open(held, path)
        if opened is None:
            return None
        fd, size = opened
        try:
            main = self._disks.main
            extras = way.extras(held if root is main else way.enter(main), key)
            return LocalObject(fd, size, extras, self._blocking)
        except BaseException:
            os.close(fd)
            raise

    def _peek(self, way: _Way, key: ObjectKey, count: int) -> Glimpse | LFSError | None:
        root, path = self._disks.place_of(key)
        try:
            opened = way.open(way.enter(root), path)
            if opened is None:
                return None
            fd, size = opened
            try:
                return Glimpse(size, way.start(fd, min(count, size)))
            finally:
                os.close(fd)
        except ObjectDamaged as damaged:
            return damaged
        except OSError as error:
            return unreadable(error, f"{key.oid} could not be read")

    def _open_cached(self, held: Held, path: bytes) -> tuple[int, int]:
        return self._opener.open(path, held.fd)


def _sizes(held: Held, paths: Sequence[bytes]) -> Sequence[Size]:
    sizes: list[Size] = [size_of(path, held.fd) for path in paths]
    if None in sizes and not damage.is_empty(held):
        return [
            damage.look_for(held, path) if size is None else size
            for path, size in zip(paths, sizes, strict=True)
        ]
    return sizes


def _sizes_cached(held: Held, paths: Sequence[bytes]) -> Sequence[Size]:
    sizes = [cached.size_of(path, held.fd) for path in paths]
    if None in sizes:
        damage.check_empty_cached(held)
    return sizes


def _start(fd: int, count: int) -> bytes:
    return os.pread(fd, count, 0)


def _start_cached(fd: int, count: int) -> bytes:
    start = read_now(fd, 0, count)
    if start is None:
        raise cached.NotCached
    return start


def _open(held: Held, path: bytes) -> tuple[int, int] | None:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, dir_fd=held.fd)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        if (damaged := damage.look_for(held, path)) is not None:
            raise damaged from None
        return None
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            opened, fd = (fd, status.st_size), -1
            return opened
        return None
    finally:
        if fd >= 0:
            os.close(fd)
