"""Make the stored form of an object while its bytes pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from zope.interface import implementer

from giftless.errors import WrongBody
from giftless.interfaces import IBlocking, IBody
from giftless.storage.coded.frames import FRAME_SIZE, TableWriter
from giftless.storage.coded.sealing import ISealer
from giftless.storage.coded.views import Cutter

#: How much is coded where the reactor runs, in bytes at most.
INLINE_BYTES: Final = 64 * 1024


class IPacker(Protocol):
    """Compresses.

    :ivar is_quick: whether few bytes may be compressed where the reactor runs.
    """

    is_quick: bool

    def pack(self, data: bytes) -> bytes:
        """Return a frame that holds ``data``, at most a frame's size.  Blocks."""


class ContentCoder:
    """Makes the content of a coded object.  Blocks.

    :param packer: compresses it; ``None`` if it is not compressed.
    :param sealer: seals it; ``None`` if it is not sealed.
    :ivar inline_bytes: so many may be coded where the reactor runs: the way to a thread and
        back takes longer.
    """

    def __init__(self, packer: IPacker | None, sealer: ISealer | None) -> None:
        self._packer = packer
        self._sealer = sealer
        self._table = TableWriter()
        self.inline_bytes = INLINE_BYTES if packer is None or packer.is_quick else 0

    def encode(self, data: bytes) -> list[bytes]:
        """Code what comes next: as many bytes as a frame has, but for the last ones.

        :returns: the content's next bytes; may be empty.
        """
        if self._packer is not None:
            frame = self._packer.pack(data)
            self._table.add(len(frame), len(data))
            data = frame
        return [data] if self._sealer is None else self._sealer.update([data])

    def finish(self) -> list[bytes]:
        """Return the content's last bytes."""
        last = [] if self._packer is None else [self._table.encode()]
        if self._sealer is None:
            return last
        return [*(self._sealer.update(last) if last else ()), *self._sealer.finish()]


@implementer(IBody)
class CodedBody:
    """The stored form of an object, as a body.

    What is wrong with the object's bytes is told by the body inside, from ``read``, before
    this body ends: so whoever stores it keeps nothing of it.

    :param head: the head, as it is stored.
    :param first: the object's first bytes: a frame, or all if there are fewer.
    :param rest: gives those behind them.
    :param size: how many the object has; ``None`` if that is not known.
    :param coder: makes the content.
    :param blocking: where that is done.
    :ivar received: how many bytes of the object have been read.
    :ivar written: how many bytes have been given to whoever stores them.
    """

    def __init__(
        self,
        head: bytes,
        first: bytes,
        rest: Cutter,
        size: int | None,
        coder: ContentCoder,
        blocking: IBlocking,
    ) -> None:
        self._head = head
        self._next: bytes | None = first
        self._rest = rest
        self._size = size
        self._coder = coder
        self._blocking = blocking
        self.received = 0
        self.written = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises WrongBody: if there are more or fewer bytes than were said.
        """
        chunks = [self._head] if self._head else []
        self._head = b""
        while not chunks and self._next is not None:
            data = self._next
            chunks = await self._encode(data) if data else []
            self.received += len(data)
            self._next = await self._rest.take_most(FRAME_SIZE) if data else None
            if not self._next:
                self._check()
                self._next = None
                chunks += await self._finish()
        self.written += sum(map(len, chunks))
        return chunks

    async def _encode(self, data: bytes) -> list[bytes]:
        if len(data) <= self._coder.inline_bytes:
            return self._coder.encode(data)
        return await self._blocking.run(self._coder.encode, data)

    async def _finish(self) -> list[bytes]:
        if self.received <= self._coder.inline_bytes:
            return self._coder.finish()
        return await self._blocking.run(self._coder.finish)

    def _check(self) -> None:
        if self._size is not None and self._size != self.received:
            raise WrongBody(
                f"the body has {self.received} bytes instead of the {self._size} announced"
                " for it; nothing was stored"
            )
