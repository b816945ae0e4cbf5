"""Header fields, of a request or of a response."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

#: Names that are not written as their words begin.
_SPELLINGS: Final = {
    name.lower(): name for name in (b"Content-MD5", b"DNT", b"ETag", b"TE", b"WWW-Authenticate")
}


class Headers:
    """The values of each header, in order; the case of names does not matter.

    The methods are those of :class:`twisted.web.http_headers.Headers` that resources
    use.  Names and values may be text, and are bytes here.

    :param fields: the values of each name.
    :ivar fields: the same, by lower-case name.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Mapping[Any, Sequence[str | bytes]] = {}) -> None:
        self.fields: dict[bytes, list[bytes]] = {}
        for name, values in fields.items():
            self.setRawHeaders(name, values)

    def add(self, name: bytes, value: bytes) -> None:
        """Add what is known to be a name and a value."""
        key = name.lower()
        values = self.fields.get(key)
        if values is None:
            self.fields[key] = [value]
        else:
            values.append(value)

    def set(self, fields: Mapping[bytes, bytes]) -> None:
        """Set what are known to be names, in lower case, and values."""
        for key, value in fields.items():
            self.fields[key] = [value]

    def getRawHeaders(self, name: str | bytes, default: Any = None) -> Any:
        """Return the values of a header, or ``default`` if there is none."""
        return self.fields.get(_key(name), default)

    def hasHeader(self, name: str | bytes) -> bool:
        """Whether there is a header of that name."""
        return _key(name) in self.fields

    def setRawHeaders(self, name: str | bytes, values: Sequence[str | bytes]) -> None:
        """Replace the values of a header.

        :raises ValueError: if no header can have that name.
        """
        key = _key(name)
        spell(key)
        self.fields[key] = [_one_line(value) for value in values]

    def addRawHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Add a value.

        :raises ValueError: if no header can have that name.
        """
        key = _key(name)
        spell(key)
        self.add(key, _one_line(value))

    def removeHeader(self, name: str | bytes) -> None:
        """Remove a header, if it is there."""
        self.fields.pop(_key(name), None)

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Return each name, as it is usually spelt, with its values."""
        return ((spell(key), values) for key, values in self.fields.items())


@lru_cache(256)
def spell(key: bytes) -> bytes:
    """Return a lower-case name as it is usually spelt.

    :raises ValueError: if it is no name of a header.
    """
    if not _TOKEN.fullmatch(key):
        raise ValueError(f"{key!r} is no name of a header")
    return _SPELLINGS.get(key) or b"-".join(word.capitalize() for word in key.split(b"-"))


def _key(name: str | bytes) -> bytes:
    return name.lower() if isinstance(name, bytes) else name.lower().encode("latin-1")


def _one_line(value: str | bytes) -> bytes:
    """Return a value in which no line ends: behind it another header would begin."""
    data = value.encode() if isinstance(value, str) else value
    return b" ".join(data.splitlines()) if b"\n" in data or b"\r" in data else data
