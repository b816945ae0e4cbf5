"""The file systems that a store lies on: that of its root, and those that are linked in.

The directory of an organisation may be a link that leads out of the store, or the mount
point of another disk.  Such a directory is a root of its own: it has a mark, so that it
is missed when its disk is gone, and a folder for temporary files, since no file can be
renamed from one file system to another.  Which there are is remembered in
``.giftless/disks`` below the store's root.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple, TypeVar

from giftless.base.identities import Remembered
from giftless.lfs.objects import ObjectKey, Repo
from giftless.storage.local.own import OWN
from giftless.storage.local.root import NotTheStore, Root

T = TypeVar("T")

#: The folder that remembers the linked directories.
_MEMORY: Final = OWN + b"/disks"

#: What must be where the root is, because files are renamed from there.
_BESIDE_TMP: Final = (b"", b"/tmp", b"/extras", b"/parts", b"/resumable", b"/damaged")


class Place(NamedTuple):
    """Where a file is.

    :ivar root: the root that it is below.
    :ivar path: its path from there.
    """

    root: Root
    path: bytes


class Disks:
    """The roots of a store.

    :param path: the store's own root, an absolute path.
    :param prefix: the relative path of the directory with the organisations; may be empty.
    :param remembered: which store was there; see :class:`Root`.
    :ivar main: the store's own root.
    :ivar linked: the roots of linked directories, by their paths below ``main``.
    """

    def __init__(self, path: bytes, prefix: bytes, remembered: Remembered | None) -> None:
        self.main = Root(path, remembered)
        self.linked: dict[bytes, Root] = {}
        self._prefix = prefix
        self._below = b"%b/" % prefix if prefix else b""
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open all roots when the daemon starts.

        :raises NotTheStore: if one is not there, or is another than it was.
        :raises OSError: if one cannot be used.
        :raises ConfigError: if what is remembered cannot be read.
        """
        self.main.open(make=True)
        self._check_own()
        for name in sorted(self._remembered(b"").places(), key=len):
            self._link(os.fsencode(name))
        for path in list(self._found()):
            if path not in self.linked:
                self._link(path)

    def path(self, where: ObjectKey | Repo) -> bytes:
        """Return where an object, or a repository, is below the store's own root."""
        return self._below + where.path.encode()

    def place_of(self, key: ObjectKey) -> Place:
        """Return where an object is."""
        return self.place(self.path(key))

    def place(self, path: bytes) -> Place:
        """Return where a file is.

        :param path: its path below the store's own root.
        """
        # From the longest: there may be links behind links.
        end = path.rfind(b"/") if self.linked else -1
        while end > 0:
            root = self.linked.get(path[:end])
            if root is not None:
                return Place(root, path[end + 1 :])
            end = path.rfind(b"/", 0, end)
        return Place(self.main, path)

    def roots(self) -> list[Root]:
        """Return all roots."""
        return [self.main, *self.linked.values()]

    def walk(self, walk: Callable[[bytes, Collection[bytes]], T]) -> T:
        """Call what walks through all repositories, on disks that are there all the while.

        :param walk: is given the directory of all repositories, and the links that are
            followed, as absolute paths.
        :raises NotTheStore: if a disk is not there, or was replaced meanwhile.
        """
        # A disk that is not there has no empty list.
        before = [root.enter() for root in self.roots()]
        top = self.main.path
        linked = {os.path.join(top, path) for path in self.linked}
        found = walk(os.path.join(top, self._prefix), linked)
        if [root.enter() for root in self.roots()][: len(before)] != before:
            raise NotTheStore("a disk was replaced meanwhile")
        return found

    def discover(self, path: bytes) -> bool:
        """Find the linked directory on the way to a file, to which no rename has led.

        :returns: whether there was one that was not known.
        :raises OSError: if it cannot be used.
        """
        with self._lock:
            root, inner = self.place(path)
            held = root.enter()
            here = _file_system(held.fd)
            end = 0
            while (end := inner.find(b"/", end + 1)) > 0:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                fd = os.open(inner[:end], flags, dir_fd=held.fd)
                try:
                    there = _file_system(fd)
                finally:
                    os.close(fd)
                if there != here:
                    self._link(path[: len(path) - len(inner) + end])
                    return True
        return False

    def _link(self, path: bytes) -> None:
        root = Root(os.path.join(self.main.path, path), self._remembered(path))
        root.open(make=False)
        self.linked = {**self.linked, path: root}

    def _remembered(self, path: bytes) -> Remembered:
        folder = os.path.join(self.main.path, _MEMORY)
        return Remembered(os.fsdecode(folder), os.fsdecode(path))

    def _check_own(self) -> None:
        """Make sure that files can be renamed from the server's own directories.

        :raises NotTheStore: if one is on another file system.
        """
        top = self.main.path
        device = os.stat(top).st_dev
        for name in _BESIDE_TMP:
            path = os.path.join(top, OWN + name)
            if os.path.lexists(path) and os.stat(path).st_dev != device:
                raise NotTheStore(
                    f"{os.fsdecode(path)!r} is on another file system than the store; move it"
                    " back: only directories of repositories may be links to other disks"
                )

    def _found(self) -> Iterator[bytes]:
        """Find the linked directories: on the way of the prefix, and organisations.

        :raises NotTheStore: if one is a link to nothing.
        """
        top = os.path.realpath(self.main.path)
        for path in self._candidates():
            full = os.path.join(self.main.path, path)
            if os.path.islink(full):
                target = os.path.realpath(full)
                if not os.path.exists(target):
                    raise NotTheStore(
                        f"{os.fsdecode(full)!r} is a link to nothing; mount its disk, or remove"
                        " the link"
                    )
                if os.path.isdir(target) and os.path.commonpath([top, target]) != top:
                    yield path
            elif os.path.isdir(full):
                # Its parent is a root, or in one: a mount point has another device.
                parent = os.path.dirname(full)
                if os.stat(full).st_dev != os.stat(parent).st_dev:
                    yield path

    def _candidates(self) -> Iterator[bytes]:
        segments = self._prefix.split(b"/") if self._prefix else []
        for count in range(1, len(segments) + 1):
            yield b"/".join(segments[:count])
        directory = os.path.join(self.main.path, self._prefix)
        if os.path.isdir(directory):
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not entry.name.startswith(OWN) and not entry.is_file(follow_symlinks=False):
                        yield os.path.join(self._prefix, entry.name)


def _file_system(fd: int) -> tuple[int, bytes]:
    """Return what tells apart where files can be renamed to: device and mount."""
    mount = b""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        for line in info:
            if line.startswith(b"mnt_id:"):
                mount = line
    return os.fstat(fd).st_dev, mount
