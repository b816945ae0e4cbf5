"""Sealed content, read as if it were not sealed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zope.interface import implementer

from giftless.interfaces import IBlocking, IBody, IStoredObject
from giftless.storage.coded.sealing import IOpener, Segment
from giftless.storage.coded.views import Cutter


@implementer(IStoredObject)
class OpenedContent:
    """Sealed content, read as if it were not sealed.  No byte is read before it is authenticated.

    :param sealed: the content as it is stored, behind the head.
    :param size: how many bytes it has when opened.
    :param opener: opens its segments.
    :param blocking: where they are opened.
    """

    def __init__(
        self, sealed: IStoredObject, size: int, opener: IOpener, blocking: IBlocking
    ) -> None:
        self._sealed = sealed
        self.size = size
        self.extras = sealed.extras
        self._opener = opener
        self._blocking = blocking

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`: only the segments of the part.

        Of an empty content its only segment is authenticated as well.
        """
        if start == end and self.size:
            return _OpenedBody(iter(()), None, start, end, self._opener, self._blocking)
        (first,) = self._opener.segments(start, min(start + 1, end))
        (last,) = self._opener.segments(max(end - 1, start), end)
        body = Cutter(self._sealed.read(first.start, last.end))
        segments = self._opener.segments(start, end)
        return _OpenedBody(segments, body, start, end, self._opener, self._blocking)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        self._sealed.close()


@implementer(IBody)
class _OpenedBody:
    """Part of an opened content: a segment after the other."""

    def __init__(
        self,
        segments: Iterator[Segment],
        stored: Cutter | None,
        start: int,
        end: int,
        opener: IOpener,
        blocking: IBlocking,
    ) -> None:
        self._segments = segments
        self._stored = stored
        self._start = start
        self._end = end
        self._opener = opener
        self._blocking = blocking

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ObjectDamaged: if a segment is not authentic.
        """
        for segment in self._segments:
            assert self._stored is not None, "whoever has segments has bytes"
            stored = await self._stored.take(segment.end - segment.start)
            opened = await self._blocking.run(self._opener.open, segment, stored)
            part = opened[max(0, self._start - segment.offset) : self._end - segment.offset]
            if part:
                return [part]
        return []
