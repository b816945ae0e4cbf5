"""Serve in a worker, and obey its parent.

It adopts the listening sockets that its parent has bound.  What passes between
the two is described in :mod:`giftless.runtime.supervision.process`.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import signal
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from giftless.app import config
from giftless.base.metrics.counts import Counts
from giftless.base.metrics.slab import Slab
from giftless.base.shared_table import SharedTable
from giftless.base.showing import describe_failure
from giftless.errors import ConfigError
from giftless.interfaces import ConfigurationReloaded
from giftless.runtime.clock import use_monotonic_time
from giftless.runtime.instance import Instance
from giftless.runtime.logs import WorkerLog
from giftless.runtime.malloc import Trimmer, keep_buffers
from giftless.runtime.modes import limit_modes
from giftless.runtime.orders import Orders, Reload, read_orders, read_reload
from giftless.runtime.questions import (
    ACTIVITY,
    ANSWER,
    ASK,
    ERROR,
    Answerer,
    Answers,
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
    SHARED,
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


class Control(LineOnlyReceiver):
    """Follows the parent, and ends with it.

    :param reactor: the reactor that everything runs on.
    :ivar status: what the process is to end with.
    """

    transport: Any
    delimiter = b"\n"
    #: The longest that a configuration may be, in bytes.
    MAX_LENGTH = 2**24

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._instance: Instance | None = None
        self._stopping = False
        self._has_parent = True
        # Filled when there is an instance.
        self._answerers: dict[str, Answerer] = {}
        self._answers = Answers(self._answerers, self._send, reactor)
        self._questions = Questions(self._send, reactor)
        self.status = 0

    def connectionMade(self) -> None:
        """Stop the instance before the reactor ends."""
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
            Deferred.fromCoroutine(self._begin(read_orders(line)))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop when the parent is gone; running transfers may finish in time."""
        self._has_parent = False
        self.stop()

    async def _begin(self, orders: Orders) -> None:
        log = _begin_logging(orders.log_format, self._reactor)
        try:
            loaded = config.parse(orders.source, orders.text, os.environ)
            shared, counts = SharedTable(SHARED), Counts(Slab(COUNTS))
            self._instance = Instance(
                loaded, self._reactor, shared=shared, counts=counts, ask=self._questions.ask
            )
            sockets = range(FIRST_SOCKET, FIRST_SOCKET + self._instance.sockets)
            self._answerers.update(self._instance.answerers)
            await self._instance.start(sockets)
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
        assert self._instance is not None, "only a worker that serves is told of a reload"
        self._instance.publish(ConfigurationReloaded(reload.source, reload.problem))

    async def _retire(self) -> None:
        assert self._instance is not None, "only a worker that serves is told to retire"
        await self._instance.retire()
        self.stop()

    async def _shut_down_instance(self) -> None:
        if self._instance is not None:
            await self._instance.stop()
            await self._tell_the_rest()

    async def _tell_the_rest(self) -> None:
        """Tell the parent what has been done since it has asked, if it asks at all."""
        report = self._answerers.get(ACTIVITY)
        if report is not None:
            with contextlib.suppress(Unanswered):
                await self._questions.ask(ACTIVITY, await report(b""), _LAST_PATIENCE)

    def _shut_down(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._shut_down_instance())

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


def serve(begun: bytes) -> int:
    """Serve until the parent says otherwise.

    :param begun: what has been read of its orders, from their beginning.
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
    os.set_inheritable(SHARED, False)
    os.set_inheritable(COUNTS, False)
    from twisted.internet import reactor

    running: Any = reactor
    use_monotonic_time(running)
    control = Control(running)

    def begin() -> None:
        # Twisted's own handler, which comes when the reactor runs, would stop it twice.
        signal.signal(signal.SIGTERM, lambda *_: running.callFromThread(control.stop))
        # Not before: the parent may send SIGTERM as soon as it hears of this process.
        control.dataReceived(begun)

    running.callLater(0, begin)
    StandardIO(control, ORDERS, STATUS, reactor)  # type: ignore[call-arg]  # not in its interface
    running.run()
    return control.status
