"""Find what is beside the objects of a local store, and who needs it.  Everything here blocks.

What killed uploads have left in ``.giftless/tmp`` is not looked for: whoever opens a store
removes it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import Final

from giftless.base.units import duration_in_words
from giftless.interfaces import Oddity
from giftless.lfs.objects import TRASH, ObjectKey
from giftless.storage.gaps import problem_of_parts
from giftless.storage.local import damage
from giftless.storage.local.disks import Disks
from giftless.storage.local.files import ABSENT, size_of
from giftless.storage.local.growing import RESUMABLE, parse_path
from giftless.storage.local.own import OWN
from giftless.storage.local.parts import PARTS
from giftless.storage.local.reader import Reader
from giftless.storage.local.root import Held, Root
from giftless.storage.local.survey import Modes
from giftless.storage.staging import DIRECTORY, SEALING, unstaged

#: What is in the directory of the server's own, below a root.
_KNOWN: Final = frozenset(
    {
        *(b"tmp", b"writers", b"parts", b"extras", b"damaged", b"disks", b"identity", b"trash"),
        *(b"resumable", b"holds"),
        *(DIRECTORY.encode(), SEALING.segments[-1].encode()),
    }
)

_EXTRAS: Final = OWN + b"/extras"


class Leftovers:
    """Looks through what the server keeps for itself.

    :param disks: where the store is.
    :param prefix: the path of the directory with the organisations; may be empty.
    :param before: what has changed since may still be needed.
    """

    def __init__(self, disks: Disks, prefix: bytes, before: float) -> None:
        self._disks = disks
        self._below = b"%b/" % prefix if prefix else b""
        self._before = before
        self._found: list[Oddity] = []

    def find(self) -> list[Oddity]:
        """Return all that nobody needs, and all that is marked as damaged.

        :raises OSError: if a disk is not there.
        """
        for linked, root in [(b"", self._disks.main), *self._disks.linked.items()]:
            held = root.enter()
            self._look_at_own(root, held)
            self._look_at_damaged(root, held, linked)
            self._look_at_resumable(root, held, linked)
        self._look_at_extras()
        self._look_at_parts()
        self._look_at_staged()
        return self._found

    def _look_at_own(self, root: Root, held: Held) -> None:
        modes = Modes(Reader.of(os.fstat(held.fd)), self._found.append)
        modes.judge(root.path, os.fstat(held.fd))
        for name, status in _entries(OWN, held):
            path = os.path.join(OWN, name)
            if name not in _KNOWN and not name.startswith(b"identity."):
                self._add(root, path, "nothing of the server's has this name")
            else:
                modes.judge(os.path.join(root.path, path), status)

    def _look_at_damaged(self, root: Root, held: Held, linked: bytes) -> None:
        for path in _directories(damage.DAMAGED, held, b"reason"):
            inner = path[len(damage.DAMAGED) + 1 :]
            key = self._key(os.path.join(linked, inner))
            if key is None:
                self._add(root, path, "no object can have been here")
            elif size_of(inner, held.fd) is not None:
                self._add(root, path, f"{key.path} is there again; nobody needs this", key)
            else:
                error = damage.look_for(held, inner)
                if error is not None:
                    self._found.append(Oddity(self._name(root, path), error.message, key, "wrong"))

    def _look_at_extras(self) -> None:
        root = self._disks.main
        held = root.enter()
        for path, status in _files(_EXTRAS, held):
            key = self._key(path[len(_EXTRAS) + 1 :])
            if key is None:
                self._add(root, path, "no object can have been here")
            elif status.st_mtime < self._before and not self._is_known(key):
                problem = "the name and other members of an object that is not there"
                self._add(root, path, problem, key)

    def _look_at_parts(self) -> None:
        """Look at uploads in parts: ``{the object's path}/{part size}/{number}``."""
        root = self._disks.main
        held = root.enter()
        for path in _directories(PARTS, held):
            place, size = os.path.split(path[len(PARTS) + 1 :])
            key = self._key(place)
            if key is None or not size.isdigit():
                self._add(root, path, "no upload in parts can have been here")
                continue
            found = list(_entries(path, held))
            last = max(status.st_mtime for _, status in found)
            problem = _problem_of_parts(found, int(size))
            if self._is_there(key):
                problem = "the object is there; nobody needs the parts"
            if last < self._before:
                idle = duration_in_words(time.time() - last)
                words = f"an upload in {len(found)} parts that nobody has gone on with for {idle}"
                self._add(root, path, f"{words}: {problem}" if problem else words, key)

    def _look_at_resumable(self, root: Root, held: Held, linked: bytes) -> None:
        """Look at uploads that can be gone on with."""
        for path, status in _files(RESUMABLE, held):
            place, size = parse_path(path) or (b"", 0)
            key = self._key(os.path.join(linked, place))
            if key is None or not stat.S_ISREG(status.st_mode):
                self._add(root, path, "no upload can have been here")
            elif status.st_mtime < self._before:
                idle = duration_in_words(time.time() - status.st_mtime)
                came = f"{status.st_size} of {size} bytes"
                words = f"an upload that nobody has gone on with for {idle}: {came}"
                if self._is_there(key):
                    words = f"{words}; the object is there; nobody needs this"
                self._add(root, path, words, key)

    def _look_at_staged(self) -> None:
        """Look at what a wrapper was about to make objects of."""
        root = self._disks.main
        top = os.path.join(self._below, OWN, DIRECTORY.encode())
        for path, status in _files(top, root.enter()):
            if status.st_mtime < self._before:
                idle = duration_in_words(time.time() - status.st_mtime)
                problem = f"an upload in parts whose commit was broken off {idle} ago"
                self._add(root, path, problem, self._key(path))

    def _key(self, path: bytes) -> ObjectKey | None:
        """Return the key of the object that belongs to a path below the store's root."""
        if not path.startswith(self._below):
            return None
        text = os.fsdecode(path[len(self._below) :])
        try:
            text.encode()
        except UnicodeEncodeError:
            return None
        return ObjectKey.of_path(unstaged(text), f"/{TRASH}/" in text)

    def _is_there(self, key: ObjectKey) -> bool:
        root, path = self._disks.place_of(key)
        return size_of(path, root.enter().fd) is not None

    def _is_known(self, key: ObjectKey) -> bool:
        root, path = self._disks.place_of(key)
        held = root.enter()
        return size_of(path, held.fd) is not None or damage.look_for(held, path) is not None

    def _add(self, root: Root, path: bytes, problem: str, key: ObjectKey | None = None) -> None:
        self._found.append(Oddity(self._name(root, path), problem, key))

    @staticmethod
    def _name(root: Root, path: bytes) -> str:
        return os.fsdecode(os.path.join(root.path, path))


def _problem_of_parts(found: list[tuple[bytes, os.stat_result]], size: int) -> str:
    """Say which parts are missing or wrong, as far as can be told; empty if none."""
    sizes = {int(name): status.st_size for name, status in found if name.isdigit()}
    if len(sizes) < len(found):
        return "something there is no part"
    return problem_of_parts(sizes, size)


def _entries(path: bytes, held: Held) -> Iterator[tuple[bytes, os.stat_result]]:
    """Find what is in a directory; nothing if it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held.fd)
    except OSError as error:
        if error.errno in ABSENT:
            return
        raise
    try:
        for name in sorted(os.listdir(fd)):
            try:
                yield os.fsencode(name), os.lstat(name, dir_fd=fd)
            except FileNotFoundError:
                continue
    finally:
        os.close(fd)


def _files(top: bytes, held: Held) -> Iterator[tuple[bytes, os.stat_result]]:
    """Find all files below a directory."""
    for name, status in _entries(top, held):
        path = os.path.join(top, name)
        if stat.S_ISDIR(status.st_mode):
            yield from _files(path, held)
        else:
            yield path, status


def _directories(top: bytes, held: Held, wanted: bytes | None = None) -> Iterator[bytes]:
    """Find the directories below one that have a file.

    :param wanted: the name of the file; ``None`` if any will do.
    """
    last = b""
    for path, _ in _files(top, held):
        directory, name = os.path.split(path)
        if directory != last and wanted in (None, name):
            last = directory
            yield directory
