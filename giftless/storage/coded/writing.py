"""Store objects in the form that suits them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from giftless.base.bodies import collect
from giftless.base.spool import Spool
from giftless.interfaces import IBlocking, IBody, IUnsizedStore, Payload
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.coded.coding import CodedBody, ContentCoder
from giftless.storage.coded.compressing import START_BYTES, Compression
from giftless.storage.coded.frames import FRAME_SIZE
from giftless.storage.coded.head import HEAD_SIZE, Head, resembles_head
from giftless.storage.coded.sealing import ISealing
from giftless.storage.coded.sizes import Sizes
from giftless.storage.coded.views import Bytes, Cutter


@dataclass(frozen=True, slots=True)
class Writer:
    """Stores objects.

    :ivar store: what keeps them.
    :ivar sizes: is told their sizes.
    :ivar compression: compresses what is worth it; ``None`` if nothing is.
    :ivar sealing: seals each; ``None`` if none is.
    :ivar blocking: where they are coded.
    :ivar directory: where what a store takes only if it knows its length waits on disk.
    """

    store: Any
    sizes: Sizes
    compression: Compression | None
    sealing: ISealing | None
    blocking: IBlocking
    directory: str

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """Store an object; see :meth:`giftless.interfaces.IWritableStore.put`."""
        cutter = Cutter(body)
        wanted = FRAME_SIZE if payload.length is None else START_BYTES
        first = await cutter.peek(wanted)
        size = len(first) if len(first) < wanted else payload.length
        compresses = self.compresses(first, size)
        if not self._is_coded(first, compresses):
            await self.store.put(key, payload, cutter.rest(), extras)
            if size is not None:
                self.sizes.remember(key.oid, size, size)
            return
        first = await cutter.take_most(FRAME_SIZE)
        whole = len(first) < FRAME_SIZE
        coded, head = await self._code(key, first, cutter, size, compresses)
        length = self._length(head)
        if whole and length is None:
            data = await collect(coded, 4 * FRAME_SIZE)
            await self.store.put(key, Payload(len(data)), Bytes(data), extras)
        elif length is not None or IUnsizedStore.providedBy(self.store):
            await self.store.put(key, Payload(length), coded, extras)
        else:
            async with Spool(self.directory, self.blocking) as spool:
                length = await spool.fill(coded)
                await self.store.put(key, Payload(length), spool, extras)
        self.sizes.remember(key.oid, coded.written, coded.received)

    def changes(self, first: bytes, size: int) -> bool:
        """Tell whether an object is stored in another form than its own.

        :param first: how it begins: :data:`START_BYTES`, or all if it has less.
        :param size: its size in bytes.
        """
        return self._is_coded(first, self.compresses(first, size))

    def compresses(self, first: bytes, size: int | None) -> bool:
        """Tell whether an object is stored compressed.

        :param first: how it begins, as for :meth:`changes`.
        :param size: its size in bytes; ``None`` if that is not known.
        """
        compression = self.compression
        if compression is None or size is None or not compression.suits(size):
            return False
        # The way to a thread would take longer.
        return compression.pays(first, size)

    def _is_coded(self, first: bytes, compresses: bool) -> bool:
        return compresses or self.sealing is not None or resembles_head(first)

    async def _code(
        self, key: ObjectKey, first: bytes, rest: Cutter, size: int | None, compresses: bool
    ) -> tuple[CodedBody, Head]:
        """Return the stored form, and its head."""
        head = Head(compresses, self.sealing is not None, size)
        sealer = None
        if self.sealing is not None:
            head, sealer = await self.sealing.seal(key.oid, head)
        packer = self.compression.packer if compresses and self.compression is not None else None
        coder = ContentCoder(packer, sealer)
        body = CodedBody(head.encode(key.oid), first, rest, size, coder, self.blocking)
        return body, head

    def _length(self, head: Head) -> int | None:
        """Return how many bytes the stored form has; ``None`` if nobody knows before."""
        if head.compressed or head.size is None:
            return None
        content = head.size if self.sealing is None else self.sealing.sealed_size(head.size)
        return HEAD_SIZE + content
