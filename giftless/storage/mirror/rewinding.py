"""Bodies that can be sent again, as long as little of them was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.interfaces import IBody

#: How much of a body is kept, in bytes; more only while nothing but its beginning was read.
KEPT: Final = 64 * 1024


@implementer(IBody)
class RewindableBody:
    """A body that can be read from its beginning again, for a while.

    All of it is kept if it has :data:`KEPT` bytes or less.  Of a longer one, what has been
    read first is kept until more is wanted.

    :param body: the bytes; read once.
    """

    def __init__(self, body: IBody) -> None:
        self._body = body
        self._kept: list[Sequence[bytes]] | None = []
        self._length = 0
        self._position = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        if self._kept is not None and self._position < len(self._kept):
            self._position += 1
            return self._kept[self._position - 1]
        # A read that fails, or is given up, leaves nothing to begin with.
        kept, self._kept = self._kept, None
        chunks = await self._body.read()
        self._length += sum(map(len, chunks))
        if kept is not None and (not kept or self._length <= KEPT):
            self._kept = [*kept, chunks]
            self._position = len(self._kept)
        return chunks

    def rewind(self) -> bool:
        """Begin anew, if that can be done.

        :returns: whether the next read gives the first bytes.
        """
        self._position = 0
        return self._kept is not None
