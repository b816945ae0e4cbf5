"""The process that serves: how it comes to its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.runtime.control import Control
from giftless.runtime.questions import ACTIVITY


class StoppingReactor:
    """Stops once, as a reactor does.

    :ivar stops: how often it was told to.
    """

    def __init__(self) -> None:
        self.stops = 0
        self._triggers: list[Callable[[], Any]] = []

    def addSystemEventTrigger(self, phase: str, event: str, function: Callable[[], Any]) -> None:
        self._triggers.append(function)

    def stop(self) -> None:
        """Begin to stop; the triggers run at the next turn."""
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning("it stops already")

    def turn(self) -> None:
        """Run what comes before the end."""
        for trigger in self._triggers:
            trigger()


def refuse(orders: bytes, reactor: Any, ask: Any) -> NoReturn:
    """Build nothing: no test gives orders."""
    raise AssertionError("nobody has given orders")


class StopTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = StoppingReactor()
        self.control = Control(self.reactor, refuse)
        self.control.connectionMade()

    def test_several_reasons_at_once_end_it_once(self) -> None:
        """SIGTERM comes when the last connection is over, or the parent goes at that moment."""
        self.control.stop()
        self.control.stop()
        self.control.connectionLost()
        self.reactor.turn()
        self.control.stop()
        self.assertEqual(self.reactor.stops, 1)

    def test_the_parent_is_gone(self) -> None:
        self.control.connectionLost()
        self.assertEqual(self.reactor.stops, 1)


class Instance:
    """Serves nothing, and notes when it stops."""

    def __init__(self, notes: list[bytes]) -> None:
        self._notes = notes

    async def stop(self) -> None:
        self._notes.append(b"stopped")


class LastReportTests(SynchronousTestCase):
    """Before it ends, a worker tells what it has done since it was asked."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.control = Control(self.clock, refuse)
        self.sent: list[bytes] = []
        self.patch(self.control, "sendLine", self.sent.append)
        instance: Any = Instance(self.sent)
        self.control._serving = instance
        self.control._answerers[ACTIVITY] = self.report

    async def report(self, _: bytes) -> bytes:
        return b"[1]"

    def test_the_parent_takes_note_of_it(self) -> None:
        ended = self.control._shut_down()
        self.assertEqual(self.sent, [b"stopped", b"ask 1 activity [1]"])
        self.assertNoResult(ended)
        self.control.lineReceived(b"answer 1 null")
        self.successResultOf(ended)

    def test_a_parent_that_hangs_is_not_waited_for(self) -> None:
        ended = self.control._shut_down()
        self.clock.advance(1)
        self.successResultOf(ended)

    def test_a_parent_that_is_gone_is_not_asked(self) -> None:
        self.patch(self.control, "stop", lambda: None)
        self.control.connectionLost()
        self.successResultOf(self.control._shut_down())
        self.assertEqual(self.sent, [b"stopped"])

    def test_nothing_is_told_if_nobody_asks(self) -> None:
        self.control._answerers.clear()
        self.successResultOf(self.control._shut_down())
        self.assertEqual(self.sent, [b"stopped"])


#: A worker without work.
WORKER = """
import os, signal, sys
# Before the reactor takes this descriptor for itself.
os.dup2(os.pipe()[1], 3)
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner, textFileLogObserver
from giftless.runtime import control
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
assert control.STATUS == 3

class Control(control.Control):
"""

#: It is told twice to end within one turn of its reactor.
TWICE = f"""{WORKER}
    def connectionMade(self):
        super().connectionMade()
        # As if something had to be finished.
        reactor.addSystemEventTrigger("before", "shutdown", deferLater, reactor, 0.1)
        reactor.callLater(0.1, self.both)

    def both(self):
        self.stop()
        os.kill(os.getpid(), signal.SIGTERM)

control.Control = Control
sys.exit(control.serve(b"", None))
"""

#: It is told to end while it obeys its orders, and then once more.
AT_ONCE = f"""{WORKER}
    def lineReceived(self, line):
        assert line == b"serve", line
        os.kill(os.getpid(), signal.SIGTERM)
        reactor.callLater(0, self.stop)

control.Control = Control
sys.exit(control.serve(b"serve\\n", None))
"""


class SignalTests(SynchronousTestCase):
    def test_sigterm_at_the_end(self) -> None:
        """It finds a process that ends anyway, and is nothing to complain about."""
        self.assert_ends(TWICE)

    def test_sigterm_at_the_beginning(self) -> None:
        """A worker that obeys its orders is stopped as one that has begun long ago."""
        self.assert_ends(AT_ONCE)

    def assert_ends(self, program: str) -> None:
        """Check that a worker ends well, and complains about nothing."""
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            # Its input stays open: the parent is there.
            assert process.stderr is not None
            text = process.stderr.read()
        self.assertEqual(process.returncode, 0, text)
        self.assertNotIn("Traceback", text)
