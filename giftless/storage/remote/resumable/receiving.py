"""Make pieces and parts of bytes as they come.

Bytes wait on the own disk until a part is full.  While that is sent, the next ones may come:
so there are two parts there at most.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence

from twisted.internet.defer import Deferred

from giftless.base.bodies import take_most
from giftless.base.nameless_file import NamelessFile
from giftless.errors import InsufficientStorage
from giftless.interfaces import IBody
from giftless.storage.remote.resumable.staged import Staged


class Receiver:
    """Takes one body.

    :param staged: the upload, which has begun.
    """

    def __init__(self, staged: Staged) -> None:
        self._staged = staged
        self._plan = staged.found.plan
        #: Where the next byte belongs.
        self._position = staged.found.offset
        self._file = self._new_file()
        self._sending: Deferred[None] | None = None

    async def receive(self, body: IBody) -> None:
        """Take all that comes, and see that the store has it.

        :raises Exception: what reading the body raised, when the store has all that came
            before.
        :raises InsufficientStorage: if the own disk is full; likewise.
        :raises StoreError: if the store does not take it.
        """
        begin = self._position
        try:
            failure = await self._take_all(body)
            if self._position > begin:
                # Whoever wants to go on waits for this.
                await self._staged.hold.committing()
                try:
                    await self._save()
                finally:
                    await self._staged.hold.yielding()
        finally:
            await self._end()
        if failure is not None:
            raise failure

    async def _take_all(self, body: IBody) -> Exception | None:
        """Take all that comes; return what ended it, if it did not end well."""
        while True:
            try:
                chunks = await body.read()
            except Exception as error:
                return error
            if not chunks:
                return None
            try:
                await self._take(chunks)
            except InsufficientStorage as error:
                return error

    async def _take(self, chunks: Sequence[bytes]) -> None:
        waiting = deque(chunks)
        while waiting:
            part = self._plan.part(self._position // self._plan.part_size + 1)
            assert part is not None, "no more comes than the upload lacks"
            end = part.pos + part.size
            some = take_most(waiting, end - self._position)
            await self._file.write(some)
            self._position += sum(map(len, some))
            if self._position == end and self._plan.count > 1:
                await self._sent()
                full, self._file = self._file, self._new_file()
                self._sending = Deferred.fromCoroutine(self._send(full))

    async def _send(self, file: NamelessFile) -> None:
        try:
            await self._staged.add_part(file)
        finally:
            await file.close()

    async def _sent(self) -> None:
        """Wait for the part that is being sent."""
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await sending

    async def _save(self) -> None:
        """Let the store have what has come."""
        await self._sent()
        if self._file.length:
            await self._staged.keep(self._file)
        elif self._position < self._plan.size:
            await self._staged.date()

    async def _end(self) -> None:
        """Free what is held; what is still being sent then is of no use any more."""
        if self._sending is not None:
            self._sending.cancel()
            with contextlib.suppress(Exception):
                await self._sent()
        await self._file.close()

    def _new_file(self) -> NamelessFile:
        context = self._staged.context
        return NamelessFile(context.directory, context.blocking)
