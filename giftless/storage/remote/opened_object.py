"""Read objects from a container, through the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zope.interface import implementer

from giftless.base.bodies import collect
from giftless.interfaces import IBody, IStoredObject, ObjectFacts
from giftless.lfs.objects import ObjectKey
from giftless.storage.remote import streaming
from giftless.storage.remote.client import MAX_ANSWER, StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.failures import unavailable


@implementer(IStoredObject)
class RemoteObject:
    """An open object: each part that is read is one request."""

    def __init__(self, key: ObjectKey, facts: ObjectFacts, container: Container) -> None:
        self.size = facts.size
        self.extras = facts.extras
        self._key = key
        self._container = container
        self._bodies: list[RemoteBody] = []

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        part = RemoteBody(self._key, start, end, self._container)
        self._bodies.append(part)
        return streaming.Exactly(part, end - start)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`: cut what still runs."""
        for part in self._bodies:
            part.close()


@implementer(IBody)
class RemoteBody:
    """Part of an object, requested when it is first read."""

    def __init__(self, key: ObjectKey, start: int, end: int, container: Container) -> None:
        self._key = key
        self._start = start
        self._end = end
        self._container = container
        self._download: streaming.Download | None = None

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ServiceUnavailable: if the store does not send it.
        """
        if self._start == self._end:
            return []
        try:
            if self._download is None:
                self._download = await self._begin()
            return await self._download.read()
        except StoreError as error:
            raise unavailable(error, f"{self._key.oid} could not be read") from error

    async def _begin(self) -> streaming.Download:
        request = await self._container.get_request(self._key, self._start, self._end)
        answer, body = await streaming.download(self._container.client, request)
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
        """Cut what still runs.  Harmless when repeated."""
        if self._download is not None:
            self._download.close()
