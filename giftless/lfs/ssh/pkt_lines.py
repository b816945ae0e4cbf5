"""pkt-lines: how both sides of ``git-lfs-transfer`` divide what they send into packets.

A packet is its length, in four hexadecimal digits that count themselves, and a payload.
The lengths 0 and 1 have no payload: a *flush* ends a message, and a *delim* divides it.
A line of text ends with a line feed.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from enum import Enum
from typing import Final

from giftless.errors import BadRequest

#: The most bytes that a payload has which is sent: as many as git-lfs sends.
MAX_PAYLOAD: Final = 65516

#: The largest length that is taken (Git's own LARGE_PACKET_MAX).
MAX_LENGTH: Final = 65520

#: The most bytes that a packet with a line of text has: longer ones nobody needs.
MAX_TEXT: Final = 16384

#: How many bytes a length has.
HEADER_BYTES: Final = 4

FLUSH: Final = b"0000"
DELIM: Final = b"0001"


class Mark(Enum):
    """A packet without a payload.

    :cvar FLUSH: ends a message.
    :cvar DELIM: divides one.
    """

    FLUSH = 0
    DELIM = 1


#: The marks by their lengths.
_MARKS: Final = (Mark.FLUSH, Mark.DELIM)


class BrokenStream(BadRequest):
    """What arrives is no pkt-line: where the next one begins cannot be known."""

    cause = "broken-stream"


def header(length: int) -> bytes:
    """Return what stands in front of a payload.

    :param length: of the payload, in bytes, at most :data:`MAX_PAYLOAD`.
    """
    return b"%04x" % (length + HEADER_BYTES)


def text_packet(line: str) -> bytes:
    """Return a line of text as a packet.

    A line feed inside becomes a space, and what does not fit is left out.
    """
    payload = line.replace("\n", " ").encode(errors="replace")
    if len(payload) >= MAX_PAYLOAD:
        payload = payload[: MAX_PAYLOAD - 1].decode(errors="ignore").encode()
    return b"%04x%b\n" % (len(payload) + HEADER_BYTES + 1, payload)


def text_packets(lines: Iterable[str]) -> bytes:
    """Return lines of text as packets; see :func:`text_packet`."""
    return b"".join(map(text_packet, lines))


def text_of(payload: bytes) -> str:
    """Return the line of text that a payload is.

    :raises BadRequest: if it is not UTF-8.
    """
    try:
        return payload.removesuffix(b"\n").decode()
    except UnicodeDecodeError:
        raise BadRequest("a line of the request is not UTF-8") from None


class PacketDecoder:
    """Cuts what arrives into packets, however it is divided on its way."""

    def __init__(self) -> None:
        #: What has come and was not taken, from its offset on.
        self._data: bytes | bytearray = b""
        self._offset = 0
        #: How many bytes of a payload are still to come that is taken in pieces.
        self._left = 0

    @property
    def waiting(self) -> int:
        """How many bytes have come and were not taken."""
        return len(self._data) - self._offset

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        if not self.waiting:
            self._data, self._offset = data, 0
            return
        if not isinstance(self._data, bytearray):
            # Bytes may come one by one: this grows in place.
            self._data = bytearray(self._data)
        del self._data[: self._offset]
        self._offset = 0
        self._data += data

    def packet(self) -> bytes | Mark | None:
        """Take the next packet, whole.

        :returns: its payload or what it marks; ``None`` if it has not come yet.
        :raises BrokenStream: if what comes is no packet, or too long for a line of text.
        """
        length = self._length()
        if length is None:
            return None
        start = self._offset + HEADER_BYTES
        if length < HEADER_BYTES:
            self._offset = start
            return _MARKS[length]
        if length > MAX_TEXT:
            raise BrokenStream(f"a line of text has at most {MAX_TEXT} bytes, not {length}")
        end = self._offset + length
        if end > len(self._data):
            return None
        self._offset = end
        return bytes(self._data[start:end])

    def payload(self) -> tuple[bytes, Mark | None]:
        """Take all that has come of payloads up to the next mark: no packet need be whole.

        :returns: their bytes, and the mark behind them; ``None`` if that has not come.
        :raises BrokenStream: if what comes is no packet.
        """
        found: list[memoryview] = []
        mark = None
        with memoryview(self._data) as data:
            while mark is None:
                if not self._left:
                    length = self._length()
                    if length is None:
                        break
                    self._offset += HEADER_BYTES
                    if length < HEADER_BYTES:
                        mark = _MARKS[length]
                        break
                    self._left = length - HEADER_BYTES
                count = min(self._left, self.waiting)
                if not count and self._left:
                    break
                found.append(data[self._offset : self._offset + count])
                self._offset += count
                self._left -= count
            payload = b"".join(found)
            found.clear()
        return payload, mark

    def _length(self) -> int | None:
        """Look at the next length, that of a mark included; ``None`` if it is not here."""
        start = self._offset
        digits = self._data[start : start + HEADER_BYTES]
        if len(digits) < HEADER_BYTES:
            return None
        try:
            length = int.from_bytes(binascii.unhexlify(digits), "big")
        except binascii.Error:
            raise BrokenStream(
                "this is no pkt-line: its length is not four hexadecimal digits"
            ) from None
        if length > MAX_LENGTH or len(_MARKS) <= length < HEADER_BYTES:
            raise BrokenStream(f"a pkt-line has 4 to {MAX_LENGTH} bytes, not {length}")
        return length
