"""Names that one holder at a time has on a machine, and gives to whoever asks for them.

Who goes on with an upload is such a question: its client comes again on another
connection, to whichever process, while the one before still waits for bytes.  So the
holder is asked to let go, and whoever does not answer, because its process is stopped,
soon loses the name.  See :mod:`giftless.base.hold_files` for how.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from giftless.base.hold_files import Attempt, HoldFile, sweep
from giftless.errors import Conflict, ServiceUnavailable
from giftless.interfaces import IBlocking

#: For how many seconds a holder is waited for who lets nobody take the name away.
BOUND: Final = 20.0

#: How often whoever waits tries again, and how often holders look whether they are asked,
#: in seconds.
_TRY_INTERVAL: Final = 0.1
_LOOK_INTERVAL: Final = 0.2

#: What clients are told to wait, in seconds, when :data:`BOUND` is over.
_RETRY_AFTER: Final = 10


class Hold:
    """A name that is held.  Whoever has claimed it releases it.

    :param file: stands for it.
    :param blocking: does what blocks.
    :param forget: is called when it is released.
    :ivar wanted: fires when somebody else claims the name, within half a second.
    """

    def __init__(self, file: HoldFile, blocking: IBlocking, forget: Callable[[Hold], None]) -> None:
        self.file = file
        self.wanted: Deferred[None] = Deferred()
        self._blocking = blocking
        self._forget = forget

    @property
    def seized(self) -> bool:
        """Whether the name was taken from a process that did not answer.

        Some day that may go on with what it has open: such files must not be used in
        place.  Whoever has the name next is told the same, until they are :meth:`replaced`.
        """
        return self.file.seized

    def replaced(self) -> None:
        """Note that nothing is used any more that such a process may have open."""
        self.file.seized = False

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Let nobody take the name away meanwhile.  Blocks for a moment.

        :raises Conflict: if somebody has taken it away.
        """
        if not self.file.keep():
            raise taken_over()
        try:
            yield
        finally:
            self.file.offer()

    def lost(self) -> bool:
        """Whether somebody has taken the name away.  Blocks for a moment.

        Ask in the same thread right before each change of what the name stands for.
        """
        return self.file.lost()

    async def committing(self) -> None:
        """Let nobody take the name away, until :meth:`yielding` or as long as this process lives.

        Whoever claims it meanwhile waits, and is refused in the end.

        :raises Conflict: if somebody has taken it away.
        """
        if not await self._blocking.run(self.file.keep):
            raise taken_over()

    async def yielding(self) -> None:
        """Let others take the name away again if this process does not answer."""
        await self._blocking.run(self.file.offer)

    async def release(self) -> None:
        """Let others have the name.  Harmless when repeated."""
        self._forget(self)
        await self._blocking.run(self.file.close)


class Holds:
    """Lends names.

    :param directory: opens the directory in which a file stands for each name that is
        held, and makes it if it is missing.  It is called in threads, and what it returns
        is closed after each use.
    :param blocking: does what blocks.
    :param clock: the reactor.
    """

    def __init__(
        self, directory: Callable[[], int], blocking: IBlocking, clock: IReactorTime
    ) -> None:
        self._directory = directory
        self._blocking = blocking
        self._clock = clock
        self._watch = _Watch(blocking, clock)

    async def claim(self, name: str) -> Hold:
        """Claim a name, wherever it is held now.

        Its holder is asked to release it.  From one that does not answer it is taken away.

        :raises ServiceUnavailable: if the holder lets nobody do that, for too long.
        :raises OSError: from the file system.
        """
        attempt = Attempt(self._directory, _file_name(name))
        try:
            while not isinstance(
                reached := await self._blocking.run(attempt.step, self._clock.seconds()), HoldFile
            ):
                if reached > BOUND:
                    raise ServiceUnavailable(
                        "the server still works on this upload; try again later", _RETRY_AFTER
                    )
                await deferLater(self._clock, _TRY_INTERVAL)
        except BaseException:
            # Also if nobody waits any more: a step may be under way then.
            Deferred.fromCoroutine(self._give_up(attempt))
            raise
        return self._hold(reached)

    async def claim_unheld(self, name: str) -> Hold | None:
        """Claim a name if nobody holds it; ask nobody.

        :raises OSError: from the file system.
        """
        attempt = Attempt(self._directory, _file_name(name))
        file = await self._blocking.run(attempt.try_)
        return None if file is None else self._hold(file)

    async def sweep(self) -> int:
        """Remove what killed processes have left; returns how many files that were.

        :raises OSError: from the file system.
        """
        return await self._blocking.run(sweep, self._directory)

    async def _give_up(self, attempt: Attempt) -> None:
        await self._blocking.run(attempt.give_up)

    def _hold(self, file: HoldFile) -> Hold:
        hold = Hold(file, self._blocking, self._watch.remove)
        self._watch.add(hold)
        return hold


class _Watch:
    """Looks whether names are asked for that are held here: all of them in one job."""

    def __init__(self, blocking: IBlocking, clock: IReactorTime) -> None:
        self._blocking = blocking
        self._clock = clock
        self._holds: set[Hold] = set()
        self._next: IDelayedCall | None = None
        self._looking = False

    def add(self, hold: Hold) -> None:
        self._holds.add(hold)
        self._look_later()

    def remove(self, hold: Hold) -> None:
        self._holds.discard(hold)
        if not self._holds and self._next is not None:
            self._next.cancel()
            self._next = None

    def _look_later(self) -> None:
        if self._holds and self._next is None and not self._looking:
            self._next = self._clock.callLater(_LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._next, self._looking = None, True
        Deferred.fromCoroutine(self._tell())

    async def _tell(self) -> None:
        wanted = await self._blocking.run(_wanted, list(self._holds))
        self._looking = False
        for hold in wanted:
            if hold in self._holds:
                self._holds.discard(hold)
                hold.wanted.callback(None)
        self._look_later()


def taken_over() -> Conflict:
    """Make what a client is told whose upload goes on elsewhere."""
    return Conflict("the upload goes on in another request; ask how much of it has arrived")


def _wanted(holds: Sequence[Hold]) -> list[Hold]:
    return [hold for hold in holds if hold.file.wanted()]


def _file_name(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
