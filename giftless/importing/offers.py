"""Objects that can be imported, and what keeps one of them from being read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from giftless.lfs.objects import ObjectKey

#: The most objects of one page.
PAGE: Final = 1000


class Offer(msgspec.Struct, frozen=True, gc=False):
    """An object that can be imported.

    :ivar key: where it goes.
    :ivar size: in bytes; ``None`` if that is not known.
    :ivar place: where it is: a path.
    :ivar filename: a name that it has in a working tree; empty if unknown.
    """

    key: ObjectKey
    size: int | None
    place: str
    filename: str = ""


class Unreadable(Exception):
    """An object cannot be read where it is; the text says why, in one line."""


class NotThere(Unreadable):
    """An object is not where it should be."""


class NoSource(Exception):
    """What is to be imported cannot be understood; the text says why, in one line."""


def in_pages(offers: Iterable[Offer]) -> Iterator[list[Offer]]:
    """Divide offers into pages of one repository each, in their order."""
    page: list[Offer] = []
    for offer in offers:
        if page and (len(page) == PAGE or offer.key.repo != page[0].key.repo):
            yield page
            page = []
        page.append(offer)
    if page:
        yield page
