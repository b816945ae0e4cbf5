"""A store around another one, which gets each object compressed, sealed, or both.

What is stored as plaintext is served as it is, so objects of all kinds may lie side by side:
what was stored before the wrapper was there, and what is not worth compressing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from zope.interface import alsoProvides, implementer

from giftless.errors import LFSError
from giftless.interfaces import (
    IBlocking,
    IBody,
    ICaching,
    ICapacity,
    ICodedStore,
    ICompressingStore,
    ICopied,
    ICopying,
    IDated,
    IDeleting,
    IFusedCapacity,
    IInspector,
    IListing,
    IMarking,
    IMultipartStore,
    IProbing,
    IResumableStore,
    ISharing,
    IStoredObject,
    IStreamingMultipartStore,
    ISurveying,
    ListedObject,
    ObjectFacts,
    ObjectPage,
    Oddity,
    Payload,
    Room,
    SurveyPage,
)
from giftless.lfs.objects import Extras, ObjectKey, Repo
from giftless.storage.coded.compressing import START_BYTES
from giftless.storage.coded.glimpses import Glimpses
from giftless.storage.coded.head import Head
from giftless.storage.coded.opening import PackedObject, open_stored
from giftless.storage.coded.parts import PlainParts, SealedParts
from giftless.storage.coded.recoding import Recoding
from giftless.storage.coded.resumable import PlainUploads
from giftless.storage.coded.sealing import ISealing
from giftless.storage.coded.sizes import Size, Sizes
from giftless.storage.coded.steady import open_steady
from giftless.storage.coded.views import read_exactly
from giftless.storage.coded.writing import Writer
from giftless.storage.wrapping import lend, pass_on, without_copies


@implementer(ICodedStore)
class CodedStore:
    """A store whose objects another one keeps in another form.

    :param store: keeps them: an :class:`~giftless.interfaces.IWritableStore` whose bytes pass
        through the daemon.
    :param writer: makes the form, and stores it.
    :param sizes: tells sizes.
    :param sealing: opens what is sealed; ``None`` if nothing can.
    :param blocking: where bytes are decoded.
    :param sealed_only: whether what is not sealed is not given away.
    """

    tried_bytes = START_BYTES

    def __init__(
        self,
        store: Any,
        writer: Writer,
        sizes: Sizes,
        sealing: ISealing | None,
        blocking: IBlocking,
        sealed_only: bool = False,
    ) -> None:
        self.inner = store
        self._writer = writer
        self._sizes = sizes
        self._sealing = sealing
        self._blocking = blocking
        self._sealed_only = sealed_only
        # A copy has the same oid, so it is opened as its source is.
        pass_on(self, store, IMarking, IDeleting, ICopying, ISharing, ICapacity, IProbing, IDated)
        for interface in (IFusedCapacity, IInspector, IListing, ISurveying):
            if interface.providedBy(store):
                alsoProvides(self, interface)
        if ICopied.providedBy(store):
            alsoProvides(self, ICopied)
        if writer.compression is not None:
            alsoProvides(self, ICompressingStore)
        recoding = Recoding(store, sizes, writer, blocking)
        if IStreamingMultipartStore.providedBy(store) and (
            sealing is None or IDeleting.providedBy(store)
        ):
            parts = (
                PlainParts(store, recoding)
                if sealing is None
                else SealedParts(store, recoding, writer, sealing, blocking)
            )
            lend(self, parts, IMultipartStore, IStreamingMultipartStore)
        if IResumableStore.providedBy(store) and sealing is None:
            lend(self, PlainUploads(store, recoding), IResumableStore)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[Size]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`."""
        return await self._sizes.translate(keys, await self.inner.sizes(keys))

    async def sizes_and_room(
        self, keys: Sequence[ObjectKey], repo: Repo
    ) -> tuple[Sequence[Size], Room]:
        """See :meth:`giftless.interfaces.IFusedCapacity.sizes_and_room`."""
        stored, room = await self.inner.sizes_and_room(keys, repo)
        return await self._sizes.translate(keys, stored), room

    async def inspect(self, key: ObjectKey) -> ObjectFacts | None:
        """See :meth:`giftless.interfaces.IInspector.inspect`.

        The digest of coded bytes is not the object's.
        """
        facts: ObjectFacts | None = await self.inner.inspect(key)
        if facts is None:
            return None
        size, is_plain = await self._sizes.look(key, facts.size)
        return facts if is_plain else replace(facts, size=size, sha256=None)

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        """See :meth:`giftless.interfaces.IReadableStore.open`."""
        return await open_steady(lambda: self._open(key))

    async def _open(self, key: ObjectKey) -> IStoredObject | None:
        stored: IStoredObject | None = await self.inner.open(key)
        if stored is None:
            return None
        return await open_stored(stored, key.oid, self._sealing, self._blocking, self._sealed_only)

    def kept(self) -> CodedStore:
        """See :meth:`giftless.interfaces.ICopied.kept`."""
        return CodedStore(
            without_copies(self.inner),
            self._writer,
            self._sizes,
            self._sealing,
            self._blocking,
            self._sealed_only,
        )

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IWritableStore.put`."""
        await self._writer.put(key, payload, body, extras)

    async def list(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> ObjectPage:
        """See :meth:`giftless.interfaces.IListing.list`.

        What has no size, because it is damaged, has that of what is stored.
        """
        page: ObjectPage = await self.inner.list(repo, cursor, limit, trash)
        return ObjectPage(await self._translate(page.objects), page.next_cursor)

    async def survey(
        self, repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> SurveyPage:
        """See :meth:`giftless.interfaces.ISurveying.survey`; see :meth:`list`."""
        page: SurveyPage = await self.inner.survey(repo, cursor, limit, trash)
        return SurveyPage(await self._translate(page.objects), page.oddities, page.next_cursor)

    async def leftovers(self, before: float) -> Sequence[Oddity]:
        """See :meth:`giftless.interfaces.ISurveying.leftovers`."""
        found: Sequence[Oddity] = await self.inner.leftovers(before)
        return found

    async def compressions(self, keys: Sequence[ObjectKey]) -> Sequence[str | LFSError | None]:
        """See :meth:`giftless.interfaces.ICompressingStore.compressions`."""
        return await Glimpses(without_copies(self.inner)).heads(keys, _compression)

    async def compression_pays(self, key: ObjectKey) -> bool:
        """See :meth:`giftless.interfaces.ICompressingStore.compression_pays`."""
        stored = await without_copies(self).open(key)
        if stored is None:
            return False
        try:
            start = await read_exactly(stored, 0, min(stored.size, START_BYTES))
            return self._writer.compresses(start, stored.size)
        finally:
            stored.close()

    async def drop_copy(self, key: ObjectKey) -> None:
        """See :meth:`giftless.interfaces.ICodedStore.drop_copy`."""
        if ICaching.providedBy(self.inner):
            await self.inner.drop(key.repo, [key.oid])
        elif ICodedStore.providedBy(self.inner):
            await self.inner.drop_copy(key)

    async def _translate(self, objects: Sequence[ListedObject]) -> Sequence[ListedObject]:
        keys = [item.key for item in objects]
        sizes = await self._sizes.translate(keys, [item.size for item in objects])
        return [
            msgspec.structs.replace(item, size=size)
            if isinstance(size, int) and size != item.size
            else item
            for item, size in zip(objects, sizes, strict=True)
        ]


def _compression(head: Head | None) -> str:
    return PackedObject.encoding if head is not None and head.compressed else ""
