"""Uploads in parts to a container, whichever way the parts go.

The store itself knows which uploads there are, and which parts they have; nothing
is kept beside it.  Stores do not hash what is made of parts: to tell whether it is
the object, it must be read back (``verify_checksum``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.base.concurrency import settle
from giftless.errors import Conflict
from giftless.interfaces import (
    IBody,
    IExternalMultipartStore,
    IMultipartStore,
    IStreamingMultipartStore,
    ObjectFacts,
    PartUpload,
    Payload,
)
from giftless.lfs.multipart import Part, PartPlan, parts_are_missing
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote import streaming
from giftless.storage.remote.base_store import RemoteStore
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container, Parts
from giftless.storage.remote.failures import unavailable
from giftless.storage.remote.identity import StoreIdentity

#: How many running uploads of one object are looked at: the newest.
MAX_UPLOADS: Final = 8


@implementer(IMultipartStore)
class MultipartStore(RemoteStore):
    """A store that takes parts.

    :param container: where the objects are.
    :param part_size: how large parts should be, in bytes.
    :param reads_back: whether an object that is made of parts is to be read back.
    :param identity: recognises the container; ``None`` to take it for the right one.
    """

    want_digest = "contentMD5"

    def __init__(
        self,
        container: Container,
        part_size: int,
        reads_back: bool,
        identity: StoreIdentity | None = None,
    ) -> None:
        super().__init__(container, identity)
        self._part_size = part_size
        self.reads_back = reads_back

    def plan(self, size: int) -> PartPlan:
        """See :meth:`giftless.interfaces.IMultipartStore.plan`."""
        return self.container.part_limits.plan(size, self._part_size)

    async def begin(
        self, key: ObjectKey, plan: PartPlan, extras: Extras
    ) -> tuple[PartUpload, Sequence[Part]]:
        """See :meth:`giftless.interfaces.IMultipartStore.begin`.

        An upload that has no part yet is not gone on with: it saves nothing,
        and whoever has begun it may be about to commit it.
        """
        try:
            running = await self.container.find_uploads(key)
            uploads = [PartUpload(name, plan) for name in running[:MAX_UPLOADS]]
            found = await settle(self._missing(key, upload) for upload in uploads)
            best = min(zip(found, uploads, strict=True), key=_bytes_of, default=None)
            if best is not None and len(best[0]) < plan.count:
                return best[1], best[0]
            return PartUpload(await self.container.create_upload(key, extras), plan), list(plan)
        except StoreError as error:
            raise unavailable(error, f"an upload of {key.oid} could not begin") from error

    async def _missing(self, key: ObjectKey, upload: PartUpload) -> list[Part]:
        return upload.plan.missing(_sizes(await self.container.find_parts(key, upload) or {}))

    async def commit(
        self, key: ObjectKey, upload: PartUpload, payload: Payload, extras: Extras
    ) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.commit`.

        :raises ServiceUnavailable: if the store does not do it.
        """
        try:
            present = await self.container.facts(key, False)
            if _is_good(present, upload):
                await self.container.abort_upload(key, upload)
            else:
                await self._complete(key, upload, extras, present is not None)
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be made of its parts") from error

    async def _complete(
        self, key: ObjectKey, upload: PartUpload, extras: Extras, replace: bool
    ) -> None:
        problem = Conflict("this upload is not there any more; ask for a new batch")
        parts = await self.container.find_parts(key, upload)
        if parts is not None and (missing := upload.plan.missing(_sizes(parts))):
            problem = parts_are_missing(missing)
        elif parts is not None:
            wanted = {part.number: parts[part.number] for part in upload.plan}
            made = await self.container.complete_upload(key, upload, wanted, extras, replace)
            if made is not None:
                return
        # Somebody else may have completed it, or the same object by another upload.
        if not _is_good(await self.container.facts(key, False), upload):
            raise problem
        await self.container.abort_upload(key, upload)

    async def abort(self, key: ObjectKey, upload: PartUpload) -> None:
        """See :meth:`giftless.interfaces.IMultipartStore.abort`.

        :raises ServiceUnavailable: if the store does not do it.
        """
        try:
            await self.container.abort_upload(key, upload)
        except StoreError as error:
            raise unavailable(error, f"an upload of {key.oid} could not be aborted") from error


@implementer(IExternalMultipartStore)
class ExternalMultipartStore(MultipartStore):
    """A store that clients send parts to, with signed URLs."""

    async def part_actions(
        self, key: ObjectKey, upload: PartUpload, parts: Sequence[Part], lifetime: int
    ) -> Sequence[Action]:
        """See :meth:`giftless.interfaces.IExternalMultipartStore.part_actions`."""
        try:
            return await self.container.sign_parts(key, upload, parts, lifetime)
        except StoreError as error:
            raise unavailable(error, "parts could not be signed") from error


@implementer(IStreamingMultipartStore)
class StreamingMultipartStore(MultipartStore):
    """A store whose parts pass through the daemon."""

    async def put_part(self, key: ObjectKey, upload: PartUpload, part: Part, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IStreamingMultipartStore.put_part`.

        :raises ServiceUnavailable: if the store does not take it.
        """
        try:
            request = await self.container.part_request(key, upload, part)
            answer = await streaming.upload(self.container.client, request, part.size, body)
            if 200 <= answer.status < 300:
                return
            if await self.container.find_parts(key, upload) is None:
                raise Conflict("this upload is not there any more; ask for a new batch")
            raise self.container.problem(answer)
        except StoreError as error:
            raise unavailable(error, f"a part of {key.oid} could not be stored") from error


def _is_good(facts: ObjectFacts | None, upload: PartUpload) -> bool:
    """Whether the object that is to be made is there already."""
    return facts is not None and facts.size == upload.plan.size and facts.damage is None


def _sizes(parts: Parts) -> dict[int, int]:
    return {number: part.size for number, part in parts.items()}


def _bytes_of(candidate: tuple[list[Part], PartUpload]) -> int:
    """Return how many bytes an upload lacks."""
    return sum(part.size for part in candidate[0])
