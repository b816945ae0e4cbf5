"""What has come of an upload that is sealed bit by bit, as a store has it.

Beside the upload of the sealed blocks there are two small objects, where no list shows them:

- the *head*: the data key, wrapped, and when that was written;
- the *tail*: the bytes behind the last whole block, sealed by themselves.  It is called after
  the block that it begins, so it is replaced by a longer one of the same block, and by
  nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from typing import Any, Final

from giftless.base.bodies import collect
from giftless.base.holds import taken_over
from giftless.errors import LFSError, ObjectCorrupt, ObjectDamaged
from giftless.interfaces import IClaimedUpload, IStoredObject, Payload, WallClock
from giftless.lfs.objects import NO_EXTRAS, ObjectKey, Oid
from giftless.storage.coded.head import HEAD_SIZE, Head, parse_head
from giftless.storage.coded.views import Bytes
from giftless.storage.encrypted.blocks import (
    BLOCK_SIZE,
    OVERHEAD,
    SEALED_BLOCK,
    BlockCipher,
    sealed_size,
    whole_blocks,
)
from giftless.storage.encrypted.sealing import Sealing
from giftless.storage.staging import being_sealed
from giftless.storage.wrapping import without_copies

#: When a head was written, in seconds since the epoch; behind the head.
_DATE: Final = struct.Struct("<Q")

#: Of how much of the expiry a head may be older than the last bytes.
_DATED: Final = 0.25


class Progress:
    """What has come of an upload.

    Nothing here is done twice at the same time.

    :param store: the store inside.
    :param inner: the upload of the sealed blocks there.
    :param key: of the object.
    :param size: how many bytes the object will have.
    :param sealing: makes and knows data keys.
    :param wall_clock: dates heads.
    :param expiry: after how many seconds without a new byte an upload is given up.
    :ivar blocks: where all blocks become one object.
    :ivar cipher: seals and opens; ``None`` if the upload has not begun.
    :ivar tail: the bytes behind the last whole block.
    :ivar whole: whether all blocks have become one object.
    """

    def __init__(
        self,
        store: Any,
        inner: IClaimedUpload,
        key: ObjectKey,
        size: int,
        sealing: Sealing,
        wall_clock: WallClock,
        expiry: int,
    ) -> None:
        self.blocks = being_sealed(key, size)
        self.cipher: BlockCipher | None = None
        self.tail = b""
        self.whole = False
        self._store: Any = store
        # What a cache has would be of an older upload.
        self._kept: Any = without_copies(store)
        self._inner = inner
        self._size = size
        self._sealing = sealing
        self._wall_clock = wall_clock
        self._expiry = expiry
        # It stands for this upload: no head is good for another one.
        self._oid = Oid(hashlib.sha256(b"giftless head " + self.blocks.path.encode()).hexdigest())
        self._head: Head | None = None
        self._dated = 0

    @property
    def number(self) -> int:
        """The number of the block that comes next."""
        return whole_blocks(self._inner.offset or 0, self._size)

    @property
    def offset(self) -> int | None:
        """How many bytes have come; ``None`` if the upload has not begun."""
        if self.cipher is None:
            return None
        if self.whole:
            return self._size
        return min(self.number * BLOCK_SIZE, self._size) + len(self.tail)

    @property
    def changed(self) -> float:
        """When something came last, in seconds since the epoch; 0 for nothing."""
        if self.cipher is None:
            return 0.0
        return float(self._dated) if self.whole else self._inner.changed

    async def find(self) -> None:
        """Find out what has come.

        :raises ServiceUnavailable: if the store does not say, or the keys cannot be asked.
        """
        data = await self._read(self._named(self._oid), HEAD_SIZE + _DATE.size)
        head = None if len(data) != HEAD_SIZE + _DATE.size else self._parse(data)
        cipher = None if head is None else await self._sealing.blocks(self._oid, head)
        if cipher is None:
            return
        if self._inner.offset is None:
            (size,) = await self._kept.sizes([self.blocks])
            if isinstance(size, LFSError) and not isinstance(size, ObjectDamaged):
                raise size
            if size != sealed_size(self._size):
                return
            self.whole = True
        else:
            self.tail = await self._find_tail(cipher)
        self._head, self.cipher = head, cipher
        (self._dated,) = _DATE.unpack(data[HEAD_SIZE:])

    async def begin(self) -> None:
        """Let the upload begin, if it has not.

        :raises LFSError: if the store does not take that.
        """
        if self.cipher is not None:
            return
        # What has come without a head that is good for it cannot be used.
        await self._inner.discard()
        await self._inner.begin(NO_EXTRAS)
        head, cipher = await self._sealing.new_blocks(self._oid)
        await self._write_head(head)
        self._head, self.cipher = head, cipher

    async def refresh(self) -> None:
        """See that the head can be read for as long as the upload goes on.

        Its key may be taken away after ``giftless keys rotate``, which does not know of it;
        and it is removed when it is old.

        :raises LFSError: if the store does not take a new one.
        """
        assert self._head is not None, "the upload has begun"
        if self.is_old or not await self._sealing.is_current(self._head):
            self._head = await self._sealing.rewrap(self._oid, self._head)
            await self._write_head(self._head)

    @property
    def is_old(self) -> bool:
        """Whether the head was written long ago."""
        return abs(self._wall_clock() - self._dated) > self._expiry * _DATED

    async def keep_tail(self, tail: bytes, before: int) -> None:
        """Keep the bytes behind the last whole block.

        :param tail: those bytes.
        :param before: which block came next before they came.
        :raises Conflict: if somebody else has kept more already.
        :raises LFSError: if the store does not take them.
        """
        cipher, number, old = self.require_cipher(), self.number, self.tail
        self.forget_tail(before)
        if tail != self.tail:
            await self._write_tail(cipher, number, tail)
            self.tail = tail
        if old and number != before:
            # What stays harms nobody, and is removed when it is old.
            with contextlib.suppress(LFSError):
                await self._store.delete(self._named(cipher.name_of_tail(before)))

    def forget_tail(self, before: int) -> None:
        """Note that no more has come than the store inside says; see :meth:`keep_tail`."""
        if self.number != before:
            self.tail = b""

    async def join(self) -> None:
        """Let the store make one object of all blocks; nobody sees it.

        :raises LFSError: if it does not do that.
        """
        if not self.whole:
            # Nobody knows their digest; each is authenticated when it is read.
            payload = Payload(sealed_size(self._size))
            await self._inner.commit(payload, NO_EXTRAS, True)
            self.whole = True

    async def open(self) -> IStoredObject:
        """Open the object that all blocks have become.

        :raises ObjectDamaged: if it is gone, or is not as long as all blocks are.
        """
        stored: IStoredObject | None = await self._kept.open(self.blocks)
        if stored is None or stored.size != sealed_size(self._size):
            if stored is not None:
                stored.close()
            raise ObjectCorrupt.because("what had come of it is gone")
        return stored

    async def clear(self) -> None:
        """Throw away all that has come.

        :raises Conflict: if somebody else has taken the upload over, and nothing was done.
        :raises LFSError: if the store does not do that; what is left harms nobody.
        """
        cipher, tail, whole = self.cipher, self.tail, self.whole
        number = self.number
        # The blocks first, if they are no object yet: who has lost the upload is told so there.
        await self._inner.discard()
        self.cipher, self.tail, self.whole, self._head = None, b"", False, None
        if cipher is not None:
            await self._store.delete(self._named(self._oid))
        if cipher is not None and tail:
            await self._store.delete(self._named(cipher.name_of_tail(number)))
        if whole:
            await self._store.delete(self.blocks)

    def require_cipher(self) -> BlockCipher:
        """Return what seals and opens an upload that has begun."""
        assert self.cipher is not None, "the upload has begun"
        return self.cipher

    async def _find_tail(self, cipher: BlockCipher) -> bytes:
        number = self.number
        limit = min(BLOCK_SIZE, self._size - number * BLOCK_SIZE)
        sealed = await self._read(self._named(cipher.name_of_tail(number)), SEALED_BLOCK)
        if not OVERHEAD < len(sealed) < OVERHEAD + limit:
            return b""
        try:
            return cipher.open_tail(number, sealed)
        except ObjectDamaged:
            return b""

    async def _write_tail(self, cipher: BlockCipher, number: int, tail: bytes) -> None:
        key = self._named(cipher.name_of_tail(number))
        sealed = cipher.seal_tail(number, tail)
        # A process that was stopped, or another daemon, must not undo what was acknowledged.
        (size,) = await self._kept.sizes([key])
        if isinstance(size, int) and size > len(sealed):
            raise taken_over()
        await self._store.put(key, Payload(len(sealed)), Bytes(sealed), NO_EXTRAS)

    async def _write_head(self, head: Head) -> None:
        dated = int(self._wall_clock())
        data = head.encode(self._oid) + _DATE.pack(dated)
        await self._store.put(self._named(self._oid), Payload(len(data)), Bytes(data), NO_EXTRAS)
        self._dated = dated

    async def _read(self, key: ObjectKey, limit: int) -> bytes:
        """Read a small object; nothing if it is absent, or is none of ours."""
        try:
            stored: IStoredObject | None = await self._kept.open(key)
        except ObjectDamaged:
            return b""
        if stored is None:
            return b""
        try:
            return (
                await collect(stored.read(0, stored.size), limit) if stored.size <= limit else b""
            )
        finally:
            stored.close()

    def _named(self, name: Oid) -> ObjectKey:
        return ObjectKey(self.blocks.repo, name)

    def _parse(self, data: bytes) -> Head | None:
        try:
            return parse_head(data[:HEAD_SIZE], self._oid)
        except ObjectDamaged:
            return None
