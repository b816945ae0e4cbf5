"""Lists of what is in a container, page by page, and the cursors between pages."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from giftless.errors import BadRequest

#: The most entries that a store is asked for at once: what all of them allow.
PAGE: Final = 1000

#: The most that one list is read of, in bytes.  With the longest names and the
#: most metadata, an entry has less than 24 KiB.
MAX_LIST: Final = PAGE * 24 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a container, which need not be an object.

    :ivar name: its name there, not encoded.
    :ivar size: in bytes.
    :ivar modified: when it was stored, in seconds since the epoch.
    """

    name: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of a list.

    :ivar marker: what the store calls the beginning of the next page; ``None``
        after the last one.
    """

    entries: Sequence[Entry]
    marker: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a cursor holds: the list that it belongs to, and the store's marker."""

    prefix: str
    marker: str


_decoder: Final = msgspec.json.Decoder(_Cursor)


def write_cursor(prefix: str, marker: str) -> str:
    """Make a cursor.

    :param prefix: what all names in the list begin with.
    :param marker: the store's, which may be any text.
    """
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(prefix, marker))).decode()


def read_cursor(cursor: str, prefix: str) -> str:
    """Return the marker in a cursor.

    :raises BadRequest: if it is no cursor of this list.
    """
    try:
        found = _decoder.decode(base64.b64decode(cursor, b"-_", validate=True))
    except (ValueError, RecursionError):
        raise wrong_cursor() from None
    if found.prefix != prefix or not found.marker:
        raise wrong_cursor()
    return found.marker


def wrong_cursor() -> BadRequest:
    """Return what is said of a cursor that is none."""
    return BadRequest("this is no cursor of this list")
