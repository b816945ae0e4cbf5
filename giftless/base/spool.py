"""Bytes that wait on disk until all of them have come, and it is known what they are."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from giftless.base.nameless_file import NamelessFile
from giftless.interfaces import IBlocking, IBody


@implementer(IBody)
class Spool:
    """A body that has been received before it is read.

    :param directory: where it waits; made if missing.
    :param blocking: writes and reads.
    """

    def __init__(self, directory: str, blocking: IBlocking) -> None:
        self._file = NamelessFile(directory, blocking)
        self._body = self._file.body()

    async def __aenter__(self) -> Spool:
        """Begin; whoever does ends it as well."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Free the room on disk."""
        await self._file.close()

    async def fill(self, body: IBody) -> int:
        """Receive a body.

        :returns: how many bytes it has.
        :raises InsufficientStorage: if the disk has no room for them.
        :raises StorageUnavailable: if it fails otherwise.
        """
        while chunks := await body.read():
            await self._file.write(chunks)
        return self._file.length

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        return await self._body.read()
