"""Keep as many worker processes as are wanted, and replace them one by one.

The supervisor compares what runs with what is wanted, whatever has happened
(a worker is ready, has ended, or is silent; other workers are wanted), and
takes the next step from there.  It knows nothing of what workers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from giftless.base.metrics.tally import Tally
from giftless.runtime.questions import PATIENCE, Answerer
from giftless.runtime.supervision.process import (
    COMPLAINTS,
    COUNTS,
    FIRST_SOCKET,
    HEARTBEAT,
    LOG,
    ORDERS,
    QUIET,
    SHARED,
    STATUS,
    Plan,
    Worker,
)

_log = Logger(namespace="giftless.workers")

#: Workers that die within so many seconds count as dying repeatedly, and
#: the longest that the next one is then put off.
RECENT: Final = 60
LONGEST_DELAY: Final = 30


class WorkerFailed(Exception):
    """A worker of a new plan cannot start; the text says why."""


class Supervisor(Service):
    """Starts, replaces and ends workers.

    :param kind: what the log calls one of them: ``worker``.
    :param reactor: starts processes, and tells the time.
    :param command: the command line of a worker.
    :param environ: its environment.
    :param directory: where it runs.
    :param write: takes whole lines of workers' logs.
    :param changed: is called when a worker's state has changed.
    :param tally: adds up what workers count.
    :ivar answers: who answers what workers ask, by the names of the questions.
    :ivar started: how many have been started so far.
    :ivar died: how many have failed while they served, or were killed at any time.
    """

    def __init__(
        self,
        kind: str,
        reactor: Any,
        command: Sequence[str],
        environ: Mapping[str, str],
        directory: str,
        write: Callable[[bytes], object],
        changed: Callable[[], object],
        tally: Tally,
    ) -> None:
        self.kind = kind
        self._reactor = reactor
        self._command = command
        self._environ = environ
        self._directory = directory
        self._changed = changed
        self._tally = tally
        self.answers: dict[str, Answerer] = {}
        self.started = 0
        self.died = 0
        self.write = write
        self._plan: Plan | None = None
        self._proven: Plan | None = None
        self._trial: Deferred[None] | None = None
        self._workers: list[Worker] = []
        self._deaths: list[float] = []
        self._later: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None
        self._pulse = LoopingCall(self._beat)
        self._pulse.clock = reactor

    # -- for the daemon

    @property
    def plural(self) -> str:
        """What several of them are called."""
        return f"{self.kind}{'es' if self.kind.endswith('s') else 's'}"

    @property
    def plan(self) -> Plan | None:
        """Which workers are wanted; ``None`` before the start and after the end."""
        return self._plan

    @property
    def settled(self) -> bool:
        """Whether as many workers as are wanted serve, and no others accept connections."""
        serving = self._in("serving")
        return (
            self._plan is not None
            and len(serving) == self._plan.number
            and all(worker.plan is self._plan for worker in serving)
        )

    @property
    def answering(self) -> bool:
        """Whether some worker serves and has said so lately."""
        return bool(self._answering())

    @property
    def processes(self) -> list[Worker]:
        """The workers whose processes run, the oldest first."""
        return [worker for worker in self._workers if worker.pid]

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that run."""
        return [worker.pid for worker in self.processes]

    @property
    def states(self) -> dict[str, int]:
        """How many workers are in each state."""
        return {state: len(self._in(state)) for state in ("serving", "starting", "leaving")}

    def ask(
        self, name: str, payload: bytes = b"null", patience: float = PATIENCE
    ) -> Deferred[bytes] | None:
        """Ask the worker that serves and has been heard of last: another may hang.

        See :meth:`giftless.runtime.questions.Questions.ask`.

        :returns: ``None`` if no worker answers.
        """
        answering = self._answering()
        if not answering:
            return None
        return min(answering, key=attrgetter("silence")).ask(name, payload, patience)

    def ask_all(
        self, name: str, payload: bytes = b"null", patience: float = PATIENCE
    ) -> list[Deferred[bytes]]:
        """Ask all workers that serve or are leaving; one answer of each."""
        asked = [*self._in("serving"), *self._in("leaving")]
        return [worker.ask(name, payload, patience) for worker in asked]

    @property
    def status(self) -> str:
        """How many workers are in each state, in one line."""
        counts = [f"{count} {state}" for state, count in self.states.items() if count]
        return f"{self.plural}: {', '.join(counts) or 'none'}"

    def replace(self, plan: Plan) -> Deferred[None]:
        """Replace all workers, if there are any, one by one.

        Not while the outcome of another plan is open.

        :returns: fires when the first of the new ones serves, if there are any; the
            others follow.  Fails with :class:`WorkerFailed` if it cannot start: then
            all is as it was.
        """
        assert self._trial is None, "one trial at a time"
        self._trial = trial = Deferred[None]()
        self._plan = plan
        self._deaths.clear()
        self._step()
        if not plan.number:
            self._proven, self._trial = plan, None
            trial.callback(None)
        return trial

    def tell_one(self, order: bytes) -> None:
        """Pass one line on to one worker that serves; to none, if none does."""
        for worker in self._in("serving"):
            if worker.plan is self._plan:
                worker.tell(order)
                return

    def startService(self) -> None:
        """Begin to count the workers' heartbeats."""
        super().startService()
        self._pulse.start(HEARTBEAT, now=False)

    def stopService(self) -> Deferred[None]:
        """Let all workers finish what they do.

        :returns: fires when they have ended; they are killed if they do not in
            the time that their plan gives them.
        """
        super().stopService()
        self._plan = self._trial = None
        self._ended = Deferred()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        patience = max((worker.plan.patience for worker in self._workers), default=0)
        kill = self._reactor.callLater(patience, self._kill_all)
        for worker in self._workers:
            worker.terminate()

        def ended(result: None) -> None:
            if kill.active():
                kill.cancel()
            self._pulse.stop()

        self._step()
        return self._ended.addCallback(ended)

    # -- what workers report

    def ready(self, worker: Worker) -> None:
        """See :class:`~giftless.runtime.supervision.process.Reports`."""
        _log.info("{kind} {pid} is ready", kind=self.kind, pid=worker.pid)
        if worker.plan is self._plan:
            self._proven = self._plan
            if self._trial is not None:
                trial, self._trial = self._trial, None
                trial.callback(None)
        self._step()

    def over(self, worker: Worker, reason: str, killed: bool) -> None:
        """See :class:`~giftless.runtime.supervision.process.Reports`."""
        self._workers.remove(worker)
        self._tally.retire(worker.counted)
        if worker.state == "leaving":
            if killed:
                _log.error("{reason} before it had finished", pid=worker.pid, reason=reason)
            else:
                _log.info("{kind} {pid} has ended", kind=self.kind, pid=worker.pid)
            self.died += killed
        elif self._trial is not None and worker.state == "starting" and worker.plan is self._plan:
            self._plan = self._proven
            trial, self._trial = self._trial, None
            trial.errback(WorkerFailed(reason))
            self.died += killed
        else:
            _log.error("{reason}; another takes its place", pid=worker.pid, reason=reason)
            self._deaths.append(self._reactor.seconds())
            self.died += 1
        self._step()

    # -- the next step

    def _in(self, state: str) -> list[Worker]:
        return [worker for worker in self._workers if worker.state == state]

    def _answering(self) -> list[Worker]:
        return [worker for worker in self._in("serving") if worker.silence < QUIET]

    def _step(self) -> None:
        """Start, retire or end workers until those that run are those that are wanted."""
        if self._ended is not None:
            if not self._workers and not self._ended.called:
                self._ended.callback(None)
            return
        plan = self._plan
        for worker in self._in("starting"):
            if worker.plan is not plan:
                worker.terminate()
        if plan is None:
            return
        serving = self._in("serving")
        stale = [worker for worker in serving if worker.plan is not plan]
        starting = len(self._in("starting"))
        while (missing := plan.number - (len(serving) - len(stale)) - starting) > 0:
            # What is not there at all is started at once, the rest one by one.
            if starting and missing <= len(stale):
                break
            if not self._may_start(plan) or not self._start(plan):
                break
            starting += 1
        for worker in stale[: max(0, len(serving) - plan.number)]:
            worker.retire()
        self._changed()

    def _may_start(self, plan: Plan) -> bool:
        """Tell whether a worker may start now; if not, try again when one may.

        Workers that keep dying are replaced more and more slowly.
        """
        now = self._reactor.seconds()
        self._deaths = [death for death in self._deaths if now - death < RECENT]
        # As many as there are may die once, at once.
        often = len(self._deaths) - plan.number
        if often <= 0:
            return True
        delay = min(2 ** (often - 1), LONGEST_DELAY)
        wait = self._deaths[-1] + delay - now
        if wait <= 0:
            return True
        if self._later is None:
            self._later = self._reactor.callLater(min(wait, delay), self._resume)
        return False

    def _resume(self) -> None:
        self._later = None
        self._step()

    def _start(self, plan: Plan) -> bool:
        counted = self._tally.open()
        worker = Worker(self, plan, counted, self._reactor)
        self._workers.append(worker)
        self.started += 1
        descriptors: dict[int, int | str] = {ORDERS: "w", LOG: "r", COMPLAINTS: "r", STATUS: "r"}
        descriptors[SHARED] = plan.shared
        descriptors[COUNTS] = counted.descriptor
        descriptors.update(enumerate(plan.sockets, FIRST_SOCKET))
        try:
            self._reactor.spawnProcess(
                worker,
                self._command[0],
                self._command,
                self._environ,
                self._directory,
                childFDs=descriptors,
            )
        except OSError as error:
            reason = f"no {self.kind} can be started: {error.strerror}"
            self._reactor.callLater(0, self.over, worker, reason, False)
            return False
        finally:
            counted.close()
        return True

    def _beat(self) -> None:
        for worker in list(self._workers):
            worker.beat()

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()
