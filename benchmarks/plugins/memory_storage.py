"""A store in memory: what a server costs without a disk.

Each worker has its own, so a server with such a store needs to have one worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import msgspec
from zope.interface import implementer

from giftless.interfaces import (
    Environment,
    IBody,
    IStorageFactory,
    IStoredObject,
    IStreamingStore,
    Payload,
)
from giftless.lfs.objects import Extras, ObjectKey


class MemoryOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There are none."""


@implementer(IStreamingStore)
class MemoryStore:
    """Keeps objects until the process ends."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, tuple[bytes, Extras]] = {}

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | None]:
        """See ``IObjectStore.sizes``."""
        found = (self._objects.get(key) for key in keys)
        return [None if entry is None else len(entry[0]) for entry in found]

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See ``IWritableStore.put``."""
        pieces = []
        while chunks := await body.read():
            pieces.append(chunks)
        self._objects[key] = b"".join(chain.from_iterable(pieces)), extras

    async def open(self, key: ObjectKey) -> MemoryObject | None:
        """See ``IReadableStore.open``."""
        found = self._objects.get(key)
        return None if found is None else MemoryObject(*found)


@implementer(IStoredObject)
class MemoryObject:
    """An object that is there."""

    def __init__(self, data: bytes, extras: Extras) -> None:
        self._data = data
        self.size = len(data)
        self.extras = extras

    def read(self, start: int, end: int) -> MemoryBody:
        """See ``IStoredObject.read``."""
        return MemoryBody(self._data[start:end])

    def close(self) -> None:
        """See ``IStoredObject.close``: nothing is held open."""


@implementer(IBody)
class MemoryBody:
    """Part of an object, all at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> Sequence[bytes]:
        """See ``IBody.read``."""
        data, self._data = self._data, b""
        return [data] if data else []


@implementer(IStorageFactory)
class MemoryFactory:
    """What giftless finds in this file."""

    name = "memory"
    Options = MemoryOptions

    def build(self, options: MemoryOptions, environment: Environment) -> MemoryStore:
        """See ``IStorageFactory.build``."""
        return MemoryStore()


memory = MemoryFactory()
