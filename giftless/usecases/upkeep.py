"""What a worker does all the time, beside serving: ask the catalogue, and empty the trash."""

from __future__ import annotations

import fcntl
import os
from typing import Final

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.auth.aliases import Moved
from giftless.base.repeated import Repeated
from giftless.interfaces import IBlocking, WallClock
from giftless.usecases.locks import By
from giftless.usecases.presence import Presence
from giftless.usecases.repositories import REFRESHED
from giftless.usecases.trash import Trash

_log = Logger()

#: How long a worker that starts waits for the catalogue, in seconds.
FIRST: Final = 3.0

#: How often it is looked whether the trash is to be emptied, in seconds.
LOOKED: Final = 60.0

#: How often what is older than ``trash.keep`` is deleted, in seconds; more often if that is
#: less than a day.
PURGED: Final = 3600.0

#: How often copies are deleted that are not needed, in seconds: the whole trash is listed.
SWEPT: Final = 86_400.0

#: Who does it, in events and in the log.
BY: Final = By("giftless (trash.keep)")


class Refreshing(Repeated):
    """Lets a worker know what the catalogue knows about whole repositories.

    :param presence: is told which have something in the trash.
    :param moved: is told which were renamed.
    :param trash: has the catalogue.
    :param clock: waits.
    """

    def __init__(self, presence: Presence, moved: Moved, trash: Trash, clock: IReactorTime) -> None:
        super().__init__(self.refresh, REFRESHED, clock)
        self._clock = clock
        self._presence = presence
        self._moved = moved
        self._catalogue = trash.catalogue

    async def begin(self) -> None:
        """Ask for the first time, but hold nobody up who starts."""
        asking = Deferred.fromCoroutine(self.attempt())
        asking.addTimeout(FIRST, self._clock)
        try:
            await asking
        except TimeoutError:
            _log.warn("the catalogue does not answer; it is asked again later")

    async def refresh(self) -> None:
        """Ask the catalogue, and tell it what it could not be told before.

        :raises ServiceUnavailable: if it fails; what is known stays.
        """
        self._moved.update(await self._catalogue.aliases())
        self._presence.trashing = frozenset(await self._catalogue.trashing())
        await self._presence.flush()


class _Done(msgspec.Struct):
    """When something was done last, in seconds since the epoch."""

    purged: float = 0.0
    swept: float = 0.0


class _Note:
    """A file that says what was done, and that one process at a time has.

    Everything here blocks.

    :ivar done: what it says.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        try:
            self.done = msgspec.json.decode(os.pread(fd, 4096, 0), type=_Done)
        except ValueError:
            self.done = _Done()

    @classmethod
    def taken(cls, path: str) -> _Note | None:
        """Take the file, which is made if it is missing; ``None`` if somebody has it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return cls(fd)

    def write(self) -> None:
        """Write down what was done."""
        text = msgspec.json.encode(self.done)
        os.pwrite(self._fd, text, 0)
        os.truncate(self._fd, len(text))

    def close(self) -> None:
        """Let others have the file."""
        os.close(self._fd)


class Purging(Repeated):
    """Deletes what has been in the trash for too long, in one worker at a time.

    :param trash: what is emptied.
    :param state_dir: where it is noted when that was done.
    :param blocking: reads and writes that note.
    :param clock: waits.
    :param wall_clock: tells the time of day.
    """

    def __init__(
        self,
        trash: Trash,
        state_dir: str,
        blocking: IBlocking,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        super().__init__(self.purge, LOOKED, clock)
        self._trash = trash
        self._path = os.path.join(state_dir, "trash.json")
        self._blocking = blocking
        self._wall_clock = wall_clock
        self._every = min(PURGED, max(LOOKED, trash.keep / 24))

    async def purge(self) -> None:
        """Empty the trash if it is time, and if no other worker does."""
        note = await self._blocking.run(_Note.taken, self._path)
        if note is None:
            return
        try:
            now = self._wall_clock()
            done = note.done
            # A clock that was set back does not stop it.
            if not now - self._every < done.purged <= now:
                await self._purge(now)
                done.purged = now
            if not now - SWEPT < done.swept <= now:
                await self._trash.sweep(BY)
                done.swept = now
            await self._blocking.run(note.write)
        finally:
            await self._blocking.run(note.close)

    async def _purge(self, now: float) -> None:
        await self._trash.rescue()
        count = await self._trash.purge_older(now - self._trash.keep, BY)
        if count:
            _log.info("{count} objects in the trash have been deleted for good", count=count)
