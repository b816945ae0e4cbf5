"""The ``x-*`` members of objects, kept beside them: ``.giftless/extras/{prefix}/{its path}``.

Everything here blocks.
"""

from __future__ import annotations

import os

import msgspec

from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.local import cached
from giftless.storage.local.files import ABSENT, Upload, remove, size_of
from giftless.storage.local.own import OWN
from giftless.storage.local.root import Held, Root


class ExtrasFiles:
    """Where extras are.

    :param root: the root of the store.
    :param prefix: a path below the directory of all extras, or empty.
    """

    def __init__(self, root: Root, prefix: bytes) -> None:
        self._root = root
        self._directory = os.path.join(OWN, b"extras", prefix, b"")

    def write(self, key: ObjectKey, extras: Extras) -> None:
        """Keep an object's extras, durably."""
        note = Upload(self._root.enter)
        try:
            note.write([msgspec.json.encode(extras)])
            note.rename(self._path(key))
        finally:
            note.close()

    def read(self, held: Held, key: ObjectKey) -> Extras:
        """Return an object's extras; none if they are damaged.

        :param held: the root of the store.
        :raises OSError: if they are there and cannot be read.
        """
        try:
            fd = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC, dir_fd=held.fd)
        except OSError as error:
            if error.errno in ABSENT:
                return {}
            raise
        with open(fd, "rb") as file:
            data = file.read()
        try:
            return msgspec.json.decode(data, type=dict)
        except (msgspec.DecodeError, RecursionError):
            return {}

    def read_cached(self, held: Held, key: ObjectKey) -> Extras:
        """Do the same without ever waiting.

        :raises NotCached: if there are some, or nobody can tell at once.
        """
        if cached.size_of(self._path(key), held.fd) is not None:
            raise cached.NotCached
        return {}

    def remove(self, key: ObjectKey) -> None:
        """Remove an object's extras, durably; harmless if it has none."""
        remove(self._root.enter(), self._path(key))

    def copy(self, source: ObjectKey, target: ObjectKey, clear: bool) -> None:
        """Give an object the extras of another one, durably.

        :param clear: whether to remove those that it has, if the other one has none.
        """
        held = self._root.enter()
        if extras := self.read(held, source):
            self.write(target, extras)
        elif clear and size_of(self._path(target), held.fd) is not None:
            self.remove(target)

    def _path(self, key: ObjectKey) -> bytes:
        return self._directory + key.path.encode()
