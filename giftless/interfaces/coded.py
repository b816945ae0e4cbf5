"""Interfaces of stores that keep objects compressed or sealed, and of these objects."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from zope.interface import Attribute

from giftless.errors import LFSError
from giftless.interfaces.storage import (
    IReadableStore,
    IStoredObject,
    IStreamingStore,
    IWritableStore,
)
from giftless.lfs.objects import ObjectKey


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The size and the beginning of a stored object.

    :ivar size: in bytes.
    :ivar start: its first bytes.
    """

    size: int
    start: bytes


class IPeeking(IReadableStore):
    """A store that shows how many objects begin, faster than by opening each."""

    def peek(
        keys: Sequence[ObjectKey], count: int
    ) -> Awaitable[Sequence[Glimpse | LFSError | None]]:
        """Look at the beginnings of objects, none of which is empty.

        :param count: how many bytes are wanted of each, at most some hundreds; fewer come
            only if the object has no more.
        :returns: an awaitable of one entry per key, in order: ``None`` if the object is
            certainly absent, or an error (not raised) if that cannot be told, or the object
            is marked as damaged.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """


class IUnsizedStore(IWritableStore):
    """A store whose ``put`` takes bytes however many they are, if nobody knows before."""


class IEncodedObject(IStoredObject):
    """An open object that can be sent as it is stored, to whoever undoes the encoding."""

    encoding: str = Attribute("What was done to its bytes, as ``Content-Encoding`` calls it.")
    encoded: IStoredObject = Attribute("Has the encoded bytes; it is closed with the object.")
    encoded_start: int = Attribute("The offset of the first of them.")
    encoded_end: int = Attribute("One past the offset of the last one.")


class ICodedStore(IStreamingStore):
    """A store that keeps objects in another form than their own, inside another store."""

    def drop_copy(key: ObjectKey) -> Awaitable[None]:
        """Remove what a cache inside, if there is one, keeps of an object in an older form."""


class ICompressingStore(ICodedStore):
    """A store that compresses what becomes smaller by that."""

    tried_bytes: int = Attribute("How many bytes :meth:`compression_pays` reads at most.")

    def compressions(keys: Sequence[ObjectKey]) -> Awaitable[Sequence[str | LFSError | None]]:
        """Tell what has compressed objects.

        :returns: an awaitable of one entry per key, in order: ``zstd``; empty if the object
            is not compressed; ``None`` if it is certainly absent; or an error (not raised).
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """

    def compression_pays(key: ObjectKey) -> Awaitable[bool]:
        """Tell whether an object would be compressed if it were stored now.

        :returns: an awaitable of that; ``False`` if it is absent.
        :raises giftless.errors.LFSError: if the object cannot be read.
        """
