"""Files that grow while they are read: one for each object that comes, in each process.

One process fills it, and tells its own readers.  Others look at the file's length, and fill
on if that process is gone.  However this ends, readers can go on by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from giftless.base.files import FULL
from giftless.errors import LFSError, StorageUnavailable
from giftless.interfaces import FillOutcome, IStoredObject
from giftless.lfs.objects import ObjectKey
from giftless.storage.cache.checks import identity_of
from giftless.storage.cache.context import Context, Source, opened
from giftless.storage.cache.filling import Ended, Filling, Waiting
from giftless.storage.cache.parts import Part, WrongDigest
from giftless.storage.local.failures import RETRY_AFTER

#: How often the length of a file is looked at that another process fills, in seconds.
POLL: Final = 0.01

#: After how many seconds a file is given up that nobody has open any more.
LINGER: Final = 30.0

#: How many bytes readers are told of at once, and after how many seconds of fewer: each time
#: costs something for each of many, and holds up who fills the file.
BATCH: Final = 4 * 1024 * 1024
DELAY: Final = 0.02

#: How long a file waits for its turn to be filled, in seconds.
TURN: Final = 5.0

_log = Logger(namespace="giftless.cache")


class Growth:
    """A file that grows, once somebody reads it.

    :param key: whose bytes come.
    :param size: how many there will be.
    :param context: what it is filled with.
    :param ended: called once, when nobody else may join.
    :param keeps: whether it may grow; what is there already is still being compared if not.
    :ivar begun: whether somebody has read it.
    :ivar opening: whether it is not known yet whether the object can be opened.
    :ivar running: whether more bytes may come.
    :ivar outcome: how it ended; ``None`` until then.
    :ivar reached: how many may be read.
    """

    def __init__(
        self,
        key: ObjectKey,
        size: int,
        context: Context,
        ended: Callable[[Growth], None],
        keeps: bool = True,
    ) -> None:
        self._keeps = keeps
        self._key = key
        self._size = size
        self._context = context
        self._ended = ended
        self._part = Part(context.entries, key, size)
        self._waiting = Waiting()
        self._filling = Filling(
            key, size, self._part, context, self._waiting, self.take, self._advance
        )
        self._stored: IStoredObject | None = None
        self._readers = 0
        self._told: list[Deferred[None]] = []
        self._leaving: IDelayedCall | None = None
        #: Up to where readers were told of, and when they are told the next time.
        self._heard = 0
        self._telling: IDelayedCall | None = None
        self._work: Deferred[None] | None = None
        self._mine = True
        self._reserved = False
        self._closable = False
        self._problem: LFSError | None = None
        self.opening = True
        self.running = True
        self.outcome: FillOutcome | None = None
        self.reached = 0

    @property
    def begun(self) -> bool:
        """Whether somebody has read it."""
        return self._work is not None

    @property
    def fd(self) -> int:
        """The file's descriptor; -1 if it has none yet."""
        return self._part.fd

    # -- for its readers

    async def open(self, source: Source) -> None:
        """Open the object where it is kept, for whoever needs it first.

        :raises NotFound: if it is not there.
        :raises LFSError: if it cannot be opened.
        """
        try:
            self._stored = await opened(source)
            if self._stored.size != self._size:
                self._close()
                raise StorageUnavailable("the object changes; try again", 1)
        finally:
            self.opening = False
            self._tell()

    async def opened(self) -> None:
        """Wait until it was opened, well or not."""
        while self.opening:
            await self._wait()

    def join(self) -> None:
        """Count a reader: for whom the file stays open."""
        self._readers += 1
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def leave(self) -> None:
        """Count a reader no more."""
        self._readers -= 1
        if self._readers:
            return
        if not self.begun:
            self._ended(self)
            self._close()
        elif self.running:
            self._leaving = self._context.clock.callLater(LINGER, self._left)
        elif self._closable:
            self._close()

    def take(self) -> IStoredObject | None:
        """Return the object, opened where it is kept, for who comes first; then ``None``."""
        stored, self._stored = self._stored, None
        return stored

    def begin(self, source: Source) -> None:
        """Let the file grow, unless it does.

        :param source: opens the object where it is kept, where that is needed again.
        """
        if self._work is None:
            self._work = Deferred.fromCoroutine(self._run(source))

    async def grown(self, offset: int) -> int:
        """Wait until there are bytes from an offset on.

        :returns: up to where they are; ``offset`` or less if no more will come.
        :raises LFSError: if those that have come are not the object's.
        """
        while self._heard <= offset and self.running:
            await self._wait()
        if self._problem is not None:
            raise self._problem
        return self.reached

    async def stop(self) -> None:
        """Give up, and wait until that is done; readers go on by themselves."""
        self._waiting.stop()
        while self.begun and not self._closable:
            await self._wait()

    # -- the file

    def _left(self) -> None:
        self._leaving = None
        self._waiting.stop()

    async def _run(self, source: Source) -> None:
        """Fill the file, or see another process fill it, until that ends."""
        outcome: FillOutcome
        try:
            outcome = await self._grow(source)
        except Ended as end:
            outcome = end.outcome
        except WrongDigest as error:
            outcome = "wrong"
            self._problem = StorageUnavailable(
                "the storage sends other bytes than those of this object; tell the operator",
                RETRY_AFTER,
            )
            _log.error(
                "what the store sends of {key} is not the object: {problem}; nothing of it is"
                " kept in the cache",
                key=self._key.path,
                problem=error,
            )
        except OSError as error:
            outcome = "full" if error.errno in FULL else "disk"
            self._complain(error)
        except Exception:
            outcome = "failed"
            _log.failure("an object could not be copied into the cache")
        await self._end(outcome)

    async def _end(self, outcome: FillOutcome) -> None:
        self.outcome = outcome
        self.running = False
        self._ended(self)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if self._mine:
            self._context.counts.cache_filled(outcome)
        if outcome != "kept":
            await self._context.blocking.run(self._part.give_up, outcome == "wrong")
            if self._reserved:
                try:
                    await self._context.count(self._context.ceiling.release, self._size)
                except OSError as error:
                    self._complain(error)
        self._closable = True
        self._tell()
        if not self._readers:
            self._close()

    def _complain(self, error: OSError) -> None:
        _log.warn(
            "nothing can be written into the cache ({problem}); {key} comes from the store",
            key=self._key.path,
            problem=error.strerror or error,
        )

    def _close(self) -> None:
        self._part.close()
        stored = self.take()
        if stored is not None:
            stored.close()

    async def _grow(self, source: Source) -> FillOutcome:
        if not self._keeps:
            raise Ended("busy")
        run = self._context.blocking.run
        if self._size > self._context.ceiling.limit:
            raise Ended("full")
        opened = await run(self._part.open)
        if opened is None:
            self._note(await run(self._part.is_plain))
            self._advance(self._size)
            return "kept"
        self._mine = opened
        if not self._mine and await self._watch():
            return "kept"
        await self._take_turn()
        try:
            self._reserved = await self._context.reserve(self._size, self._part.place)
            if not self._reserved:
                raise Ended("full")
            await self._filling.run(source)
            plain = await run(self._part.finish)
        finally:
            self._context.turns.release()
        self._note(plain)
        self.reached = self._size
        return "kept"

    async def _watch(self) -> bool:
        """See another process fill the file, and take over if it ends before.

        :returns: whether it has filled all.
        :raises WrongDigest: if it has found that it is not the object.
        :raises Ended: if it has given up.
        """
        run = self._context.blocking.run
        while not self._mine:
            self._mine = await run(self._part.look)
            self._advance(self._part.reached)
            if self.reached == self._size:
                self._note(await run(self._part.is_plain))
                return True
            if self._part.orphaned:
                raise Ended("failed")
            if not self._mine:
                # Nobody need know as soon if nobody reads.
                await self._waiting.pause(self._context.clock, POLL if self._readers else 10 * POLL)
        self._part.reached = 0
        while await run(self._part.hash_slice):
            pass
        return False

    async def _take_turn(self) -> None:
        turn = self._context.turns.acquire()
        timer = self._context.clock.callLater(TURN, turn.cancel)
        try:
            await turn
        except CancelledError:
            raise Ended("busy") from None
        finally:
            if timer.active():
                timer.cancel()

    def _note(self, plain: bool) -> None:
        if plain:
            self._context.checks.note(identity_of(self._part.fd), plain)

    def _advance(self, reached: int) -> None:
        before, self.reached = self.reached, max(reached, self.reached)
        if not before or self.reached - self._heard >= BATCH:
            self._tell()
        elif self._telling is None and self.reached > before:
            self._telling = self._context.clock.callLater(DELAY, self._tell)

    def _wait(self) -> Deferred[None]:
        wait: Deferred[None] = Deferred()
        self._told.append(wait)
        return wait

    def _tell(self) -> None:
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        self._telling = None
        self._heard = self.reached
        told, self._told = self._told, []
        for wait in told:
            if not wait.called:
                wait.callback(None)
