"""Read a database of Bolt (bbolt), a file of pages that hold a tree: what Go programs keep.

Only reading, and only buckets at the top: that is what lfs-test-server has.  The format is
in bbolt's ``page.go``, ``meta.go`` and ``bucket.go``.  A page of the tree has elements, each
of which names where its key and value are; a bucket's value is the page where its own tree
begins, or that page itself if it is small.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator
from typing import Final

from giftless.importing.offers import NoSource

_MAGIC: Final = 0xED0CDAED
_VERSION: Final = 2

#: id, flags, count, overflow.
_PAGE: Final = struct.Struct("<QHHI")

#: magic, version, page size, flags, root, sequence, free list, high water, transaction,
#: checksum.
_META: Final = struct.Struct("<IIIIQQQQQQ")

#: The place of the key, its length, and the page below.
_BRANCH: Final = struct.Struct("<IIQ")

#: flags, the place of the key, its length, and that of the value.
_LEAF: Final = struct.Struct("<IIII")

#: The page of a bucket's tree (0 if it follows), and a counter.
_BUCKET: Final = struct.Struct("<QQ")

_IS_BRANCH, _IS_LEAF = 0x01, 0x02
_HAS_BUCKET: Final = 0x01

#: The page sizes that are tried: that of the first page is told by itself, and the second
#: one is needed if the first is broken.
_PAGE_SIZES: Final = tuple(1 << power for power in range(10, 17))


class Bolt:
    """A database that was read as a whole.

    :param data: the bytes of its file.
    :raises NoSource: if it is none.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            self._page_size, self._root = self._meta()
        except struct.error:
            raise NoSource("it is no database of Bolt") from None

    def bucket(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys and values of a bucket, in order; nothing if there is none.

        :raises NoSource: if the file is damaged.
        """
        try:
            seen: set[int] = set()
            for flags, key, start, length in self._elements(self._root * self._page_size, seen):
                if key == name and flags & _HAS_BUCKET:
                    for inner, key, begin, size in self._elements(self._tree(start, length), seen):
                        if not inner & _HAS_BUCKET:
                            yield key, self._slice(begin, size)
        except (struct.error, IndexError):
            raise NoSource("the database is damaged, or was written while it was read") from None

    def _tree(self, start: int, length: int) -> int:
        """Return where the tree of a bucket begins, by its value."""
        root, _ = _BUCKET.unpack(self._slice(start, length)[: _BUCKET.size])
        return root * self._page_size if root else start + _BUCKET.size

    def _elements(self, at: int, seen: set[int]) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield the elements of a tree: flags, the key, where its value begins, and its length.

        :param seen: the pages that were met; a broken file may have circles.
        """
        # A broken file may name pages that are further away than an offset can be.
        if at in seen or at > len(self._data):
            raise IndexError
        seen.add(at)
        _, flags, count, _ = _PAGE.unpack_from(self._data, at)
        at += _PAGE.size
        if flags & _IS_BRANCH:
            for number in range(count):
                _, _, page = _BRANCH.unpack_from(self._data, at + number * _BRANCH.size)
                yield from self._elements(page * self._page_size, seen)
        elif flags & _IS_LEAF:
            for number in range(count):
                here = at + number * _LEAF.size
                kind, place, key_size, size = _LEAF.unpack_from(self._data, here)
                value = here + place + key_size
                yield kind, self._slice(value - key_size, key_size), value, size
        else:
            raise IndexError

    def _slice(self, start: int, length: int) -> bytes:
        end = start + length
        if end > len(self._data):
            raise IndexError
        return self._data[start:end]

    def _meta(self) -> tuple[int, int]:
        """Return the size of pages and the root of the last transaction that was completed.

        The two first pages tell it in turn, so that one of them is whole at any time.
        """
        found: list[tuple[int, int, int]] = []
        for place in (0, *_PAGE_SIZES):
            if len(self._data) < place + _PAGE.size + _META.size:
                break
            start = place + _PAGE.size
            fields = _META.unpack_from(self._data, start)
            magic, version, page_size, _, root, *_, transaction, checksum = fields
            if magic != _MAGIC or version != _VERSION or place not in (0, page_size):
                continue
            # Checksums of very old versions are empty.
            if checksum in (0, _fnv(self._data[start : start + _META.size - 8])):
                found.append((transaction, page_size, root))
        if not found:
            raise NoSource("it is no database of Bolt")
        _, page_size, root = max(found)
        return page_size, root


def read_bolt(path: str) -> Bolt:
    """Read a database; blocks.

    :raises NoSource: if it cannot be read, or a program has it open that may write to it.
    """
    try:
        with open(path, "rb") as file:
            # Whoever opens it to write has it locked.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return Bolt(file.read())
    except BlockingIOError:
        raise NoSource(f"{path} is in use: stop its server first, or name a copy") from None
    except OSError as error:
        raise NoSource(f"{path} cannot be read: {error.strerror}") from None
    except NoSource as error:
        raise NoSource(f"{path}: {error}") from None


def _fnv(data: bytes) -> int:
    """Return the FNV-1a checksum of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
