"""Wrap the data keys of stored objects anew: a head is replaced, and the content stays.

Where heads can be replaced in place, some bytes are written.  Elsewhere the whole object is
copied onto itself behind a new head: it passes through the server, sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from zope.interface import implementer

from giftless.errors import Conflict, LFSError, ObjectDamaged, StorageUnavailable
from giftless.interfaces import (
    IBody,
    IHeading,
    IKeyWrapper,
    IStoredObject,
    Payload,
)
from giftless.lfs.objects import ObjectKey
from giftless.storage.coded.glimpses import Glimpses
from giftless.storage.coded.head import HEAD_SIZE, Head, parse_head
from giftless.storage.coded.views import read_exactly
from giftless.storage.encrypted.sealing import Sealing
from giftless.storage.wrapping import without_copies

#: How often a head is read that others change just then.
_ATTEMPTS: Final = 4


class Rewrapping:
    """Wraps data keys anew.

    :param store: keeps the sealed objects.
    :param sealing: knows heads.
    :param keys: wraps data keys.
    :ivar in_place: whether heads are replaced in place.
    """

    def __init__(self, store: Any, sealing: Sealing, keys: IKeyWrapper) -> None:
        self._store: Any = without_copies(store)
        self._looks = Glimpses(self._store)
        self._sealing = sealing
        self._keys = keys
        self.in_place = IHeading.providedBy(self._store)

    async def seals(self, keys: Sequence[ObjectKey]) -> Sequence[str | LFSError | None]:
        """See :meth:`giftless.interfaces.IEncryptedStore.seals`."""
        return await self._looks.heads(keys, _key_id)

    async def rewrap(self, key: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.IEncryptedStore.rewrap`."""
        problem: LFSError = StorageUnavailable("the object changes again and again", 5)
        for _ in range(_ATTEMPTS):
            (glimpse,) = await self._looks.of_any([key])
            if isinstance(glimpse, LFSError):
                raise glimpse
            head = None if glimpse is None else parse_head(glimpse.start, key.oid)
            if glimpse is None or head is None or not head.sealed:
                return False
            if head.key_id == await self._keys.primary():
                return False
            try:
                after = await self._sealing.rewrap(key.oid, head)
            except ObjectDamaged as error:
                # It may have been changed while it was read.
                problem = error
                continue
            if await self._replace(key, glimpse.start[:HEAD_SIZE], after.encode(key.oid)):
                return True
        raise problem

    async def _replace(self, key: ObjectKey, before: bytes, after: bytes) -> bool:
        """Replace a head; returns ``False`` if another one is there now."""
        if self.in_place:
            replaced: bool = await self._store.replace_head(key, before, after)
            return replaced
        stored: IStoredObject | None = await self._store.open(key)
        if stored is None:
            return False
        try:
            if await read_exactly(stored, 0, min(HEAD_SIZE, stored.size)) != before:
                return False
            body = _Headed(after, stored.read(HEAD_SIZE, stored.size), self._store, key)
            await self._store.put(key, Payload(stored.size), body, stored.extras)
            return True
        except Conflict:
            return False
        finally:
            stored.close()


@implementer(IBody)
class _Headed:
    """An object behind another head, while it is stored: what is deleted does not come back.

    :param head: the head.
    :param content: gives what comes behind it.
    """

    def __init__(self, head: bytes, content: IBody, store: Any, key: ObjectKey) -> None:
        self._head = head
        self._content = content
        self._store = store
        self._key = key

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises Conflict: if the object was deleted meanwhile.
        """
        if self._head:
            head, self._head = self._head, b""
            return [head]
        chunks = await self._content.read()
        if not chunks and await self._store.sizes([self._key]) == [None]:
            raise Conflict("the object was deleted meanwhile")
        return chunks


def _key_id(head: Head | None) -> str:
    return head.key_id if head is not None and head.sealed else ""
