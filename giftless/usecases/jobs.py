"""Long operations that one request begins and later ones ask about.

A client may not wait for hours, and may go away.  So an operation goes on by itself in the
process in which it began; the same request, sent again, learns how far it has come and in
the end how it ended, whichever process of the machine gets it.  If the process dies, the
same request begins it again, and it goes on from what is done: so each operation must bear
to be repeated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.base.exclusive import Exclusive, Held
from giftless.base.uncaught import uncaught
from giftless.errors import Conflict, LFSError, ServiceUnavailable
from giftless.interfaces import IBlocking, WallClock

_log = Logger()

#: How many operations run at once in a process.
MAX_RUNNING: Final = 4

#: How often the progress is told to other processes, in seconds.
_NOTE_INTERVAL: Final = 1.0

#: How often somebody who waits for another process looks at its note, in seconds.
_LOOK_INTERVAL: Final = 0.5

#: For how many seconds an outcome that nobody was told is kept.
_KEEP: Final = 3600.0

#: When somebody is told to come again, in seconds.
RETRY_AFTER: Final = 2


class Job(msgspec.Struct, frozen=True):
    """An operation.

    :ivar operation: what is done: a word.
    :ivar repo: to which repository; empty for all.
    :ivar to: where its objects go; empty if nowhere.
    """

    operation: str
    repo: str = ""
    to: str = ""

    def __str__(self) -> str:
        words = [self.operation]
        if self.repo:
            words += ["of", self.repo]
        if self.to:
            words += ["to", self.to]
        return " ".join(words)


class State(msgspec.Struct, frozen=True):
    """How far an operation is.

    :ivar done: how many objects are done.
    :ivar began_at: in seconds since the epoch.
    :ivar ended_at: the same; 0 while it runs.
    :ivar result: what came of it, as JSON.
    :ivar status: the HTTP status that stands for how it ended.
    :ivar problem: why it failed; empty if it did not.
    """

    job: Job
    done: int
    began_at: float
    ended_at: float = 0.0
    result: msgspec.Raw = msgspec.Raw(b"null")
    status: int = 200
    problem: str = ""


class JobFailed(LFSError):
    """An operation failed while nobody waited for it.

    :param code: the HTTP status.
    """

    cause = "job-failed"

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


#: Does the work; is given what counts objects that are done, and returns JSON.
Work = Callable[[Callable[[int], None]], Awaitable[bytes]]


class _Running:
    """An operation that runs in this process.

    :ivar waiting: who is told when it ends.
    """

    def __init__(self, state: State, held: Held, clock: IReactorTime) -> None:
        self.state = state
        self.waiting: list[Deferred[State]] = []
        self._held = held
        self._clock = clock
        self._noted_at = clock.seconds()

    def add(self, count: int) -> None:
        """Count objects that are done, and tell others now and then."""
        self.state = msgspec.structs.replace(self.state, done=self.state.done + count)
        if self._clock.seconds() >= self._noted_at + _NOTE_INTERVAL:
            self._noted_at = self._clock.seconds()
            # A full disk must not end the operation.
            with contextlib.suppress(OSError):
                self._held.note(msgspec.json.encode(self.state))

    def release(self, told: bool) -> None:
        """Let others begin; leave the outcome if nobody was told."""
        if not told:
            self._held.note(msgspec.json.encode(self.state))
        self._held.release(keep=not told)


class Jobs:
    """Runs operations, each repository at one at a time.

    :param directory: where processes of this machine tell each other what they do.
    :param clock: the reactor.
    :param blocking: reads and writes there.
    :param wall_clock: tells when something began.
    """

    def __init__(
        self, directory: str, clock: IReactorTime, blocking: IBlocking, wall_clock: WallClock
    ) -> None:
        self._names = Exclusive(directory)
        self._clock = clock
        self._blocking = blocking
        self._wall_clock = wall_clock
        self._running: dict[Job, _Running] = {}

    async def run(self, job: Job, names: Sequence[str], work: Work, patience: float) -> State:
        """Begin an operation or ask how far it is, and wait for its end for a while.

        :param names: what no other operation may be at meanwhile.
        :param work: does the work; not called if it is done here or elsewhere already.
        :param patience: for how many seconds its end is waited for.
        :returns: how it ended, or how far it is.
        :raises Conflict: if another operation is at one of these names.
        :raises ServiceUnavailable: if too many run.
        :raises LFSError: if the work does, or did while nobody waited.
        """
        deadline = self._clock.seconds() + patience
        while (running := self._running.get(job)) is None:
            if len(self._running) >= MAX_RUNNING:
                raise ServiceUnavailable("too many long operations run already", 30)
            found = await self._take(job, names)
            if isinstance(found, _Running):
                ended = Deferred.fromCoroutine(self._wait(found, deadline))
                Deferred.fromCoroutine(self._do(found, work))
                return await ended
            if found.ended_at:
                return _outcome(found)
            if self._clock.seconds() >= deadline:
                return found
            await deferLater(self._clock, _LOOK_INTERVAL)
        return await self._wait(running, deadline)

    async def _take(self, job: Job, names: Sequence[str]) -> _Running | State:
        """Make an operation this process's, or say how far another one is with it."""
        state = State(job, 0, self._wall_clock())
        note = msgspec.json.encode(state)
        found = await self._blocking.run(self._names.take, names, note)
        if isinstance(found, bytes):
            other = _read(found)
            if other is not None and other.job != job:
                raise Conflict(f"another operation is not at its end: {other.job}; try again then")
            return other or state
        before = _read(found.before)
        if before is not None and before.job == job and self._is_fresh(before):
            await self._blocking.run(found.release)
            return before
        running = self._running[job] = _Running(state, found, self._clock)
        return running

    def _is_fresh(self, state: State) -> bool:
        return bool(state.ended_at) and self._wall_clock() - state.ended_at < _KEEP

    async def _do(self, running: _Running, work: Work) -> None:
        try:
            result = msgspec.Raw(await work(running.add))
        except Exception as error:
            job = running.state.job
            told = error if isinstance(error, LFSError) else uncaught(Failure(), f"for a {job}")
            ended: State | LFSError = told
            kept = {"status": told.code, "problem": told.message}
        else:
            ended, kept = running.state, {"result": result}
        at = self._wall_clock()
        running.state = state = msgspec.structs.replace(running.state, ended_at=at, **kept)
        waiting, running.waiting = running.waiting, []
        try:
            await self._blocking.run(running.release, bool(waiting))
        except OSError as error:
            _log.warn("the end of {job} cannot be noted: {reason}", job=state.job, reason=error)
        del self._running[state.job]
        for each in waiting:
            if isinstance(ended, LFSError):
                each.errback(Failure(ended))
            else:
                each.callback(state)

    async def _wait(self, running: _Running, deadline: float) -> State:
        """Wait for the end of an operation, which goes on however that ends."""
        ended: Deferred[State] = Deferred()
        running.waiting.append(ended)

        def give_up() -> None:
            if ended in running.waiting:
                running.waiting.remove(ended)
                ended.callback(running.state)

        timer: Any = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), give_up)
        try:
            return await ended
        finally:
            if timer.active():
                timer.cancel()


def _read(note: bytes) -> State | None:
    try:
        return msgspec.json.decode(note, type=State)
    except ValueError:
        return None


def _outcome(state: State) -> State:
    if state.problem:
        raise JobFailed(state.problem, state.status)
    return state
