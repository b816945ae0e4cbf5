"""The two kinds of store over a container.

Which one is built decides what the server can do with it: :class:`DirectStore`
provides ``IExternalStore``, :class:`ProxyStore` provides ``IStreamingStore``,
and none provides both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from giftless.errors import (
    ConfigError,
    LengthRequired,
    LFSError,
    PayloadTooLarge,
    ServiceUnavailable,
)
from giftless.gathering import settle
from giftless.interfaces import (
    IBody,
    ICheckable,
    IExternalStore,
    IInspector,
    IStoredObject,
    IStreamingStore,
    ObjectFacts,
)
from giftless.lfs.objects import Action, Extras, ObjectKey
from giftless.outgoing import Answer
from giftless.storage.remote import streaming
from giftless.storage.remote.client import MAX_ANSWER, Request, StoreClient, StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.options import RemoteOptions
from giftless.streams import collect

#: What clients are told to wait while the store does not answer, in seconds.
RETRY_AFTER: Final = 30

#: Objects up to so many bytes are sent by the daemon in one piece: that can be
#: tried again, and their length need not be known beforehand.
SMALL: Final = 1024 * 1024

_log = Logger(namespace="giftless.storage")


def build_store(
    options: RemoteOptions, container: Container, client: StoreClient
) -> DirectStore | ProxyStore:
    """Build the store that ``mode`` asks for."""
    if options.mode == "direct":
        return DirectStore(container)
    return ProxyStore(container, client)


def _unavailable(error: StoreError, doing: str) -> ServiceUnavailable:
    """Log what happened, and make what the client is told."""
    _log.error("{doing}: {problem}", doing=doing, problem=error.problem)
    return ServiceUnavailable(
        "the server's storage does not answer as it should; try again later", RETRY_AFTER
    )


@implementer(ICheckable, IInspector)
class RemoteStore:
    """What both kinds can do.

    :param container: where the objects are.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: all at once."""
        found = await settle(self._size(key) for key in keys)
        problems = [entry for entry in found if isinstance(entry, StoreError)]
        if not problems:
            return [entry for entry in found if not isinstance(entry, StoreError)]
        doing = f"{len(problems)} of {len(keys)} objects could not be looked up"
        error = _unavailable(problems[0], doing)
        if len(problems) == len(keys):
            raise error
        return [error if isinstance(entry, StoreError) else entry for entry in found]

    async def _size(self, key: ObjectKey) -> int | StoreError | None:
        try:
            facts = await self._container.facts(key, False)
        except StoreError as error:
            return error
        return None if facts is None else facts.size

    async def inspect(self, key: ObjectKey) -> ObjectFacts | None:
        """See :meth:`giftless.interfaces.IInspector.inspect`."""
        try:
            return await self._container.facts(key, True)
        except StoreError as error:
            raise _unavailable(error, f"{key.oid} could not be looked up") from error

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`."""
        try:
            await self._container.check()
        except StoreError as error:
            raise ConfigError("", error.problem) from error


@implementer(IExternalStore)
class DirectStore(RemoteStore):
    """Clients talk to the store, with what is signed here."""

    async def upload_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.upload_action`.

        :raises PayloadTooLarge: if it does not go into one request.
        """
        _check_size(self._container, size)
        try:
            return await self._container.sign_upload(key, size, lifetime, extras)
        except StoreError as error:
            raise _unavailable(error, "an upload could not be signed") from error

    async def download_action(
        self, key: ObjectKey, size: int, lifetime: int, extras: Extras
    ) -> Action:
        """See :meth:`giftless.interfaces.IExternalStore.download_action`."""
        try:
            return await self._container.sign_download(key, size, lifetime, extras)
        except StoreError as error:
            raise _unavailable(error, "a download could not be signed") from error


@implementer(IStreamingStore)
class ProxyStore(RemoteStore):
    """Bytes pass through the daemon.

    :param client: sends them.
    """

    def __init__(self, container: Container, client: StoreClient) -> None:
        super().__init__(container)
        self._client = client

    async def put(self, key: ObjectKey, size: int | None, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IStreamingStore.put`.

        :raises PayloadTooLarge: if it does not go into one request.
        :raises LengthRequired: if its length is not known, and more than a little.
        :raises ServiceUnavailable: if the store does not take it.
        """
        _check_size(self._container, size or 0)
        try:
            if size is None or size <= SMALL:
                answer = await self._put_whole(key, size, body, extras)
            else:
                request = await self._container.put_request(key, size, extras)
                answer = await streaming.upload(self._client, request, size, body)
            if not 200 <= answer.status < 300:
                raise self._container.problem(answer)
        except StoreError as error:
            raise _unavailable(error, f"{key.oid} could not be stored") from error

    async def _put_whole(
        self, key: ObjectKey, size: int | None, body: IBody, extras: Extras
    ) -> Answer:
        try:
            data = await collect(body, SMALL)
        except PayloadTooLarge:
            if size is not None:
                raise
            raise LengthRequired("send the object with a Content-Length") from None

        async def prepare() -> Request:
            request = await self._container.put_request(key, len(data), extras)
            return replace(request, body=data)

        return await self._client.ask(prepare)

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        """See :meth:`giftless.interfaces.IStreamingStore.open`.

        :raises ServiceUnavailable: if the store does not say.
        """
        try:
            facts = await self._container.facts(key, False)
        except StoreError as error:
            raise _unavailable(error, f"{key.oid} could not be opened") from error
        return None if facts is None else RemoteObject(key, facts, self._container, self._client)


@implementer(IStoredObject)
class RemoteObject:
    """An open object: each part that is read is one request."""

    def __init__(
        self, key: ObjectKey, facts: ObjectFacts, container: Container, client: StoreClient
    ) -> None:
        self.size = facts.size
        self.extras = facts.extras
        self._key = key
        self._container = container
        self._client = client
        self._bodies: list[_Part] = []

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        part = _Part(self._key, start, end, self._container, self._client)
        self._bodies.append(part)
        return streaming.Exactly(part, end - start)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`: cut what still runs."""
        for part in self._bodies:
            part.close()


@implementer(IBody)
class _Part:
    """Part of an object, requested when it is first read."""

    def __init__(
        self, key: ObjectKey, start: int, end: int, container: Container, client: StoreClient
    ) -> None:
        self._key = key
        self._start = start
        self._end = end
        self._container = container
        self._client = client
        self._download: streaming.Download | None = None

    async def read(self) -> Sequence[bytes]:
        if self._start == self._end:
            return []
        try:
            if self._download is None:
                self._download = await self._begin()
            return await self._download.read()
        except StoreError as error:
            raise _unavailable(error, f"{self._key.oid} could not be read") from error

    async def _begin(self) -> streaming.Download:
        request = await self._container.get_request(self._key, self._start, self._end)
        answer, body = await streaming.download(self._client, request)
        if answer.status not in (200, 206):
            try:
                data = await collect(body, MAX_ANSWER)
            finally:
                body.close()
            raise self._container.problem(replace(answer, body=data))
        if answer.status == 200 and self._start:
            body.close()
            raise StoreError("the store sends all of an object instead of a part")
        return body

    def close(self) -> None:
        if self._download is not None:
            self._download.close()


def _check_size(container: Container, size: int) -> None:
    if size > container.max_put:
        raise PayloadTooLarge(
            f"the object has {size} bytes; this storage takes up to {container.max_put} at once,"
            " and larger ones only in parts (multipart), which this transfer cannot do"
        )
