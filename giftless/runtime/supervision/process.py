"""One worker process, as its supervisor sees it, and what passes between the two.

A worker is told by its standard input what to do: one line of orders when it
starts, later perhaps :data:`RETIRE`; the end of the input means that nobody
supervises it any more.  It answers on a pipe of its own, in lines: when it is
ready, every few seconds that it is alive, or why it cannot start.  What it
logs comes on its standard output, in whole lines, and is passed on as it is.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.base.metrics.tally import Counted

_log = Logger(namespace="giftless.workers")

#: The descriptors of a worker: orders come on its standard input, the log goes
#: to its standard output, what it says goes to STATUS, SHARED is the memory that
#: all workers share, COUNTS is what it counts in, and the listening sockets follow.
ORDERS: Final = 0
LOG: Final = 1
COMPLAINTS: Final = 2
STATUS: Final = 3
SHARED: Final = 4
COUNTS: Final = 5
FIRST_SOCKET: Final = 6

#: Tells a worker to accept no more connections, and to end when the last of
#: those that it has is over.
RETIRE: Final = b"retire"

#: Tells one worker how a reload has ended, so that it tells its observers.
RELOADED: Final = b"reloaded"

#: Asks a worker that serves whether its parts work.
HEALTH: Final = b"health"

#: What a worker says: it serves; it is alive; how its parts are (HEALTH and a report); it
#: cannot start, and why.
READY: Final = b"ready"
ALIVE: Final = b"alive"
FAILED: Final = b"failed"

#: How often a worker says that it is alive, in seconds.
HEARTBEAT: Final = 5

#: After how many heartbeats without a word a worker no longer counts as
#: answering, after how many it is killed, and how many it may take to start.
#: Counted, not measured: clocks jump.
QUIET: Final = 3
SILENT: Final = 6
STARTING: Final = 12


@dataclass(frozen=True, eq=False)
class Plan:
    """Which workers are to run.

    :ivar number: how many.
    :ivar orders: what each is told when it starts, in one line.
    :ivar sockets: the descriptors of the listening sockets that each inherits.
    :ivar patience: for how many seconds each may take to end after SIGTERM.
    :ivar shared: the descriptor of the memory that all workers share.
    """

    number: int
    orders: bytes = field(repr=False)
    sockets: Sequence[int]
    patience: float
    shared: int


class Reports(Protocol):
    """Receives what workers report."""

    def write(self, lines: bytes, /) -> object:
        """Take whole lines of a worker's log."""

    def ready(self, worker: Worker) -> None:
        """Note that a worker serves."""

    def over(self, worker: Worker, reason: str) -> None:
        """Note that a worker has ended.

        :param reason: how, or why it said it would.
        """


class Worker(ProcessProtocol):
    """One worker process, as its supervisor sees it.

    :param reports: is told what the process does.
    :param plan: what it is started for.
    :param counted: what it counts.
    :ivar plan: what it was started for.
    :ivar counted: what it counts.
    :ivar state: ``starting``; ``serving``, that is, accepting connections; or
        ``leaving``, when it has been told to end.
    :ivar silence: how many heartbeats it has missed.
    :ivar pid: the number of the process, 0 if it could not be started.
    """

    transport: Any
    pid: int = 0

    def __init__(self, reports: Reports, plan: Plan, counted: Counted) -> None:
        self._reports = reports
        self.plan = plan
        self.counted = counted
        self.state = "starting"
        self.silence = 0
        self._problem = ""
        self._asked: list[Deferred[bytes]] = []
        self._begun = {LOG: b"", COMPLAINTS: b"", STATUS: b""}

    def connectionMade(self) -> None:
        """Give the process its orders."""
        self.pid = self.transport.pid
        self._order(self.plan.orders)

    def retire(self) -> None:
        """Tell it to accept no more connections, and to end when those it has are over."""
        _log.info("worker {pid} accepts no more connections", pid=self.pid)
        self.state = "leaving"
        self._order(RETIRE)

    def tell(self, order: bytes) -> None:
        """Pass one line on to it."""
        self._order(order)

    def ask_health(self) -> Deferred[bytes]:
        """Ask whether its parts work.

        :returns: fires with its report; fails if it ends before.
        """
        self._asked.append(answer := Deferred[bytes]())
        self._order(HEALTH)
        return answer

    def terminate(self) -> None:
        """Send SIGTERM: it finishes running transfers in time, and ends."""
        self.state = "leaving"
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)

    def beat(self) -> None:
        """Count a heartbeat that was missed; kill the process after too many."""
        self.silence += 1
        limit = STARTING if self.state == "starting" else SILENT
        if self.silence == limit:
            _log.error("worker {pid} does not answer and is killed", pid=self.pid)
            # It shows where it hangs, if it still can.
            self._signal(signal.SIGABRT)
        elif self.silence > limit:
            self.kill()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Pass on the log, and read reports and complaints, line by line."""
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._begun[childFD] += data
            return
        lines = self._begun[childFD] + whole
        self._begun[childFD] = rest
        if childFD == LOG:
            self._reports.write(lines + b"\n")
            return
        for line in lines.splitlines():
            if childFD == STATUS:
                self._hear(line)
            else:
                self._complain(line)

    def processEnded(self, reason: Failure) -> None:
        """Report that the process has ended; all that it wrote has been read."""
        for rest in (self._begun[LOG], self._begun[COMPLAINTS]):
            if rest:
                self._complain(rest)
        asked, self._asked = self._asked, []
        for answer in asked:
            answer.errback(reason)
        how = f"worker {self.pid} {_how(reason.value)}"
        self._reports.over(self, self._problem or how)

    def _hear(self, line: bytes) -> None:
        self.silence = 0
        word, _, text = line.partition(b" ")
        if word == FAILED:
            self._problem = text.decode(errors="replace")
        elif word == HEALTH:
            asked, self._asked = self._asked, []
            for answer in asked:
                answer.callback(text)
        elif word == READY and self.state == "starting":
            self.state = "serving"
            self._reports.ready(self)

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
