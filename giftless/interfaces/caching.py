"""Interfaces of stores that cache far objects, and of what counts their work."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final, Literal, Protocol

import msgspec
from zope.interface import Attribute, Interface

from giftless.interfaces.bodies import IBody
from giftless.interfaces.storage import IReadableStore, IStoredObject
from giftless.lfs.objects import ObjectKey, Oid, Repo

#: How it ended to copy an object: it was ``kept``; it was ``wrong`` (its digest); the store
#: ``failed``; there was no room (``full``) or no turn (``busy``) for it; nobody read it any
#: more (``left``); or the disk of the cache failed (``disk``).
FillOutcome = Literal["kept", "wrong", "failed", "full", "busy", "left", "disk"]


class CacheHoldings(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache holds, as far as is known without a look at all of it.

    :ivar path: its directory.
    :ivar bytes: how many there are, with those that are on their way.
    :ivar entries: how many objects that is.
    :ivar limit: the most bytes that there may be.
    """

    path: str
    bytes: int
    entries: int
    limit: int


class ICaching(Interface):
    """A part that keeps copies of objects on a local disk."""

    path: str = Attribute("The directory of the copies.")

    def holdings() -> Awaitable[CacheHoldings]:
        """Tell what it holds; quick."""

    def recount() -> Awaitable[CacheHoldings]:
        """Look at all that it holds, and tell it."""

    def drop(repo: Repo | None, oids: Sequence[Oid] = ()) -> Awaitable[int]:
        """Remove copies; whoever reads one goes on.

        :param repo: of which repository; ``None`` for all.
        :param oids: of which of its objects; of all if there are none.
        :returns: an awaitable of how many there were.
        """


class IWarming(ICaching):
    """A cache that can be filled before somebody asks."""

    def warm(key: ObjectKey) -> Awaitable[int | None]:
        """Copy an object, unless there is a copy.

        :returns: an awaitable of how many bytes were copied: 0 if there was a copy; ``None``
            if the store does not have the object.
        :raises giftless.errors.InsufficientStorage: if there is no room for it.
        :raises giftless.errors.LFSError: if it cannot be had.
        """


class ICopied(IReadableStore):
    """A store that may give copies of objects in place of those that are kept."""

    def kept() -> IReadableStore:
        """Return the same store, as it reads without copies: for whoever examines objects."""


class IGrowingFile(IStoredObject):
    """An open object whose bytes come into a file one after the other: the kernel sends them."""

    def grown(offset: int) -> Awaitable[int]:
        """Wait until the file has bytes from an offset on.

        :returns: an awaitable of the offset up to which they may be sent; ``offset`` itself
            if the file gets no more: :meth:`read` gives the rest then.
        :raises giftless.errors.LFSError: if the bytes have turned out not to be the object.
        """

    def fileno() -> int:
        """Return the file's descriptor, once it has grown."""


class IVerifiedObject(IStoredObject):
    """An open object that ends well only if its bytes are its own: those that its oid names.

    :meth:`read` compares them while all of them are read.
    """

    def read_unverified(start: int, end: int) -> IBody:
        """Read without comparing: for whoever compares all of them with the oid."""


class ICounted(IStoredObject):
    """An open object that counts how much of it was sent."""

    def sent(count: int) -> None:
        """Count bytes that a client was sent of it; called once."""


class CacheCounts(Protocol):
    """Counts what a cache does; quick, and in the reactor's thread only."""

    def cache_read(self, source: Literal["disk", "store"], count: int) -> None:
        """Count bytes: sent from the disk, or fetched from the store."""

    def cache_filled(self, outcome: FillOutcome) -> None:
        """Count how it ended to copy an object."""

    def cache_removed(self, reason: Literal["evicted", "damaged"], count: int) -> None:
        """Count copies that were removed."""


class _NoCounts:
    """Counts nothing, because nobody is told."""

    def cache_read(self, source: Literal["disk", "store"], count: int) -> None:
        """See :class:`CacheCounts`."""

    def cache_filled(self, outcome: FillOutcome) -> None:
        """See :class:`CacheCounts`."""

    def cache_removed(self, reason: Literal["evicted", "damaged"], count: int) -> None:
        """See :class:`CacheCounts`."""


#: Counts nothing.
NO_COUNTS: Final[CacheCounts] = _NoCounts()
