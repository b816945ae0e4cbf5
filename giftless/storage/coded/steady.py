"""Open objects that can be read on while they are stored anew in another form.

A file that is open stays what it was.  In a bucket the next request finds the new form, and the
store says so (:exc:`~giftless.errors.ObjectReplaced`).  The object's own bytes are the same in
each form, so reading goes on where it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from zope.interface import implementer

from giftless.errors import NotFound, ObjectReplaced
from giftless.interfaces import (
    IBody,
    IEncodedObject,
    IGrowingFile,
    IStoredFile,
    IStoredObject,
)

#: How often in a row an object may be replaced until whoever reads it is told.
_ATTEMPTS: Final = 4

#: Opens an object; ``None`` if it is absent.
Opener = Callable[[], Awaitable[IStoredObject | None]]


async def open_steady(opener: Opener) -> IStoredObject | None:
    """Open an object so that it outlasts being replaced.

    :param opener: opens it, in whatever form it is.
    :returns: the object itself, if it is a file.
    :raises LFSError: as ``opener`` does.
    """
    opened = await _open(opener)
    if opened is None or IStoredFile.providedBy(opened):
        return opened
    if IEncodedObject.providedBy(opened):
        encoded: IEncodedObject = opened
        return SteadyEncodedObject(encoded, opener)
    return SteadyObject(opened, opener)


async def _open(opener: Opener) -> IStoredObject | None:
    for _ in range(_ATTEMPTS - 1):
        try:
            return await opener()
        except ObjectReplaced:
            continue
    return await opener()


@implementer(IStoredObject)
class SteadyObject:
    """An object that is opened once more when it was replaced.

    :param opened: the object.
    :param opener: opens it again.
    """

    def __init__(self, opened: IStoredObject, opener: Opener) -> None:
        self.size = opened.size
        self.extras = opened.extras
        self._opened = opened
        self._before: list[IStoredObject] = []
        self._opener = opener
        self._closed = False

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        return _SteadyBody(self, start, end)

    def read_now(self, start: int, end: int) -> IBody:
        """Read part of the object in the form in which it is open now."""
        return self._opened.read(start, end)

    async def reopen(self) -> None:
        """Open the object as it is stored now.

        :raises NotFound: if it was deleted.
        """
        opened = await _open(self._opener)
        if opened is None:
            raise NotFound("the object was deleted while it was read")
        # Another part may still come from the form before.
        self._before.append(self._opened)
        self._opened = opened
        if self._closed:
            opened.close()

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`."""
        self._closed = True
        for opened in (*self._before, self._opened):
            opened.close()


@implementer(IEncodedObject)
class SteadyEncodedObject(SteadyObject):
    """The same of an object that can be sent as it is stored.

    What is sent so is of one form: the one that is stored when its first byte is asked for.
    All of it has been promised by then, so the form must have as many bytes.

    :param opened: the object.
    :param opener: opens it again.
    """

    def __init__(self, opened: IEncodedObject, opener: Opener) -> None:
        super().__init__(opened, opener)
        self.encoding = opened.encoding
        self.encoded = opened.encoded
        self.encoded_start = opened.encoded_start
        self.encoded_end = opened.encoded_end
        # The kernel sends files, and what comes to one; neither is replaced.
        if not (IStoredFile.providedBy(self.encoded) or IGrowingFile.providedBy(self.encoded)):
            self.encoded = _Encoded(self)
            self.encoded_start, self.encoded_end = 0, self.encoded.size

    def read_encoded(self, start: int, end: int) -> IBody:
        """Read part of the encoded bytes in the form in which it is open now.

        :raises ObjectReplaced: if that is none of the promised length.
        """
        opened: Any = self._opened
        length = self.encoded_end - self.encoded_start
        if (
            not IEncodedObject.providedBy(opened)
            or opened.encoding != self.encoding
            or opened.encoded_end - opened.encoded_start != length
        ):
            raise ObjectReplaced("the object was stored anew just now; ask again", 1)
        body: IBody = opened.encoded.read(opened.encoded_start + start, opened.encoded_start + end)
        return body


@implementer(IStoredObject)
class _Encoded:
    """The encoded bytes of an object, in the form that it has when they are read."""

    def __init__(self, whole: SteadyEncodedObject) -> None:
        self.size = whole.encoded_end - whole.encoded_start
        self.extras = whole.extras
        self._whole = whole

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        return _EncodedBody(self._whole, start, end)

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`: the object stays open."""


@implementer(IBody)
class _EncodedBody:
    """Encoded bytes, all of one form."""

    def __init__(self, whole: SteadyEncodedObject, start: int, end: int) -> None:
        self._whole = whole
        self._span = start, end
        self._body: IBody | None = None

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ObjectReplaced: if the object was replaced by a form of another length, or
            after the first bytes.
        """
        if self._body is not None:
            return await self._body.read()
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._begin()
            except ObjectReplaced:
                await self._whole.reopen()
        return await self._begin()

    async def _begin(self) -> Sequence[bytes]:
        body = self._whole.read_encoded(*self._span)
        chunks = await body.read()
        self._body = body
        return chunks


@implementer(IBody)
class _SteadyBody:
    """Part of an object, read on from where it was replaced."""

    def __init__(self, whole: SteadyObject, start: int, end: int) -> None:
        self._whole = whole
        self._offset = start
        self._end = end
        self._body: IBody | None = None
        self._replaced = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises ObjectReplaced: if it is replaced again and again.
        """
        while True:
            if self._body is None:
                self._body = self._whole.read_now(self._offset, self._end)
            try:
                chunks = await self._body.read()
            except ObjectReplaced:
                self._replaced += 1
                if self._replaced == _ATTEMPTS:
                    raise
                await self._whole.reopen()
                self._body = None
                continue
            self._replaced = 0
            self._offset += sum(map(len, chunks))
            return chunks
