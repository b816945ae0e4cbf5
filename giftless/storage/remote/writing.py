"""Objects that the daemon itself writes to a container, in one request or in parts."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from zope.interface import implementer

from giftless.base.bodies import collect, take_most
from giftless.base.http_client import Answer
from giftless.errors import LengthRequired, PayloadTooLarge, WrongBody
from giftless.interfaces import IAdopting, IBody, PartUpload, Payload
from giftless.lfs.multipart import Part
from giftless.lfs.objects import Extras, ObjectKey
from giftless.storage.remote import streaming
from giftless.storage.remote.client import Request, StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.failures import unavailable
from giftless.storage.remote.multipart import MultipartStore
from giftless.storage.remote.versions import tag_of

#: Objects up to so many bytes are sent by the daemon in one piece: that can be
#: tried again, and their length need not be known beforehand.
SMALL: Final = 1024 * 1024


@implementer(IAdopting)
class WritableStore(MultipartStore):
    """A store that the daemon can write to."""

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IWritableStore.put`.

        :raises PayloadTooLarge: if it does not go into the store, even in parts.
        :raises LengthRequired: if its length is not known, and more than a little.
        :raises ServiceUnavailable: if the store does not take it.
        """
        size = payload.length
        try:
            if size is not None and size > self.container.max_put:
                await self._put_in_parts(key, size, body, extras)
            else:
                await put_at_once(self.container, key, payload, body, extras)
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be stored") from error

    async def _put_in_parts(self, key: ObjectKey, size: int, body: IBody, extras: Extras) -> None:
        """Send an object in parts, one after the other, and make it of them.

        The upload stands apart: nobody has verified the parts that others send.

        :raises WrongBody: if the body is longer than was said.
        :raises StoreError: if the store does not take it.
        """
        plan = self.plan(size)
        upload = PartUpload(await self.container.create_upload(key, extras, True), plan)
        done = False
        try:
            pieces = _Pieces(body)
            for part in plan:
                await send_part(self.container, key, upload, part, _Piece(pieces, part.size))
            if await body.read():
                raise WrongBody(f"the body has more than the {size} bytes announced for it")
            present = await self.container.facts(key, False)
            await self._complete(key, upload, extras, present is not None)
            done = True
        finally:
            if not done:
                with contextlib.suppress(StoreError):
                    await self.container.abort_upload(key, upload)


async def put_at_once(
    container: Container, key: ObjectKey, payload: Payload, body: IBody, extras: Extras
) -> None:
    """Store an object by one request.

    :param payload: its length is at most :attr:`Container.max_put`.
    :raises LengthRequired: if its length is not known, and more than a little.
    :raises StoreError: if the store does not take it.
    """
    size = payload.length
    if size is None or size <= SMALL:
        answer = await _put_small(container, key, payload, body, extras)
    else:
        request = await container.put_request(key, payload, extras)
        answer = await streaming.upload(container.client, request, size, body)
    if not 200 <= answer.status < 300:
        raise container.problem(answer)


async def _put_small(
    container: Container, key: ObjectKey, payload: Payload, body: IBody, extras: Extras
) -> Answer:
    try:
        data = await collect(body, SMALL)
    except PayloadTooLarge:
        if payload.length is not None:
            raise
        raise LengthRequired("send the object with a Content-Length") from None

    whole = replace(payload, length=len(data))

    async def prepare() -> Request:
        request = await container.put_request(key, whole, extras)
        return replace(request, body=data)

    return await container.client.ask(prepare)


async def send_part(
    container: Container, key: ObjectKey, upload: PartUpload, part: Part, body: IBody
) -> str:
    """Send a part of an object.

    :returns: its tag, as :class:`~giftless.storage.remote.container.FoundPart` has it.
    :raises StoreError: if the store does not take it.
    """
    request = await container.part_request(key, upload, part)
    answer = await streaming.upload(container.client, request, part.size, body)
    if not 200 <= answer.status < 300:
        raise container.problem(answer)
    return tag_of(answer)


class _Pieces:
    """Cuts a body into pieces, wherever its chunks end."""

    def __init__(self, body: IBody) -> None:
        self._body = body
        self._chunks: deque[bytes] = deque()

    async def take(self, most: int) -> Sequence[bytes]:
        """Return what comes next, at most so many bytes; nothing at the end."""
        if not self._chunks:
            self._chunks.extend(await self._body.read())
        return take_most(self._chunks, most)


@implementer(IBody)
class _Piece:
    """A piece of a body."""

    def __init__(self, pieces: _Pieces, length: int) -> None:
        self._pieces = pieces
        self._left = length

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        if not self._left:
            return []
        chunks = await self._pieces.take(self._left)
        self._left -= sum(map(len, chunks))
        return chunks
