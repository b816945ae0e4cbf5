"""Keep as many worker processes as are wanted, and replace them one by one.

A worker is told by its standard input what to do: one line of orders when it
starts, later perhaps :data:`RETIRE`; the end of the input means that nobody
supervises it any more.  It answers on a pipe of its own, in lines: when it is
ready, every few seconds that it is alive, or why it cannot start.  What it
logs comes on its standard output, in whole lines, and is passed on as it is.

The supervisor compares what runs with what is wanted, whatever has happened
(a worker is ready, has ended, or is silent; other workers are wanted), and
takes the next step from there.  It knows nothing of what workers do.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger(namespace="giftless.workers")

#: The descriptors of a worker: orders come on its standard input, the log goes
#: to its standard output, what it says goes to STATUS, and the listening
#: sockets follow.
ORDERS: Final = 0
LOG: Final = 1
COMPLAINTS: Final = 2
STATUS: Final = 3
FIRST_SOCKET: Final = 4

#: Tells a worker to accept no more connections, and to end when the last of
#: those that it has is over.
RETIRE: Final = b"retire"

#: What a worker says: it serves; it is alive; it cannot start, and why.
READY: Final = b"ready"
ALIVE: Final = b"alive"
FAILED: Final = b"failed"

#: How often a worker says that it is alive, in seconds.
HEARTBEAT: Final = 5

#: After how many heartbeats without a word a worker is killed, and how many it
#: may take to start.  Counted, not measured: clocks jump.
SILENT: Final = 6
STARTING: Final = 12

#: Workers that die within so many seconds count as dying again and again, and
#: the longest that the next one is then put off.
RECENT: Final = 60
LONGEST_DELAY: Final = 30


class WorkerFailed(Exception):
    """Workers of the kind that was wanted cannot start; the text says why."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What is wanted.

    :ivar number: how many workers.
    :ivar orders: what each is told, in one line.
    :ivar sockets: the descriptors of the listening sockets that it inherits.
    :ivar patience: how long it may take to end after SIGTERM, in seconds.
    """

    number: int
    orders: bytes
    sockets: Sequence[int]
    patience: float


class Supervisor(Service):
    """Starts, replaces and ends workers.

    :param reactor: starts processes, and tells the time.
    :param command: the command line of a worker.
    :param environ: its environment.
    :param directory: where it runs.
    :param write: takes whole lines of workers' logs.
    :param changed: is called whenever something is different.
    """

    def __init__(
        self,
        reactor: Any,
        command: Sequence[str],
        environ: Mapping[str, str],
        directory: str,
        write: Callable[[bytes], object],
        changed: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._command = command
        self._environ = environ
        self._directory = directory
        self._changed = changed
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

    # -- what others want to know and have done

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
        return any(worker.silence < SILENT for worker in self._in("serving"))

    @property
    def status(self) -> str:
        """How it stands, in one line."""
        counts = [(state, len(self._in(state))) for state in ("serving", "starting", "leaving")]
        return "workers: " + (
            ", ".join(f"{count} {state}" for state, count in counts if count) or "none"
        )

    def replace(self, plan: Plan) -> Deferred[None]:
        """Replace all workers, if there are any, one by one.

        Not while the outcome of another plan is open.

        :returns: fires when the first of the new ones serves; the others
            follow.  Fails with :class:`WorkerFailed` if it cannot start: then
            all is as it was.
        """
        assert self._trial is None, "one trial at a time"
        self._trial = trial = Deferred[None]()
        self._plan = plan
        self._deaths.clear()
        self._step()
        return trial

    def startService(self) -> None:
        """Begin to listen for the workers' heartbeats."""
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
        """A worker serves."""
        _log.debug("worker {pid} is ready", pid=worker.pid)
        if worker.plan is self._plan:
            self._proven = self._plan
            if self._trial is not None:
                trial, self._trial = self._trial, None
                trial.callback(None)
        self._step()

    def over(self, worker: Worker, reason: str) -> None:
        """A worker has ended.

        :param reason: how, or what it said of it.
        """
        self._workers.remove(worker)
        if worker.state == "leaving":
            _log.debug("worker {pid} has ended", pid=worker.pid)
        elif self._trial is not None and worker.state == "starting" and worker.plan is self._plan:
            self._plan = self._proven
            trial, self._trial = self._trial, None
            trial.errback(WorkerFailed(reason))
        else:
            _log.error(
                "worker {pid} {reason}; another takes its place", pid=worker.pid, reason=reason
            )
            self._deaths.append(self._reactor.seconds())
        self._step()

    # -- the next step

    def _in(self, state: str) -> list[Worker]:
        return [worker for worker in self._workers if worker.state == state]

    def _step(self) -> None:
        """Do what follows from what runs and what is wanted."""
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
        """Whether it is time for another worker; if not, come back when it is."""
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
        worker = Worker(self, plan)
        self._workers.append(worker)
        descriptors: dict[int, int | str] = {ORDERS: "w", LOG: "r", COMPLAINTS: "r", STATUS: "r"}
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
            self._reactor.callLater(0, self.over, worker, f"cannot be started: {error.strerror}")
            return False
        return True

    def _beat(self) -> None:
        for worker in list(self._workers):
            worker.beat()

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()


