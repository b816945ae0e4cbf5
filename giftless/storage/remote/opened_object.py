"""Read objects from a container, through the daemon."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from zope.interface import implementer

from giftless.base.bodies import collect
from giftless.base.http_client import Answer
from giftless.errors import LFSError, ObjectReplaced
from giftless.interfaces import IBody, IStoredObject, ObjectFacts
from giftless.lfs.objects import ObjectKey
from giftless.storage.remote import streaming
from giftless.storage.remote.client import MAX_ANSWER, StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.failures import unavailable
from giftless.storage.remote.versions import is_same, tag_of

#: The end of ``Content-Range`` says how large the whole object is (RFC 9110, section 14.4).
_RANGE: Final = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]{1,19})")


@implementer(IStoredObject)
class RemoteObject:
    """An open object: each part that is read is one request.

    All parts are of the same bytes: the first answer's ``ETag`` must be that of all others.
    """

    def __init__(self, key: ObjectKey, facts: ObjectFacts, container: Container) -> None:
        self.size = facts.size
        self.extras = facts.extras
        self._key = key
        self._container = container
        self._bodies: list[RemoteBody] = []
        self._tag = ""

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        part = RemoteBody(self._key, start, end, self._container, self._check)
        self._bodies.append(part)
        return streaming.Exactly(part, end - start)

    def _check(self, answer: Answer) -> None:
        """See that an answer has the bytes of the object that was opened.

        :raises ObjectReplaced: if it has others.
        """
        size = _size_in(answer)
        tag = tag_of(answer)
        if size not in (None, self.size) or (self._tag and not is_same(self._tag, tag)):
            raise _replaced()
        self._tag = self._tag or tag

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`: cut what still runs."""
        for part in self._bodies:
            part.close()


@implementer(IBody)
class RemoteBody:
    """Part of an object, requested when it is first read.

    :param start: the offset of the part's first byte.
    :param end: one past the offset of its last.
    :param check: is given the answer, and raises what is wrong with it.
    """

    def __init__(
        self,
        key: ObjectKey,
        start: int,
        end: int,
        container: Container,
        check: Callable[[Answer], None] = lambda _: None,
    ) -> None:
        self._key = key
        self._start = start
        self._end = end
        self._container = container
        self._check = check
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
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            body.close()
            raise _replaced()
        if answer.status not in (200, 206):
            try:
                data = await collect(body, MAX_ANSWER)
            finally:
                body.close()
            raise self._container.problem(replace(answer, body=data))
        if answer.status == 200 and self._start:
            body.close()
            raise StoreError("the store sends all of an object instead of a part")
        try:
            self._check(answer)
        except LFSError:
            body.close()
            raise
        return body

    def close(self) -> None:
        """Cut what still runs.  Harmless when repeated."""
        if self._download is not None:
            self._download.close()


def _replaced() -> ObjectReplaced:
    return ObjectReplaced("the object was replaced while it was read; ask again", 1)


def _size_in(answer: Answer) -> int | None:
    """Return how large an answer says the whole object is; ``None`` if it does not."""
    match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    return None if answer.status != 206 or match is None else int(match[1])
