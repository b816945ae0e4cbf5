"""An object is pulled from where it is kept into a file, as fast as it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from giftless.errors import Disconnected, LFSError, ServiceUnavailable
from giftless.interfaces import FillOutcome, IBody, IStoredObject, IVerifiedObject
from giftless.lfs.objects import ObjectKey
from giftless.storage.cache.context import Context, Source
from giftless.storage.cache.parts import Part

T = TypeVar("T")

#: How often in a row the source may fail before a byte comes.
_ATTEMPTS: Final = 2

_log = Logger(namespace="giftless.cache")


class Ended(Exception):  # it need not be wrong
    """The file gets no more bytes.

    :ivar outcome: why.
    """

    def __init__(self, outcome: FillOutcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Waiting:
    """Waits for what takes long and uses nothing of the file, until there is no use for it."""

    def __init__(self) -> None:
        self._pending: Deferred[Any] | None = None
        self._stopped = False

    async def wait(self, work: Awaitable[T]) -> T:
        """Wait for something.

        :raises Ended: if there is no more use for it.
        """
        pending: Deferred[T] = (
            work if isinstance(work, Deferred) else Deferred.fromCoroutine(_await(work))
        )
        self._pending = pending
        try:
            if self._stopped:
                pending.cancel()
            return await pending
        except CancelledError:
            raise Ended("left") from None
        finally:
            self._pending = None

    async def pause(self, clock: IReactorTime, seconds: float) -> None:
        """Let some time pass.

        :raises Ended: if there is no more use for it.
        """
        await self.wait(deferLater(clock, seconds))

    def stop(self) -> None:
        """Let nobody wait any more."""
        self._stopped = True
        if self._pending is not None:
            self._pending.cancel()


class Filling:
    """Pulls an object into a file.

    :param key: the object.
    :param size: how many bytes it has.
    :param part: the file.
    :param context: what it is filled with.
    :param waiting: ends it.
    :param take: returns the object if it is open already; for the first attempt.
    :param advance: is told how many bytes there are.
    """

    def __init__(
        self,
        key: ObjectKey,
        size: int,
        part: Part,
        context: Context,
        waiting: Waiting,
        take: Callable[[], IStoredObject | None],
        advance: Callable[[int], None],
    ) -> None:
        self._key = key
        self._size = size
        self._part = part
        self._context = context
        self._waiting = waiting
        self._take = take
        self._advance = advance

    async def run(self, source: Source) -> None:
        """Do it, from where the file ends; go on once more if that breaks off.

        :param source: opens the object where it is kept.
        :raises Ended: if it cannot be had, or there is no more use for it.
        :raises WrongDigest: if there are more bytes than the object has.
        :raises OSError: if the disk does not take them.
        """
        failures = 0
        while True:
            before = self._part.reached
            try:
                await self._pull(source)
                return
            except (LFSError, Disconnected, EOFError) as error:
                failures = failures + 1 if self._part.reached == before else 1
                # Who is refused once is refused again, and may have been asked to wait.
                refused = isinstance(error, LFSError) and not isinstance(error, ServiceUnavailable)
                if refused or failures >= _ATTEMPTS:
                    _log.info(
                        "{key} could not be copied into the cache: {problem}",
                        key=self._key.path,
                        problem=error,
                    )
                    raise Ended("failed") from None

    async def _pull(self, source: Source) -> None:
        """Do it once, from where the file ends.

        :raises LFSError: if the object cannot be had, or not to its end.
        """
        stored: IStoredObject | None = self._take() or await self._waiting.wait(source())
        if stored is None:
            raise Ended("failed")
        try:
            if stored.size != self._size:
                raise Ended("failed")
            self._part.forget_last()
            await self._write(self._begin(stored))
        finally:
            stored.close()

    def _begin(self, stored: IStoredObject) -> IBody:
        """Read what is missing; that it is right is found out once."""
        if not IVerifiedObject.providedBy(stored):
            return stored.read(self._part.reached, self._size)
        self._part.may_be_coded = False
        body: IBody = stored.read_unverified(self._part.reached, self._size)
        return body

    async def _write(self, body: IBody) -> None:
        """Write bytes, and hash them, while the next ones come."""
        writing: Deferred[None] | None = None
        try:
            while chunks := await self._read(body):
                self._context.counts.cache_read("store", sum(map(len, chunks)))
                if writing is not None:
                    running, writing = writing, None
                    await running
                writing = Deferred.fromCoroutine(self._put(chunks))
        finally:
            if writing is not None:
                await writing

    async def _put(self, chunks: Sequence[bytes]) -> None:
        """Write some bytes, and tell so at once: it may take long until others come."""
        await self._context.blocking.run(self._part.write, chunks)
        self._advance(self._part.reached)

    async def _read(self, body: IBody) -> Sequence[bytes]:
        try:
            return await self._waiting.wait(body.read())
        except OSError as error:
            # It is the store's, and not that of the cache's disk.
            raise EOFError(str(error)) from None


async def _await(work: Awaitable[T]) -> T:
    return await work
