"""Bodies that come from memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from giftless.interfaces import IBody


def altered(data: bytes, at: int = -1) -> bytes:
    """Change one byte, whatever it was.

    :param at: its index.
    """
    changed = bytearray(data)
    changed[at] ^= 0xFF
    return bytes(changed)


@implementer(IBody)
class ListBody:
    """A body whose chunks are known beforehand, one for each ``read``.

    :param chunks: the bytes, in order.
    :param failure: what ``read`` raises instead of reporting the end, if set.
    :ivar reads: how often ``read`` was called.
    """

    def __init__(self, chunks: Iterable[bytes], failure: Exception | None = None) -> None:
        self._chunks = list(chunks)
        self._failure = failure
        self.reads = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        self.reads += 1
        if self._chunks:
            return [self._chunks.pop(0)]
        if self._failure is not None:
            raise self._failure
        return []


@implementer(IBody)
class HeldBody:
    """A body whose every ``read`` waits until the test provides something."""

    def __init__(self) -> None:
        self._reader: Deferred[Sequence[bytes]] | None = None

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for bytes now."""
        return self._reader is not None

    def read(self) -> Deferred[Sequence[bytes]]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        assert self._reader is None, "a body has one reader, which reads once at a time"
        self._reader = Deferred()
        return self._reader

    def provide(self, *chunks: bytes) -> None:
        """Give the reader chunks; none for the end."""
        self._take().callback(list(chunks))

    def fail(self, error: Exception) -> None:
        """Give the reader an error."""
        self._take().errback(error)

    def _take(self) -> Deferred[Sequence[bytes]]:
        reader, self._reader = self._reader, None
        assert reader is not None, "nobody reads"
        return reader


async def read_all(body: IBody) -> bytes:
    """Read a body to its end."""
    parts: list[bytes] = []
    while chunks := await body.read():
        parts.extend(chunks)
    return b"".join(parts)
