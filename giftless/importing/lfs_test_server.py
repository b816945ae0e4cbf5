"""The database of lfs-test-server: which objects were pushed, how large, and what is locked.

It has three buckets: ``objects`` (by oid, encoded by Go's ``encoding/gob``), ``locks`` (JSON
by repository) and ``users``.  Objects belong to no repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from giftless.importing.bolt import Bolt
from giftless.importing.offers import NoSource
from giftless.lfs.objects import MAX_SIZE, Oid


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds.

    :ivar objects: the sizes of objects in bytes, by oid.
    :ivar locks: how many locks there are.
    :ivar users: how many users there are.
    """

    objects: dict[Oid, int]
    locks: int
    users: int


def read_contents(database: Bolt) -> Contents:
    """Read a database of lfs-test-server.

    :raises NoSource: if it is none.
    """
    objects: dict[Oid, int] = {}
    for key, value in database.bucket(b"objects"):
        text = key.decode(errors="replace")
        if not Oid.PATTERN.fullmatch(text):
            raise NoSource("its objects are not those of lfs-test-server")
        objects[Oid(text)] = decode_size(value)
    locks = sum(len(_locks(value)) for _, value in database.bucket(b"locks"))
    users = sum(1 for _ in database.bucket(b"users"))
    return Contents(objects, locks, users)


def _locks(text: bytes) -> list[object]:
    try:
        return msgspec.json.decode(text, type=list[object])
    except (ValueError, RecursionError):
        raise NoSource("its locks are not those of lfs-test-server") from None


#: The fields of ``MetaObject`` by their numbers.
_OID, _SIZE, _EXISTING = 1, 2, 3


def decode_size(value: bytes) -> int:
    """Return the size of an object: ``MetaObject{Oid string; Size int64; Existing bool}``.

    Gob writes messages: a length, the number of a type (negative where the type is
    described), and the fields that are not zero, each behind the difference of its number
    to the one before.  0 ends them.

    :raises NoSource: if it is none.
    """
    try:
        return _decode(memoryview(value))
    except (IndexError, ValueError):
        raise NoSource("its objects are not encoded as those of lfs-test-server") from None


def _decode(data: memoryview) -> int:
    at = 0
    while at < len(data):
        length, at = _unsigned(data, at)
        message, at = data[at : at + length], at + length
        kind, here = _signed(message, 0)
        if kind >= 0:
            return _field(message, here)
    raise ValueError


def _field(message: memoryview, at: int) -> int:
    """Return the size among the fields of a message."""
    number, size = 0, 0
    while True:
        step, at = _unsigned(message, at)
        number += step
        if not step or number > _EXISTING:
            break
        if number == _OID:
            length, at = _unsigned(message, at)
            at += length
        elif number == _SIZE:
            size, at = _signed(message, at)
        else:
            _, at = _unsigned(message, at)
    if step or not 0 <= size <= MAX_SIZE:
        raise ValueError
    return size


#: Up to this, a number is its own byte; else a byte says how many follow.
_ONE_BYTE: Final = 0x7F


def _unsigned(data: memoryview, at: int) -> tuple[int, int]:
    """Read a number; returns it, and where the next one is."""
    first = data[at]
    if first <= _ONE_BYTE:
        return first, at + 1
    end = at + 1 + 256 - first
    if 256 - first > 8 or end > len(data):
        raise ValueError
    return int.from_bytes(data[at + 1 : end], "big"), end


def _signed(data: memoryview, at: int) -> tuple[int, int]:
    """Read a number with a sign, which is its lowest bit."""
    number, at = _unsigned(data, at)
    return ~(number >> 1) if number & 1 else number >> 1, at
