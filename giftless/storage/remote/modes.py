"""The two kinds of store over a container.

Which one is built decides what the server can do with it: :class:`DirectStore`
provides ``IExternalStore``, :class:`ProxyStore` provides ``IStreamingStore``,
and none provides both.  The same goes for parts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from zope.interface import implementer

from giftless.base.bodies import collect
from giftless.base.http_client import Answer
from giftless.errors import LengthRequired, PayloadTooLarge
from giftless.interfaces import (
    IBody,
    IExternalStore,
    IStreamingStore,
    Payload,
)
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.storage.remote import streaming
from giftless.storage.remote.client import Request, StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.failures import unavailable
from giftless.storage.remote.multipart import ExternalMultipartStore, StreamingMultipartStore

#: Objects up to so many bytes are sent by the daemon in one piece: that can be
#: tried again, and their length need not be known beforehand.
SMALL: Final = 1024 * 1024


@implementer(IExternalStore)
class DirectStore(ExternalMultipartStore):
    """A store that clients send objects to and fetch them from, with signed URLs."""

    async def upload_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras, replace: bool = False
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.upload_action`.

        :raises PayloadTooLarge: if it does not go into one request.
        """
        _check_size(self.container, size)
        try:
            return await self.container.sign_upload(key, size, lifetime, extras, replace)
        except StoreError as error:
            raise unavailable(error, "an upload could not be signed") from error

    async def download_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.download_action`."""
        try:
            return await self.container.sign_download(key, size, lifetime, extras)
        except StoreError as error:
            raise unavailable(error, "a download could not be signed") from error


@implementer(IStreamingStore)
class ProxyStore(StreamingMultipartStore):
    """A store whose objects pass through the daemon."""

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IStreamingStore.put`.

        :raises PayloadTooLarge: if it does not go into one request.
        :raises LengthRequired: if its length is not known, and more than a little.
        :raises ServiceUnavailable: if the store does not take it.
        """
        size = payload.length
        _check_size(self.container, size or 0)
        try:
            if size is None or size <= SMALL:
                answer = await self._put_whole(key, payload, body, extras)
            else:
                request = await self.container.put_request(key, payload, extras)
                answer = await streaming.upload(self.container.client, request, size, body)
            if not 200 <= answer.status < 300:
                raise self.container.problem(answer)
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be stored") from error

    async def _put_whole(
        self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras
    ) -> Answer:
        try:
            data = await collect(body, SMALL)
        except PayloadTooLarge:
            if payload.length is not None:
                raise
            raise LengthRequired("send the object with a Content-Length") from None

        whole = replace(payload, length=len(data))

        async def prepare() -> Request:
            request = await self.container.put_request(key, whole, extras)
            return replace(request, body=data)

        return await self.container.client.ask(prepare)


def _check_size(container: Container, size: int) -> None:
    if size > container.max_put:
        raise PayloadTooLarge(
            f"the object has {size} bytes; this storage takes up to {container.max_put} at once,"
            " and larger ones only in parts (multipart), which this transfer cannot do"
        )
