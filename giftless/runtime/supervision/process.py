"""One worker process, as its supervisor sees it, and what passes between the two.

A worker is told by its standard input what to do: one line of orders when it
starts, later perhaps :data:`RETIRE`; the end of the input means that nobody
supervises it any more.  It answers on a pipe of its own, in lines: when it is
ready, every few seconds that it is alive, or why it cannot start.  On the same two
pipes each asks the other (:mod:`giftless.runtime.questions`).  What a worker
logs comes on its standard output, in whole lines, and is passed on as it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.base.metrics.tally import Counted
from giftless.runtime.questions import (
    ANSWER,
    ASK,
    ERROR,
    MAX_LINE,
    PATIENCE,
    Answerer,
    Answers,
    Questions,
)
from giftless.runtime.supervision.lines import Lines

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

#: What a worker says: it serves; it is alive; it cannot start, and why.
READY: Final = b"ready"
ALIVE: Final = b"alive"
FAILED: Final = b"failed"

#: How much may wait until a worker reads it before it gets no more questions and answers,
#: in bytes.  Pages for a hundred operators who ask at the same moment must fit.
BACKLOG: Final = 8 * MAX_LINE

#: How often a worker says that it is alive, in seconds.
HEARTBEAT: Final = 5

#: After how many heartbeats without a word a worker no longer counts as
#: answering, after how many it is killed, and how many it may take to start.
#: Counted, not measured: clocks jump.
QUIET: Final = 3
SILENT: Final = 6
STARTING: Final = 12


#: How much a process reads of its orders at once, in bytes: what a pipe holds.
_BLOCK: Final = 65536


def read_first_order() -> bytes:
    """Wait, in a process that has been started, for the first line from the parent.

    :returns: this line, and what has come behind it; not whole if the parent is gone.
    """
    begun = bytearray()
    while block := os.read(ORDERS, _BLOCK):
        begun += block
        if b"\n" in block:
            break
    return bytes(begun)


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
    """Receives what workers report.

    :ivar kind: what the log calls one of these processes.
    :ivar answers: who answers what workers ask, by the names of the questions.
    """

    kind: str
    answers: dict[str, Answerer]

    def write(self, lines: bytes, /) -> object:
        """Take whole lines of a worker's log."""

    def ready(self, worker: Worker) -> None:
        """Note that a worker serves."""

    def over(self, worker: Worker, reason: str, killed: bool) -> None:
        """Note that a worker has ended.

        :param reason: how, or why it said it would.
        :param killed: whether a signal has ended it, and not the one that asks it to end.
        """


@implementer(IPushProducer)
class Worker(ProcessProtocol):
    """One worker process, as its supervisor sees it.

    :param reports: is told what the process does.
    :param plan: what it is started for.
    :param counted: what it counts.
    :param clock: tells the time.
    :ivar plan: what it was started for.
    :ivar counted: what it counts.
    :ivar state: ``starting``; ``serving``, that is, accepting connections; or
        ``leaving``, when it has been told to end.
    :ivar began: when it was started, by the clock.
    :ivar silence: how many heartbeats it has missed.
    :ivar pid: the number of the process, 0 if it could not be started.
    """

    transport: Any
    pid: int = 0

    def __init__(self, reports: Reports, plan: Plan, counted: Counted, clock: IReactorTime) -> None:
        self._reports = reports
        self.plan = plan
        self.counted = counted
        self.state = "starting"
        self.silence = 0
        self._problem = ""
        self._reads = True
        self.began = clock.seconds()
        self._questions = Questions(self._send, clock)
        self._answers = Answers(reports.answers, self._send, clock)
        self._lines = {LOG: Lines(), COMPLAINTS: Lines(), STATUS: Lines()}

    def connectionMade(self) -> None:
        """Give the process its orders."""
        self.pid = self.transport.pid
        orders = self.transport.pipes[ORDERS]
        orders.bufferSize = BACKLOG
        orders.registerProducer(self, True)
        self._order(self.plan.orders)

    def retire(self) -> None:
        """Tell the process to accept no more connections, and to end when those it has are over."""
        _log.info("{kind} {pid} accepts no more connections", kind=self._reports.kind, pid=self.pid)
        self.state = "leaving"
        self._order(RETIRE)

    def tell(self, order: bytes) -> None:
        """Pass one line on to the process."""
        self._order(order)

    def ask(
        self, name: str, payload: bytes = b"null", patience: float = PATIENCE
    ) -> Deferred[bytes]:
        """Ask the process a question.

        See :meth:`giftless.runtime.questions.Questions.ask`.
        """
        return self._questions.ask(name, payload, patience)

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
            _log.error(
                "{kind} {pid} does not answer and is killed", kind=self._reports.kind, pid=self.pid
            )
            # It shows where it hangs, if it still can.
            self._signal(signal.SIGABRT)
        elif self.silence > limit:
            self.kill()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Pass on the log, and read reports and complaints, line by line."""
        lines = self._lines[childFD].whole(data)
        if not lines:
            return
        if childFD == LOG:
            self._reports.write(lines)
            return
        for line in lines.splitlines():
            if childFD == STATUS:
                self._hear(line)
            else:
                self._complain(line)

    def processEnded(self, reason: Failure) -> None:
        """Report that the process has ended; all that it wrote has been read."""
        for descriptor in (LOG, COMPLAINTS):
            if rest := self._lines[descriptor].rest:
                self._complain(rest)
        end: Any = reason.value
        how = _how(end)
        self._questions.lost(f"has not answered: it {how}")
        killed = end.signal not in (None, signal.SIGTERM)
        self._reports.over(self, self._problem or f"{self._reports.kind} {self.pid} {how}", killed)

    def _hear(self, line: bytes) -> None:
        self.silence = 0
        word, _, text = line.partition(b" ")
        if word == FAILED:
            self._problem = text.decode(errors="replace")
        elif word == ASK:
            self._answers.asked(text)
        elif word in (ANSWER, ERROR):
            self._questions.answered(word, text)
        elif word == READY and self.state == "starting":
            self.state = "serving"
            self._reports.ready(self)

    def pauseProducing(self) -> None:
        """Note that the process reads nothing: ask and answer nothing meanwhile."""
        self._reads = False

    def resumeProducing(self) -> None:
        """Note that the process has read everything."""
        self._reads = True

    def stopProducing(self) -> None:
        """Note that the process reads no more."""
        self._reads = False

    def _send(self, line: bytes) -> bool:
        if self._reads:
            self._order(line)
        return self._reads

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
