"""The data types of SSH (RFC 4251 section 5): read from bytes of strangers, and written."""

from __future__ import annotations


class Reader:
    """Reads one value after the other.

    :param data: the bytes.
    :ivar position: how many have been read.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to read."""
        return self.position == len(self._data)

    def byte(self) -> int:
        """Read one byte.

        :raises ValueError: if the bytes end before, as the other methods do.
        """
        return self._take(1)[0]

    def flag(self) -> bool:
        """Read a boolean."""
        return self.byte() != 0

    def string(self) -> bytes:
        """Read a string, whose length comes first."""
        return self._take(self.uint32())

    def text(self) -> str:
        """Read a string of UTF-8."""
        return self.string().decode()

    def uint32(self) -> int:
        """Read a number of 32 bits."""
        return int.from_bytes(self._take(4), "big")

    def uint64(self) -> int:
        """Read a number of 64 bits."""
        return int.from_bytes(self._take(8), "big")

    def mpint(self) -> int:
        """Read a number of any length that is greater than 0 and written as it should be."""
        digits = self.string()
        if not digits or digits[0] >= 0x80 or (digits[0] == 0 and digits[1:2] < b"\x80"):
            raise ValueError("a number is 0, negative or not written as it should be")
        return int.from_bytes(digits, "big")

    def strings(self) -> list[bytes]:
        """Read a string that holds nothing but strings."""
        inner = Reader(self.string())
        found = []
        while not inner.ended:
            found.append(inner.string())
        return found

    def rest(self) -> bytes:
        """Read all that follows."""
        return self._take(len(self._data) - self.position)

    def _take(self, length: int) -> bytes:
        taken = self._data[self.position : self.position + length]
        if len(taken) < length:
            raise ValueError("it ends too early")
        self.position += length
        return taken


def uint32(number: int) -> bytes:
    """Write a whole number of 32 bits."""
    return number.to_bytes(4, "big")


def string(data: bytes) -> bytes:
    """Write a string, with its length in front."""
    return uint32(len(data)) + data
