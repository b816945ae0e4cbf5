"""Bytes of an upload that is sealed bit by bit, on their way into a store and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from zope.interface import implementer

from giftless.interfaces import IBlocking, IBody, IStoredObject
from giftless.storage.coded.coding import INLINE_BYTES
from giftless.storage.coded.views import Cutter
from giftless.storage.encrypted.blocks import (
    BLOCK_SIZE,
    SEALED_BLOCK,
    BlockCipher,
    count_blocks,
)


@implementer(IBody)
class SealingBody:
    """What comes of an object, as sealed blocks: whole ones, and the object's last one.

    If the body inside breaks off, this one ends: its reader keeps what it has.

    :param body: what comes.
    :param cipher: seals it.
    :param number: which block comes next.
    :param tail: the bytes of it that have come before.
    :param skipped: how many sealed bytes of it are stored already.
    :param size: how many bytes the object has.
    :param blocking: where it is sealed.
    :param refresh: is awaited now and then, while bytes come.
    :ivar tail: what has come behind the last whole block.
    :ivar failure: what broke the body off; ``None`` if it ended well.
    """

    def __init__(
        self,
        body: IBody,
        cipher: BlockCipher,
        number: int,
        tail: bytes,
        skipped: int,
        size: int,
        blocking: IBlocking,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self.tail = tail
        self.failure: Exception | None = None
        self._body = body
        self._cipher = cipher
        self._number = number
        self._skipped = skipped
        self._size = size
        self._blocking = blocking
        self._refresh = refresh

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        while self.failure is None:
            try:
                chunks = await self._body.read()
            except Exception as error:
                self.failure = error
                break
            if not chunks:
                break
            await self._refresh()
            data = b"".join([self.tail, *chunks])
            self.tail = data[self._ready(len(data)) :]
            ready = data[: len(data) - len(self.tail)]
            if ready:
                return await self._seal(ready)
        return []

    def _ready(self, waiting: int) -> int:
        """Return how many of the bytes that wait are those of whole blocks."""
        if self._number * BLOCK_SIZE + waiting >= self._size:
            return waiting
        return waiting - waiting % BLOCK_SIZE

    async def _seal(self, data: bytes) -> Sequence[bytes]:
        seal, number = self._cipher.seal, self._number
        if len(data) <= INLINE_BYTES:
            sealed = seal(number, data)
        else:
            sealed = await self._blocking.run(seal, number, data)
        self._number += len(sealed)
        sealed[0] = sealed[0][self._skipped :]
        self._skipped = 0
        return sealed


@implementer(IBody)
class OpeningBody:
    """All bytes of an object, of its sealed blocks.

    :param stored: the blocks; whoever has opened them closes them.
    :param cipher: opens them.
    :param size: how many bytes the object has.
    :param blocking: where they are opened.
    """

    def __init__(
        self, stored: IStoredObject, cipher: BlockCipher, size: int, blocking: IBlocking
    ) -> None:
        self._sealed = Cutter(stored.read(0, stored.size))
        self._cipher = cipher
        self._count = count_blocks(size)
        self._number = 0
        self._blocking = blocking

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ObjectDamaged: if a block is not what was sealed.
        """
        if self._number == self._count:
            # Whoever sends them is asked for the end: then its connection serves others.
            await self._sealed.take_most(1)
            return []
        number, self._number = self._number, self._number + 1
        sealed = await self._sealed.take_most(SEALED_BLOCK)
        return [await self._blocking.run(self._cipher.open, number, sealed)]
