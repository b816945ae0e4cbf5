"""Add to an upload in the store, or throw it away."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from twisted.internet.task import deferLater

from giftless.base.concurrency import settle
from giftless.base.holds import Hold, taken_over
from giftless.base.nameless_file import NamelessFile
from giftless.errors import ServiceUnavailable
from giftless.interfaces import PartUpload, Payload
from giftless.lfs.objects import NO_EXTRAS, Extras, ObjectKey
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container, FoundPart
from giftless.storage.remote.resumable.bodies import Joined
from giftless.storage.remote.resumable.context import Context
from giftless.storage.remote.resumable.found import Found
from giftless.storage.remote.resumable.staging import BEGUN, Piece, Staging
from giftless.storage.remote.versions import is_same
from giftless.storage.remote.writing import put_at_once, send_part

T = TypeVar("T")

#: How often bytes are sent that wait on the own disk, before their client is told to send
#: them again, and how long to wait before the second time, in seconds; then twice as long.
ATTEMPTS: Final = 3
DELAY: Final = 0.5

#: So many pieces at most stand in a row; one more, and all become one.  Small pieces are
#: read and written again so many times less.
MAX_ROW: Final = 8

#: Of how much of the expiry an upload to which bytes come may seem older than it is: it is
#: dated so often.
_DATED: Final = 0.25


class Staged:
    """An upload that this process has claimed, as the store has it.

    Nothing here is done twice at the same time.

    :param key: of the object.
    :param found: what has come.
    :param hold: says whether it is still this process that goes on with it.
    :ivar changed: when something came last, in seconds since the epoch; 0 for nothing.
    """

    def __init__(
        self,
        container: Container,
        key: ObjectKey,
        staging: Staging,
        found: Found,
        hold: Hold,
        context: Context,
    ) -> None:
        self.container = container
        self.key = key
        self.staging = staging
        self.found = found
        self.hold = hold
        self.context = context
        self.changed = self._dated = found.changed
        self._sent: dict[int, str] = {}

    async def begin(self, extras: Extras) -> None:
        """Say that the upload has begun.

        :raises StoreError: if the store does not take that.
        """
        await self._add(BEGUN, (), None, extras)

    async def keep(self, file: NamelessFile) -> None:
        """Keep the bytes in a file as a piece behind all that has come.

        :raises StoreError: if the store does not take them.
        """
        row = self.found.row
        if len(row) < MAX_ROW:
            piece, before = Piece(self.found.offset, file.length), row[:0]
        else:
            start = row[0].start
            piece, before = Piece(start, self.found.offset + file.length - start), row
        await self._add(piece, before, file)
        await self._forget_old(piece)

    async def date(self) -> None:
        """Note that the upload has changed now.

        :raises StoreError: if the store does not take that.
        """
        piece = Piece(self.found.offset, 0)
        await self._add(piece, (), None)
        await self._forget_old(piece)

    async def add_part(self, file: NamelessFile) -> None:
        """Make the next part of the pieces behind the last one, and of the bytes in a file.

        :raises StoreError: if the store does not take it.
        """
        await self._confirm_hold()
        upload, pieces = await self._upload(), self.found.row
        part = self.found.plan.part(len(self.found.parts) + 1)
        assert part is not None, "the upload lacks bytes"
        container, whole = self.container, self.staging.whole
        tag = await self._insist(
            pieces, file, lambda body: send_part(container, whole, upload, part, body)
        )
        self.found.parts[part.number] = FoundPart(part.size, tag)
        self._sent[part.number] = tag
        self.changed = self.context.wall_clock()
        if self.changed - self._dated > self.context.expiry * _DATED:
            await self.date()

    def has_sent(self, parts: dict[int, FoundPart]) -> bool:
        """Whether these parts are what this process has sent since it claimed the upload."""
        return all(is_same(part.tag, self._sent.get(number, "")) for number, part in parts.items())

    async def clear(self) -> None:
        """Throw away all that is known to have come.

        :raises StoreError: if the store does not do that.
        """
        container, whole, plan = self.container, self.staging.whole, self.found.plan
        names = {*self.found.others, *(piece.name for piece in self.found.pieces)}
        if plan.count > 1:
            names.add(whole.oid)
        await settle(container.delete(self.staging.key(name)) for name in names)
        if plan.count > 1:
            for name in await container.find_uploads(whole):
                await container.abort_upload(whole, PartUpload(name, plan))
        self.found = Found(plan)
        self.changed = self._dated = 0.0
        self._sent = {}

    async def _upload(self) -> PartUpload:
        if self.found.upload is None:
            begun = await self.container.facts(self.staging.key(BEGUN.name), False)
            extras = NO_EXTRAS if begun is None else begun.extras
            name = await self.container.create_upload(self.staging.whole, extras)
            self.found.upload = PartUpload(name, self.found.plan)
        return self.found.upload

    async def _add(
        self,
        piece: Piece,
        before: Sequence[Piece],
        file: NamelessFile | None,
        extras: Extras = NO_EXTRAS,
    ) -> None:
        """Store a piece.

        :param before: the pieces that it begins with.
        :param file: the bytes behind those.
        """
        await self._confirm_hold()
        container, key = self.container, self.staging.key(piece.name)
        payload = Payload(piece.length, None)
        await self._insist(
            before, file, lambda body: put_at_once(container, key, payload, body, extras)
        )
        self.found.pieces.add(piece)
        self.changed = self._dated = self.context.wall_clock()

    async def _insist(
        self,
        pieces: Sequence[Piece],
        file: NamelessFile | None,
        send: Callable[[Joined], Awaitable[T]],
    ) -> T:
        """Send bytes, and again if that fails: they are all there still."""
        delay = DELAY
        for left in reversed(range(ATTEMPTS)):
            rest = None if file is None else file.body()
            body = Joined(self.container, self.staging, pieces, rest)
            try:
                return await send(body)
            except (StoreError, ServiceUnavailable):
                if not left:
                    raise
            finally:
                body.close()
            await deferLater(self.container.client.clock, delay)
            delay *= 2
        raise AssertionError("the last attempt returns or raises")

    async def _forget_old(self, latest: Piece) -> None:
        """Remove the pieces whose bytes are in others, or in parts.

        :param latest: dates the upload.
        """
        needed = {*self.found.row, BEGUN, latest}
        old = [
            piece
            for piece in self.found.pieces
            if piece.end <= self.found.offset and piece not in needed
        ]
        # What cannot be removed harms nobody, and goes with the upload.
        with contextlib.suppress(StoreError):
            await settle(self.container.delete(self.staging.key(piece.name)) for piece in old)
            self.found.pieces.difference_update(old)

    async def _confirm_hold(self) -> None:
        """Make sure that nobody else goes on with the upload.

        :raises Conflict: if somebody does.
        """
        if await self.context.blocking.run(self.hold.lost):
            raise taken_over()
