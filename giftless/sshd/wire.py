"""Read and write the fields of SSH's messages (RFC 4251 section 5)."""

from __future__ import annotations

from typing import Final

from giftless.sshd.errors import BrokenProtocol

#: The largest number that fits into 32 bits.
MAX_UINT32: Final = 2**32 - 1


class Fields:
    """The fields of a message, read one after the other.

    :param data: the message, behind its number.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Read one byte.

        :raises BrokenProtocol: if the message ends before, as the other methods do.
        """
        return self._take(1)[0]

    def flag(self) -> bool:
        """Read a boolean."""
        return self.byte() != 0

    def uint32(self) -> int:
        """Read a whole number of 32 bits."""
        return int.from_bytes(self._take(4), "big")

    def string(self) -> bytes:
        """Read a text or other bytes, whose length comes first."""
        return self._take(self.uint32())

    def rest(self) -> bytes:
        """Read all that follows."""
        return self._take(len(self._data) - self._at)

    def end(self) -> None:
        """Check that nothing follows.

        :raises BrokenProtocol: if something does.
        """
        if self._at != len(self._data):
            raise BrokenProtocol("a message is longer than its fields")

    def _take(self, length: int) -> bytes:
        begin, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise BrokenProtocol("a message ends within a field")
        return self._data[begin : self._at]


def uint32(number: int) -> bytes:
    """Write a whole number of 32 bits."""
    return number.to_bytes(4, "big")


def string(data: bytes) -> bytes:
    """Write a text or other bytes, with the length in front."""
    return uint32(len(data)) + data
