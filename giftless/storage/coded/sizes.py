"""The sizes of objects whose stored bytes are others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from giftless.errors import LFSError, NotFound, ObjectDamaged
from giftless.interfaces import Glimpse, IReadableStore
from giftless.lfs.objects import ObjectKey, Oid
from giftless.storage.coded.glimpses import Glimpses
from giftless.storage.coded.head import HEAD_SIZE, parse_head, resembles_head
from giftless.storage.coded.opening import check_size, require_sealing
from giftless.storage.coded.sealing import ISealing
from giftless.storage.wrapping import without_copies

#: What is told of an object: its size in bytes, ``None`` if it is absent, or an error.
Size = int | LFSError | None

#: How many sizes are remembered: some 250 bytes each.
_REMEMBERED: Final = 30_000


class Sizes:
    """Tells the sizes that clients know, given those that are stored.

    An object's oid fixes its bytes, so its size is remembered for as long as what is stored
    of it has the same size.

    :param store: where objects are stored.
    :param sealing: tells the sizes of what is sealed; ``None`` if nothing can.
    """

    def __init__(self, store: IReadableStore, sealing: ISealing | None) -> None:
        # A copy would only be made to be looked at.
        self._glimpses = Glimpses(without_copies(store))
        self._sealing = sealing
        #: By the oid's bytes and the stored size; the oldest come first.
        self._known: dict[tuple[bytes, int], int] = {}

    async def translate(self, keys: Sequence[ObjectKey], stored: Sequence[Size]) -> list[Size]:
        """Return what is to be told of objects.

        :param stored: what the store tells of each.
        :raises ServiceUnavailable: if nothing can be told now.
        """
        told = list(stored)
        asked: list[int] = []
        for place, size in enumerate(stored):
            # What is shorter than a head is plaintext, or cut off.
            if isinstance(size, int) and size >= HEAD_SIZE:
                known = self._known.get((bytes.fromhex(keys[place].oid), size))
                if known is None:
                    asked.append(place)
                else:
                    told[place] = known
        if asked:
            await self._ask(keys, asked, told)
            # A head may have been replaced while it was read.
            wrong = [place for place in asked if isinstance(told[place], ObjectDamaged)]
            if wrong:
                await self._ask(keys, wrong, told)
        return told

    async def _ask(
        self, keys: Sequence[ObjectKey], places: Sequence[int], told: list[Size]
    ) -> None:
        """Look at some objects, and note what is to be told of them."""
        glimpses = await self._glimpses.of([keys[place] for place in places])
        for place, glimpse in zip(places, glimpses, strict=True):
            told[place] = self._judge(keys[place].oid, glimpse)

    async def look(self, key: ObjectKey, stored: int) -> tuple[int, bool]:
        """Look at one object.

        :param stored: how many bytes the store has of it.
        :returns: its size, and whether it is stored as plaintext.
        :raises LFSError: if that cannot be told.
        """
        if stored < HEAD_SIZE:
            return stored, True
        (glimpse,) = await self._glimpses.of([key])
        if glimpse is None:
            raise NotFound("the object has just been deleted")
        if isinstance(glimpse, LFSError):
            raise glimpse
        return self._size(key.oid, glimpse), not resembles_head(glimpse.start)

    def remember(self, oid: Oid, stored: int, size: int) -> None:
        """Note how large an object is, of which so many bytes are stored."""
        self._known[bytes.fromhex(oid), stored] = size
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def _judge(self, oid: Oid, glimpse: Glimpse | LFSError | None) -> Size:
        if not isinstance(glimpse, Glimpse):
            return glimpse
        try:
            size = self._size(oid, glimpse)
        except LFSError as error:
            return error
        self.remember(oid, glimpse.size, size)
        return size

    def _size(self, oid: Oid, glimpse: Glimpse) -> int:
        head = parse_head(glimpse.start, oid)
        if head is None:
            return glimpse.size
        content = glimpse.size - HEAD_SIZE
        if head.sealed:
            content = require_sealing(self._sealing).content_size(content)
        if head.compressed:
            assert head.size is not None, "parse_head() sees to it"
            return head.size
        check_size(head, content)
        return content