class Worker(ProcessProtocol):
    """One worker process, as its supervisor sees it.

    :ivar plan: what it was started for.
    :ivar state: ``starting``; ``serving``, that is, accepting connections; or
        ``leaving``, when it has been told to end.
    :ivar silence: how many heartbeats it has missed.
    :ivar pid: the number of the process, 0 if it could not be started.
    """

    transport: Any
    pid: int = 0

    def __init__(self, supervisor: Supervisor, plan: Plan) -> None:
        self._supervisor = supervisor
        self.plan = plan
        self.state = "starting"
        self.silence = 0
        self._problem = ""
        self._begun = {LOG: b"", COMPLAINTS: b"", STATUS: b""}

    def connectionMade(self) -> None:
        """Give the process its orders."""
        self.pid = self.transport.pid
        self._order(self.plan.orders)

    def retire(self) -> None:
        """Let it finish what it does, however long that takes."""
        self.state = "leaving"
        self._order(RETIRE)

    def terminate(self) -> None:
        """Let it end soon."""
        self.state = "leaving"
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def beat(self) -> None:
        """Count the silence; kill it if it is too long."""
        self.silence += 1
        limit = STARTING if self.state == "starting" else SILENT
        if self.silence == limit:
            _log.error("worker {pid} does not answer and is killed", pid=self.pid)
            # It shows where it hangs, if it still can.
            self._signal(signal.SIGABRT)
        elif self.silence > limit:
            self.kill()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take what the process writes, line by line."""
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._begun[childFD] += data
            return
        lines = self._begun[childFD] + whole
        self._begun[childFD] = rest
        if childFD == LOG:
            self._supervisor.write(lines + b"\n")
            return
        for line in lines.splitlines():
            if childFD == STATUS:
                self._hear(line)
            else:
                self._complain(line)

    def processEnded(self, reason: Failure) -> None:
        """The process has ended, and all that it wrote has been read."""
        for rest in (self._begun[LOG], self._begun[COMPLAINTS]):
            if rest:
                self._complain(rest)
        self._supervisor.over(self, self._problem or _how(reason.value))

    def _hear(self, line: bytes) -> None:
        self.silence = 0
        word, _, text = line.partition(b" ")
        if word == FAILED:
            self._problem = text.decode(errors="replace")
        elif word == READY and self.state == "starting":
            self.state = "serving"
            self._supervisor.ready(self)

    def _complain(self, line: bytes) -> None:
        _log.warn("{line}", line=line.decode(errors="backslashreplace"), worker=self.pid)

    def _order(self, order: bytes) -> None:
        # It may have closed its input, or be gone, and its end not be known yet.
        with contextlib.suppress(KeyError):
            self.transport.writeToChild(ORDERS, order + b"\n")

    def _signal(self, number: int) -> None:
        if self.transport is not None:
            with contextlib.suppress(ProcessExitedAlready):
                self.transport.signalProcess(number)


def _how(end: Any) -> str:
    """Say how a process ended.

    :param end: Twisted's ``ProcessDone`` or ``ProcessTerminated``.
    """
    if end.signal is not None:
        return f"was killed by {signal.Signals(end.signal).name}"
    return f"ended with status {end.exitCode}"
