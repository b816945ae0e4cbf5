"""Decode bodies of unknown length, which come in chunks (RFC 9112 section 7.1).

httptools does not tell where such a body ends, so llhttp cannot decode it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from giftless.errors import BadRequest
from giftless.web.framing import FIELD_LINE, malformed

#: The length of a chunk, and what is to be ignored behind it.
_CHUNK: Final = re.compile(rb"0*([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")

#: The most bytes of a line in front of a chunk.
_LINE_BYTES: Final = 1023

#: The most bytes of all lines behind the last chunk.
_TRAILER_BYTES: Final = 65536


class ChunkDecoder:
    """Decodes one body.

    :param deliver: is called with the body's bytes as they come.
    :ivar complete: whether the last byte has come.
    """

    def __init__(self, deliver: Callable[[bytes], object]) -> None:
        self._deliver = deliver
        self.complete = False
        #: How many bytes of the chunk are still to come.
        self._left = 0
        #: Whether a line break must come next, which ends a chunk.
        self._closing = False
        #: How many bytes of trailers have come; ``None`` before the last chunk.
        self._trailers: int | None = None

    def feed(self, data: bytes, start: int) -> int:
        """Take bytes of the body.

        Its trailers are not used, but must be well-formed.

        :param data: what has come; a line is left there until it is complete.
        :param start: where the rest of the body begins.
        :returns: where to go on: behind the body, if it is complete.
        :raises BadRequest: if it is malformed.
        """
        size = len(data)
        while start < size and not self.complete:
            if self._left:
                end = min(size, start + self._left)
                self._left -= end - start
                self._closing = not self._left
                self._deliver(data[start:end])
                start = end
            elif self._closing:
                if size - start < 2:
                    return start
                if data[start : start + 2] != b"\r\n":
                    raise malformed()
                self._closing = False
                start += 2
            else:
                end = data.find(b"\r\n", start)
                self._check_line((size if end < 0 else end) - start, end >= 0)
                if end < 0:
                    return start
                self._take_line(data, start, end)
                start = end + 2
        return start

    def _check_line(self, length: int, complete: bool) -> None:
        """Raise an error if a line has become too long."""
        if self._trailers is None:
            too_long = length > _LINE_BYTES + (not complete)
        else:
            too_long = self._trailers + length + 2 * bool(length) > _TRAILER_BYTES
        if too_long:
            raise malformed()

    def _take_line(self, data: bytes, start: int, end: int) -> None:
        if self._trailers is None:
            chunk = _CHUNK.fullmatch(data, start, end)
            if chunk is None:
                raise malformed()
            self._left = int(chunk[1], 16)
            if not self._left:
                self._trailers = 0
        elif start == end:
            self.complete = True
        elif FIELD_LINE.fullmatch(data, start, end):
            self._trailers += end - start + 2
        else:
            raise BadRequest("a trailer of the body is malformed")
