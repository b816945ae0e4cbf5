"""Objects in parts, which clients send as plaintext.

Without encryption the store inside takes the parts as they are and makes the object; that is
compressed afterwards, if it is worth it.  At any moment the object is there whole, in one
form or the other.

What is to be sealed must not lie in the store before.  So each part is sealed by itself
there, under a key that no object has; to commit, all are opened, and sealed anew as one.  How
many bytes a sealed part has follows from the plan, so the store inside takes them as parts
of its own: it knows what has arrived, and sweeps what is abandoned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from giftless.base.bodies import VerifiedBody
from giftless.errors import Conflict, ObjectCorrupt, ObjectDamaged, WrongBody
from giftless.interfaces import (
    IBlocking,
    IBody,
    IStoredObject,
    PartUpload,
    Payload,
)
from giftless.lfs.multipart import Part, PartPlan
from giftless.lfs.objects import Extras, ObjectKey, Oid
from giftless.storage.coded.coding import CodedBody, ContentCoder
from giftless.storage.coded.frames import FRAME_SIZE
from giftless.storage.coded.head import HEAD_SIZE, Head
from giftless.storage.coded.opening import open_stored
from giftless.storage.coded.recoding import Recoding
from giftless.storage.coded.sealing import ISealing
from giftless.storage.coded.sizes import Size
from giftless.storage.coded.views import Cutter, StoredView
from giftless.storage.coded.writing import Writer
from giftless.storage.staging import staged
from giftless.storage.wrapping import without_copies


class PlainParts:
    """The store inside takes the parts as they are.

    Has what :class:`~giftless.interfaces.IStreamingMultipartStore` asks for.

    :param store: the store inside.
    :param recoding: looks at objects there, and compresses them.
    """

    def __init__(self, store: Any, recoding: Recoding) -> None:
        self.want_digest: str = store.want_digest
        self.reads_back: bool = store.reads_back
        self.plan = store.plan
        self.begin = store.begin
        self.put_part = store.put_part
        self.abort = store.abort
        self._store = store
        self._recoding = recoding

    async def commit(
        self, key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.commit`."""
        size = upload.plan.size
        if await self._recoding.is_coded(key, size):
            await self._store.abort(key, upload)
            return
        try:
            await self._store.commit(key, upload, payload, extras)
        except Conflict:
            # Somebody else may have committed it, and have compressed it already.
            if not await self._recoding.is_coded(key, size):
                raise
            return
        try:
            await self._recoding.recode(key, size, payload, extras)
        except WrongBody:
            # Whoever has asked for the commit reads back what the store does not verify.
            if not self.reads_back:
                raise


