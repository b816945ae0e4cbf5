"""Gather what workers do, from all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import count
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from giftless.monitoring.activity import (
    MAX_EVENTS,
    MAX_UPLOADS,
    OF_OBJECTS,
    Recent,
    Report,
    RepositoryTraffic,
    Running,
    Traffic,
)
from giftless.runtime.questions import ACTIVITY, MAX_PATIENCE, Unanswered

#: How often workers are asked, in seconds, and how often at most if somebody looks.
INTERVAL: Final = 10.0
SHORTEST: Final = 2.0

#: For how many seconds who looks waits for their answers.
PATIENCE: Final = 1.0

#: How long what was done for a repository is remembered: steps, and seconds of each.
STEPS: Final = 12
STEP: Final = 300

#: How many repositories are told apart.
MAX_TOLD: Final = 50

#: Asks all workers something, by a question's name.
AskAll = Callable[..., list[Deferred[bytes]]]


class Gatherer:
    """Asks workers what they do, and remembers it.

    :param ask_all: asks them, see
        :meth:`giftless.runtime.supervision.supervisor.Supervisor.ask_all`.
    :param pids: returns the processes that run.
    :param clock: tells the time.
    """

    def __init__(
        self, ask_all: AskAll, pids: Callable[[], Collection[int]], clock: IReactorTime
    ) -> None:
        self._ask_all = ask_all
        self._pids = pids
        self._clock = clock
        self._asked_at = float("-inf")
        self._answers: Deferred[Any] = DeferredList([])
        self._steps: dict[int, Traffic] = {}
        self._refusals, self._objects, self._events = Recents(), Recents(), Recents()
        self._uploads: dict[int, Report] = {}

    def ask(self, interval: float = SHORTEST) -> None:
        """Ask all workers, unless that was done just now.

        :param interval: how many seconds ago that may have been.
        """
        now = self._clock.seconds()
        if now - self._asked_at < interval:
            return
        self._asked_at = now
        # One that was stopped for a while answers all that it was asked: nothing is lost.
        asked = self._ask_all(ACTIVITY, patience=MAX_PATIENCE)
        for answer in asked:
            answer.addCallback(self.take)
            answer.addErrback(lambda failure: failure.trap(Unanswered, msgspec.MsgspecError))
        self._answers = DeferredList(asked)

    async def gather(self) -> None:
        """Ask all workers, and wait for those that answer at once."""
        self.ask()
        await wait_for(self._answers, self._clock)

    def take(self, answer: bytes) -> None:
        """Remember what a worker has answered.

        :raises msgspec.MsgspecError: if it says what this version does not know.
        """
        report = msgspec.json.decode(answer, type=Report)
        step = int(self._clock.seconds() // STEP)
        if step not in self._steps:
            self._forget(step)
            self._steps[step] = Traffic()
        self._steps[step].add(report.repositories)
        for event in report.events:
            self._of(event).add(event)
        self._uploads[report.worker] = report

    async def told(self, payload: bytes) -> bytes:
        """Answer a worker that tells what it has done before it ends."""
        self.take(payload)
        return b"null"

    def repositories(self) -> list[RepositoryTraffic]:
        """Return the busiest repositories of the last hour."""
        self._forget(int(self._clock.seconds() // STEP))
        hour = Traffic()
        for traffic in self._steps.values():
            hour.add(traffic.busiest())
        return hour.busiest(MAX_TOLD)

    def events(self) -> list[Recent]:
        """Return what has happened, the newest first."""
        events = [*self._refusals, *self._objects, *self._events]
        return sorted(events, key=lambda event: event.at, reverse=True)

    def uploads(self) -> tuple[list[Running], int]:
        """Return the uploads that run, the oldest first, and how many there are."""
        running = set(self._pids())
        self._uploads = {pid: it for pid, it in self._uploads.items() if pid in running}
        reports = self._uploads.values()
        told = [upload for report in reports for upload in report.transfers]
        told.sort(key=lambda upload: upload.began_at)
        return told[:MAX_UPLOADS], sum(report.running_total for report in reports)

    def _of(self, event: Recent) -> Recents:
        if event.cause:
            return self._refusals
        return self._objects if event.kind in OF_OBJECTS else self._events

    def _forget(self, step: int) -> None:
        self._steps = {at: it for at, it in self._steps.items() if at > step - STEPS}


async def wait_for(answers: Deferred[Any], clock: IReactorTime) -> None:
    """Wait until something is known, for :data:`PATIENCE` seconds at most; it goes on then."""
    waiting: Deferred[None] = Deferred()
    late = clock.callLater(PATIENCE, waiting.callback, None)

    def answered(result: Any) -> Any:
        if not waiting.called:
            late.cancel()
            waiting.callback(None)
        return result

    answers.addBoth(answered)
    await waiting


class Recents:
    """The last events; refusals of one cause for one repository are one, and so is what
    happens to many objects of one repository.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._events: dict[object, Recent] = {}

    def add(self, event: Recent) -> None:
        """Add an event; the one that has not come for longest may go for it."""
        many = event.cause or event.kind in OF_OBJECTS
        alike: object = (event.kind, event.cause, event.repo) if many else next(self._numbers)
        before = self._events.pop(alike, None)
        if before is not None:
            event = msgspec.structs.replace(
                event, count=event.count + before.count, since=before.since
            )
        self._events[alike] = event
        if len(self._events) > MAX_EVENTS // 3:
            del self._events[next(iter(self._events))]

    def __iter__(self) -> Iterator[Recent]:
        return iter(self._events.values())
