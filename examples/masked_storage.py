"""A storage wrapper in one file: another store keeps the objects, masked.

Put this file into a ``twisted/plugins/`` folder, or into a directory that
``plugin_path`` names, and configure::

    storage:
      type: masked
      store: {type: s3, bucket: my-bucket, mode: proxy}

Whoever looks into the bucket (a virus scanner, an indexer, a preview service)
finds no file of a known kind.  It is a mask and no encryption: whoever has this
file can take it off.

What the inner store gets is a header, then the object's bytes, each combined
with a byte of a mask (XOR).  So the bytes have another length and another digest
than the object, which :class:`~giftless.interfaces.Payload` says; and since a
mask byte depends only on its offset, any range can be read.

The wrapper provides ``IStreamingStore``, and what the inner store provides of what is
needed to list, delete, copy and mark objects.  It provides nothing else that this can do:
signed URLs would lead past the mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from zope.interface import alsoProvides, implementer

from giftless.errors import ConfigError, LFSError
from giftless.interfaces import (
    Environment,
    IBlocking,
    IBody,
    ICopying,
    IDeleting,
    IListing,
    IMarking,
    ISharing,
    IStorageFactory,
    IStoredObject,
    IStreamingStore,
    ObjectPage,
    Payload,
    Section,
)
from giftless.lfs.objects import Extras, ObjectKey, Repo
from giftless.storage.wrapping import pass_on

#: What every masked object begins with.
HEADER = b"giftless-masked\0"

#: The mask's bytes: they repeat after this many.
MASK = hashlib.shake_128(b"giftless mask").digest(64 * 1024)


#: Fewer bytes are masked where they are: the way to a thread takes longer.
INLINE_BYTES = 64 * 1024


class MaskedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that may stand beside ``type: masked``.

    :ivar store: where masked objects are kept: ``type`` and that plugin's options.
    """

    store: Section


def mask(data: bytes, offset: int) -> bytes:
    """Put the mask on bytes, or take it off.

    :param offset: the place of the first byte in its object.
    """
    start = offset % len(MASK)
    pattern = (MASK[start:] + MASK * (len(data) // len(MASK) + 1))[: len(data)]
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")
    return mixed.to_bytes(len(data), "big")


async def mask_chunks(chunks: Sequence[bytes], offset: int, blocking: IBlocking) -> bytes:
    """Mask what a body has given at once; see :func:`mask`.

    :param blocking: masks what is large.
    """
    data = b"".join(chunks)
    if len(data) < INLINE_BYTES:
        return mask(data, offset)
    return await blocking.run(mask, data, offset)


@implementer(IStreamingStore)
class MaskedStore:
    """A store whose objects another store keeps, masked.

    :param store: keeps them.
    :param blocking: masks large chunks away from the reactor.
    """

    def __init__(self, store: IStreamingStore, blocking: IBlocking) -> None:
        self._store = store
        self._blocking = blocking
        # Equal objects are equal with the mask on, so they may share their bytes, too.
        pass_on(self, store, IMarking, IDeleting, ICopying, ISharing)
        if IListing.providedBy(store):
            alsoProvides(self, IListing)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See ``IObjectStore.sizes``: without the header."""
        found = await self._store.sizes(keys)
        # What is shorter than a header gets a size that no object has: it is damaged.
        return [size - len(HEADER) if isinstance(size, int) else size for size in found]

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> ObjectPage:
        """See ``IListing.list``: without the header; what has none is no object."""
        store: Any = self._store
        page: ObjectPage = await store.list(repo, cursor, limit, trash)
        objects = [
            msgspec.structs.replace(entry, size=entry.size - len(HEADER))
            for entry in page.objects
            if entry.size >= len(HEADER)
        ]
        return ObjectPage(objects, page.next_cursor)

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See ``IWritableStore.put``.

        The digest of the masked bytes is not known before they are sent.
        """
        length = None if payload.length is None else len(HEADER) + payload.length
        await self._store.put(key, Payload(length), MaskingBody(body, self._blocking), extras)

    async def open(self, key: ObjectKey) -> MaskedObject | None:
        """See ``IReadableStore.open``."""
        stored: IStoredObject | None = await self._store.open(key)
        if stored is not None and stored.size < len(HEADER):
            # It was damaged, or never masked: the object is not there.
            stored.close()
            return None
        return None if stored is None else MaskedObject(stored, self._blocking)


@implementer(IBody)
class MaskingBody:
    """A body with the header in front and the mask on.

    What is wrong with the bytes is told by the body inside, from ``read``, before
    this body ends: so the inner store keeps nothing of it.
    """

    def __init__(self, body: IBody, blocking: IBlocking) -> None:
        self._body = body
        self._blocking = blocking
        self._offset = -len(HEADER)

    async def read(self) -> Sequence[bytes]:
        """See ``IBody.read``."""
        if self._offset < 0:
            self._offset = 0
            return [HEADER]
        chunks = await self._body.read()
        if not chunks:
            return []
        masked = await mask_chunks(chunks, self._offset, self._blocking)
        self._offset += len(masked)
        # Chunks may all be empty, but an empty sequence is the end of a body.
        return [masked]


@implementer(IStoredObject)
class MaskedObject:
    """An open object: what the inner store has opened, without the mask."""

    def __init__(self, stored: IStoredObject, blocking: IBlocking) -> None:
        self._stored = stored
        self._blocking = blocking
        self.size = stored.size - len(HEADER)
        self.extras = stored.extras

    def read(self, start: int, end: int) -> UnmaskingBody:
        """See ``IStoredObject.read``."""
        inner = self._stored.read(len(HEADER) + start, len(HEADER) + end)
        return UnmaskingBody(inner, start, self._blocking)

    def close(self) -> None:
        """See ``IStoredObject.close``."""
        self._stored.close()


@implementer(IBody)
class UnmaskingBody:
    """Part of an object, with the mask taken off.

    :param offset: the place of the first byte in the object.
    """

    def __init__(self, body: IBody, offset: int, blocking: IBlocking) -> None:
        self._body = body
        self._offset = offset
        self._blocking = blocking

    async def read(self) -> Sequence[bytes]:
        """See ``IBody.read``."""
        chunks = await self._body.read()
        if not chunks:
            return []
        plain = await mask_chunks(chunks, self._offset, self._blocking)
        self._offset += len(plain)
        return [plain]


@implementer(IStorageFactory)
class MaskedFactory:
    """What giftless finds in this file: builds the wrapper and the store inside it."""

    name = "masked"
    Options = MaskedOptions

    def build(self, options: MaskedOptions, environment: Environment) -> MaskedStore:
        """See ``IStorageFactory.build``.

        :raises ConfigError: if bytes do not pass through the daemon on their way
            to the inner store: they could not be masked.
        """
        store: Any = environment.parts.build(IStorageFactory, options.store, "store")
        if not IStreamingStore.providedBy(store):
            raise ConfigError("store", "clients would talk to this store directly; use mode: proxy")
        return MaskedStore(store, environment.blocking)


masked = MaskedFactory()
