"""Code objects that a store has taken as they are: it has made them of what clients sent.

At any moment such an object is there whole, in one form or the other.
"""

from __future__ import annotations

from typing import Any

from giftless.base.bodies import VerifiedBody
from giftless.interfaces import IBlocking, IStoredObject, Payload
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.coded.compressing import START_BYTES
from giftless.storage.coded.sizes import Size, Sizes
from giftless.storage.coded.views import Cutter
from giftless.storage.coded.writing import Writer
from giftless.storage.wrapping import without_copies


class Recoding:
    """Looks at objects in the store inside, and stores them anew.

    :param store: the store inside.
    :param sizes: tells the sizes of objects.
    :param writer: stores objects.
    :param blocking: hashes them.
    """

    def __init__(self, store: Any, sizes: Sizes, writer: Writer, blocking: IBlocking) -> None:
        self._store = store
        self._sizes = sizes
        self._writer = writer
        self._blocking = blocking

    async def look(self, key: ObjectKey) -> tuple[Size, Size]:
        """Return how many bytes are stored of an object, and how large it is."""
        stored = await self._store.sizes([key])
        (size,) = await self._sizes.translate([key], stored)
        return stored[0], size

    async def is_coded(self, key: ObjectKey, size: int) -> bool:
        """Whether an object is there, in another form than its own.

        :param size: how large it is.
        """
        stored, found = await self.look(key)
        return found == size != stored

    async def recode(self, key: ObjectKey, size: int, payload: Payload, extras: Extras) -> None:
        """Store an object anew that is there as it is, if another form suits it better.

        :param size: how large it is.
        :param payload: what its bytes must be.
        :raises WrongBody: if they are not those; it stays what it is.
        """
        stored: IStoredObject | None = await without_copies(self._store).open(key)
        if stored is None:
            return
        try:
            if stored.size != size:
                return
            start = await Cutter(stored.read(0, min(size, START_BYTES))).take_most(START_BYTES)
            if self._writer.changes(start, size):
                body = stored.read(0, size)
                verified = VerifiedBody(body, payload.sha256, size, size, self._blocking)
                await self._writer.put(key, Payload(size, payload.sha256), verified, extras)
        finally:
            stored.close()
