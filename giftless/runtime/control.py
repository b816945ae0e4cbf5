"""Serve in a process that the daemon has started, and obey it.

It adopts the listening sockets that its parent has bound.  What passes between
the two is described in :mod:`giftless.runtime.supervision.process`; what the process
serves is a :class:`Serving`.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from giftless.base.showing import describe_failure
from giftless.errors import ConfigError
from giftless.interfaces import ConfigurationReloaded, Event
from giftless.runtime.clock import use_monotonic_time
from giftless.runtime.logs import WorkerLog
from giftless.runtime.malloc import Trimmer, keep_buffers
from giftless.runtime.modes import limit_modes
from giftless.runtime.orders import Reload, log_format_of, read_reload
from giftless.runtime.questions import (
    ACTIVITY,
    ANSWER,
    ASK,
    ERROR,
    Answerer,
    Answers,
    Ask,
    Questions,
    Unanswered,
)
from giftless.runtime.supervision.process import (
    ALIVE,
    COUNTS,
    FAILED,
    FIRST_SOCKET,
    HEARTBEAT,
    LOG,
    ORDERS,
    READY,
    RELOADED,
    RETIRE,
    STATUS,
)

#: How many objects are made before Python looks for garbage among them.  A batch
#: makes thousands, which all go by themselves: looking at them each time takes a
#: seventh of the processor.
_YOUNG_OBJECTS: Final = 50_000

#: How often free memory is given back to the kernel, in seconds.
_TRIM_INTERVAL: Final = 10

#: For how many seconds the parent may take note of what a worker has done before it ends.
_LAST_PATIENCE: Final = 1.0

_log = Logger(namespace="giftless")


class Serving(Protocol):
    """What a process serves, built from its orders."""

    @property
    def answerers(self) -> Mapping[str, Answerer]:
        """Who answers what the daemon asks, by the names of the questions."""

    @property
    def sockets(self) -> int:
        """How many listening sockets it adopts."""

    async def start(self, descriptors: Sequence[int], /) -> None:
        """Serve on sockets that are bound already.

        :raises ConfigError: if an endpoint cannot be made.
        """

    def publish(self, event: Event, /) -> None:
        """Tell observers, if there are any, of what concerns the whole daemon."""

    async def retire(self) -> None:
        """Accept no more connections, and wait until those that are open have ended."""

    async def stop(self) -> None:
        """Accept no more connections, let running transfers finish in time, and end."""


#: Builds what a process serves: of its orders in one line, the reactor, and what asks the
#: daemon.  Raises ``ConfigError`` if the configuration cannot be used.
Build: TypeAlias = Callable[[bytes, Any, Ask], Serving]


class Control(LineOnlyReceiver):
    """Follows the parent, and ends with it.

    :param reactor: the reactor that everything runs on.
    :param build: builds what this process serves.
    :ivar status: what the process is to end with.
    """

    transport: Any
    delimiter = b"\n"
    #: The longest that a configuration may be, in bytes.
    MAX_LENGTH = 2**24

    def __init__(self, reactor: Any, build: Build) -> None:
        self._reactor = reactor
        self._build = build
        self._serving: Serving | None = None
        self._stopping = False
        self._has_parent = True
        # Filled when the orders have come.
        self._answerers: dict[str, Answerer] = {}
        self._answers = Answers(self._answerers, self._send, reactor)
        self._questions = Questions(self._send, reactor)
        self.status = 0

    def connectionMade(self) -> None:
        """Stop serving before the reactor ends."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)

    def lineReceived(self, line: bytes) -> None:
        """Obey an order, answer a question, take an answer; or begin with what it says."""
        word, _, text = line.partition(b" ")
        if word == ASK:
            self._answers.asked(text)
        elif word in (ANSWER, ERROR):
            self._questions.answered(word, text)
        elif line == RETIRE:
            Deferred.fromCoroutine(self._retire())
        elif word == RELOADED:
            self._tell(read_reload(line))
        else:
            Deferred.fromCoroutine(self._begin(line))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop when the parent is gone; running transfers may finish in time."""
        self._has_parent = False
        self.stop()

    async def _begin(self, orders: bytes) -> None:
        log = _begin_logging(log_format_of(orders), self._reactor)
        try:
            self._serving = serving = self._build(orders, self._reactor, self._questions.ask)
            self._answerers.update(serving.answerers)
            await serving.start(range(FIRST_SOCKET, FIRST_SOCKET + serving.sockets))
        except ConfigError as error:
            self._fail(str(error))
        except Exception as error:
            # Not its text, which may hold a secret.
            self._fail(f"cannot start: {describe_failure(error)}")
        else:
            # What was logged of the start belongs in front of a terminal's banner.
            log.flush()
            self.sendLine(READY)
            LoopingCall(self.sendLine, ALIVE).start(HEARTBEAT)
            LoopingCall(Trimmer()).start(_TRIM_INTERVAL)

    def _fail(self, problem: str) -> None:
        self.status = 1
        self.sendLine(FAILED + b" " + " ".join(problem.split()).encode())
        # When that is written, the connection is lost.
        self.transport.loseConnection()

    def _send(self, line: bytes) -> bool:
        if self._has_parent:
            self.sendLine(line)
        return self._has_parent

    def _tell(self, reload: Reload) -> None:
        assert self._serving is not None, "only a worker that serves is told of a reload"
        self._serving.publish(ConfigurationReloaded(reload.source, reload.problem))

    async def _retire(self) -> None:
        assert self._serving is not None, "only a worker that serves is told to retire"
        await self._serving.retire()
        self.stop()

    async def _stop_serving(self) -> None:
        if self._serving is not None:
            await self._serving.stop()
            await self._tell_the_rest()

    async def _tell_the_rest(self) -> None:
        """Tell the parent what has been done since it has asked, if it asks at all."""
        report = self._answerers.get(ACTIVITY)
        if report is not None:
            with contextlib.suppress(Unanswered):
                await self._questions.ask(ACTIVITY, await report(b""), _LAST_PATIENCE)

    def _shut_down(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop_serving())

    def stop(self) -> None:
        """Let running transfers finish in time, and end.  Harmless when repeated."""
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()


def _begin_logging(log_format: str, reactor: Any) -> WorkerLog:
    stream = open(  # noqa: SIM115  # for as long as the process lives
        LOG, "w", encoding="utf-8", errors="backslashreplace", closefd=False
    )
    atexit.register(stream.flush)
    log = WorkerLog(log_format, stream, os.getpid(), reactor)
    globalLogBeginner.beginLoggingTo([log])
    return log


def serve(begun: bytes, build: Build) -> int:
    """Serve until the parent says otherwise.

    :param begun: what has been read of its orders, from their beginning.
    :param build: builds what this process serves.
    :returns: the exit status.
    """
    limit_modes()
    # A terminal sends these to the parent as well, who decides.
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
    # Show where a crash happened, or where it hangs when it is killed for that.
    faulthandler.enable()
    gc.set_threshold(_YOUNG_OBJECTS)
    keep_buffers()
    os.set_inheritable(STATUS, False)
    os.set_inheritable(COUNTS, False)
    from twisted.internet import reactor

    running: Any = reactor
    use_monotonic_time(running)
    control = Control(running, build)

    def begin() -> None:
        # Twisted's own handler, which comes when the reactor runs, would stop it twice.
        signal.signal(signal.SIGTERM, lambda *_: running.callFromThread(control.stop))
        # Not before: the parent may send SIGTERM as soon as it hears of this process.
        control.dataReceived(begun)

    running.callLater(0, begin)
    StandardIO(control, ORDERS, STATUS, reactor)  # type: ignore[call-arg]  # not in its interface
    running.run()
    return control.status