class SealedParts:
    """Each part is sealed by itself, until all are sealed as one.

    Has what :class:`~giftless.interfaces.IStreamingMultipartStore` asks for.

    :param store: the store inside.
    :param recoding: looks at objects there.
    :param writer: stores objects.
    :param sealing: seals the parts.
    :param blocking: where that is done.
    """

    want_digest = "contentMD5"
    reads_back = False

    def __init__(
        self,
        store: Any,
        recoding: Recoding,
        writer: Writer,
        sealing: ISealing,
        blocking: IBlocking,
    ) -> None:
        self.plan = store.plan
        self._store = store
        self._recoding = recoding
        self._writer = writer
        self._sealing = sealing
        self._blocking = blocking

    async def begin(
        self, key: ObjectKey, plan: PartPlan, extras: Extras
    ) -> tuple[PartUpload, Sequence[Part]]:
        """See :meth:`giftless.interfaces.IMultipartStore.begin`."""
        inner, missing = await self._store.begin(staged(key), self._sealed(plan), {})
        if await self._is_staged(key, plan):
            missing = ()
        parts = [part for part in plan if part.number in {each.number for each in missing}]
        return PartUpload(inner.id, plan), parts

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IStreamingMultipartStore.put_part`."""
        oid = _oid_of_part(key, upload.plan, part)
        head, sealer = await self._sealing.seal(oid, Head(False, True, part.size))
        rest = Cutter(body)
        first = await rest.take_most(FRAME_SIZE)
        coder = ContentCoder(None, sealer)
        sealed = CodedBody(head.encode(oid), first, rest, part.size, coder, self._blocking)
        inner = self._upload(upload)
        place = inner.plan.part(part.number)
        assert place is not None, "both plans have as many parts"
        await self._store.put_part(staged(key), inner, place, sealed)

    async def commit(
        self, key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.commit`."""
        if not await self._is_here(key, upload.plan):
            try:
                if not await self._is_staged(key, upload.plan):
                    await self._store.commit(staged(key), self._upload(upload), Payload(), {})
                await self._seal_as_one(key, upload.plan, payload, extras)
            except Conflict:
                # Somebody else may have committed, and have taken the parts.
                if not await self._is_here(key, upload.plan):
                    raise
        await self.abort(key, upload)

    async def abort(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.abort`."""
        await self._store.abort(staged(key), self._upload(upload))
        await self._store.delete(staged(key))

    async def _is_here(self, key: ObjectKey, plan: PartPlan) -> bool:
        return (await self._recoding.look(key))[1] == plan.size

    async def _is_staged(self, key: ObjectKey, plan: PartPlan) -> bool:
        sizes: Sequence[Size] = await self._store.sizes([staged(key)])
        return list(sizes) == [self._sealed(plan).size]

    async def _seal_as_one(
        self, key: ObjectKey, plan: PartPlan, payload: Payload, extras: Extras
    ) -> None:
        stored: IStoredObject | None = await without_copies(self._store).open(staged(key))
        if stored is None:
            raise Conflict("the parts were thrown away; ask for a new batch")
        try:
            parts = _OpenedParts(self, key, plan, stored)
            body = VerifiedBody(parts, payload.sha256, plan.size, plan.size, self._blocking)
            await self._writer.put(key, Payload(plan.size, payload.sha256), body, extras)
        except (WrongBody, ObjectDamaged) as error:
            await self._store.delete(staged(key))
            # Which of them is wrong cannot be told.
            problem = f"the parts are not the object: {error.message}"
            raise Conflict(f"{problem}; send all again") from None
        finally:
            stored.close()

    async def open_part(
        self, key: ObjectKey, plan: PartPlan, part: Part, stored: IStoredObject
    ) -> IStoredObject:
        """Open one of the parts.

        :param stored: all of them, sealed.
        """
        place = self._sealed(plan).part(part.number)
        assert place is not None, "both plans have as many parts"
        view = StoredView(stored, place.pos, place.pos + place.size)
        oid = _oid_of_part(key, plan, part)
        opened = await open_stored(view, oid, self._sealing, self._blocking)
        if opened is view:
            raise ObjectCorrupt.because("one of its parts is not sealed")
        return opened

    def _upload(self, upload: PartUpload) -> PartUpload:
        """Return the upload of the sealed parts, as the store inside knows it."""
        return PartUpload(upload.id, self._sealed(upload.plan))

    def _sealed(self, plan: PartPlan) -> PartPlan:
        """Return how the sealed parts divide what they are together."""
        whole = plan.count - 1
        last = plan.size - whole * plan.part_size
        part_size = self._stored(plan.part_size if whole else last)
        return PartPlan(whole * part_size + self._stored(last), part_size)

    def _stored(self, size: int) -> int:
        return HEAD_SIZE + self._sealing.sealed_size(size)


@implementer(IBody)
class _OpenedParts:
    """The bytes of all parts, one after the other."""

    def __init__(
        self, parts: SealedParts, key: ObjectKey, plan: PartPlan, stored: IStoredObject
    ) -> None:
        self._parts = parts
        self._key = key
        self._plan = plan
        self._left = iter(plan)
        self._stored = stored
        self._body: IBody | None = None

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ObjectDamaged: if a part is not what was sealed.
        """
        while True:
            if self._body is not None and (chunks := await self._body.read()):
                return chunks
            part = next(self._left, None)
            if part is None:
                return []
            opened = await self._parts.open_part(self._key, self._plan, part, self._stored)
            self._body = opened.read(0, opened.size)


def _oid_of_part(key: ObjectKey, plan: PartPlan, part: Part) -> Oid:
    """Return what a part is sealed for: this place in this object, and nothing else."""
    name = f"giftless part {part.number} of {plan.count} of {plan.part_size} of {key.oid}"
    return Oid(hashlib.sha256(name.encode()).hexdigest())
