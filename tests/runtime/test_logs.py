"""The log as one JSON object a line."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    formatEvent,
    textFileLogObserver,
)
from twisted.python import threadable
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from giftless.runtime.logs import PAUSE, JsonLog, Log, WorkerLog, log_observer
from tests.support.logs import observe
from tests.support.strategies import json_values


class Unprintable:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class JsonLogTests(SynchronousTestCase):
    def lines(self, *events: dict[str, Any]) -> list[Any]:
        """Log events, and read the lines back."""
        stream = io.StringIO()
        observer = JsonLog(stream)
        for event in events:
            observer({"log_time": 0.0, **event})
        return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]

    def line(self, **event: Any) -> Any:
        """Log one event, and read its line back."""
        (line,) = self.lines(event)
        return line

    def test_it_is_an_observer(self) -> None:
        verifyObject(ILogObserver, JsonLog(io.StringIO()))

    def test_a_line_has_time_level_source_and_message(self) -> None:
        stream = io.StringIO()
        Logger(namespace="giftless.test", observer=JsonLog(stream)).warn("{count} things", count=3)
        line = json.loads(stream.getvalue())
        when = datetime.fromisoformat(line.pop("time"))
        self.assertIs(when.tzinfo, UTC)
        self.assertEqual(
            line, {"level": "warn", "source": "giftless.test", "message": "3 things", "count": 3}
        )

    def test_what_an_event_lacks_has_a_default(self) -> None:
        self.assertEqual(
            self.line(),
            {"time": "1970-01-01T00:00:00+00:00", "level": "info", "source": "-", "message": ""},
        )

    def test_each_event_is_one_line_whatever_it_says(self) -> None:
        lines = self.lines({"log_format": "{x}", "x": "a\nb\r\n\u2028"}, {"log_format": "second"})
        self.assertEqual([line["message"] for line in lines], ["a\nb\r\n\u2028", "second"])

    def test_a_failure_has_its_traceback(self) -> None:
        try:
            raise ZeroDivisionError("by zero")
        except ZeroDivisionError:
            line = self.line(log_format="x", log_failure=Failure())
        self.assertIn("test_logs.py", line["traceback"])
        self.assertIn("by zero", line["traceback"])

    def test_what_is_internal_is_left_out(self) -> None:
        line = self.line(log_format="x", log_system="y", isError=0, system="z", kept=1)
        self.assertEqual(set(line), {"time", "level", "source", "message", "kept"})

    def test_a_member_cannot_take_the_place_of_a_lines_own(self) -> None:
        line = self.line(log_format="x", level="fake", source="fake", traceback="t")
        self.assertEqual((line["level"], line["source"], line["traceback"]), ("info", "-", "t"))

    def test_values_that_json_does_not_have_become_text(self) -> None:
        line = self.line(log_format="x", path=Path("/x"), kind=ValueError("y"), huge=2**70)
        self.assertEqual((line["path"], line["kind"], line["huge"]), ("/x", "y", 2**70))

    def test_no_event_is_lost_for_what_it_holds(self) -> None:
        """File names that are no UTF-8, for one."""
        circle: dict[str, Any] = {}
        circle["self"] = circle
        for value in (
            "\udc80",
            {"a\udc80": 1},
            ["\ud800"],
            circle,
            Unprintable(),
            {Unprintable(): 1},
            float("nan"),
            b"\xff",
        ):
            line = self.line(log_format="it was {x}", x=value, other="kept")
            self.assertEqual(line["other"], "kept")
            self.assertIn("x", line)
            self.assertTrue(line["message"])
        self.assertEqual(self.line(log_format="{x}", x="\udc80")["message"], "\\udc80")

    @given(st.dictionaries(st.text(), json_values, max_size=4), st.text())
    def test_any_event_is_one_line(self, event: dict[str, Any], text: str) -> None:
        event = {key: value for key, value in event.items() if not key.startswith("log_")}
        line = self.line(**event, log_format=text)
        self.assertLessEqual({"time", "level", "source", "message"}, set(line))


class ObserverTests(SynchronousTestCase):
    """What a process writes its events with."""

    EVENT = {
        "log_time": 0.0,
        "log_format": "hello",
        "log_namespace": "giftless",
        "log_level": LogLevel.info,
    }

    def line(self, log_format: str, worker: int | None) -> str:
        """Write one event."""
        stream = io.StringIO()
        log_observer(log_format, stream, worker)(self.EVENT)
        return stream.getvalue()

    def test_a_worker_is_named_by_its_process(self) -> None:
        self.assertEqual(json.loads(self.line("json", 4711))["worker"], 4711)
        self.assertRegex(self.line("text", 4711), r"\A\S+ \[4711\] \[giftless#info\] hello\n\Z")

    def test_the_parent_is_not(self) -> None:
        self.assertNotIn("worker", json.loads(self.line("json", None)))
        stream = io.StringIO()
        textFileLogObserver(stream)(self.EVENT)
        self.assertEqual(self.line("text", None), stream.getvalue())


class WorkerLogTests(SynchronousTestCase):
    """Routine lines go together, all others at once."""

    def setUp(self) -> None:
        self.patch(threadable, "ioThread", threadable.getThreadID())
        self.output = io.BytesIO()
        self.clock = Clock()
        self.log = WorkerLog("text", io.TextIOWrapper(self.output), 4711, self.clock)

    def say(self, level: Any, text: str) -> None:
        """Log something."""
        Logger(namespace="test", observer=self.log).emit(level, text)

    def said(self) -> list[str]:
        """Return what has been passed on."""
        lines = self.output.getvalue().decode().splitlines()
        return [line.rpartition("] ")[2] for line in lines]

    def test_it_is_an_observer(self) -> None:
        verifyObject(ILogObserver, self.log)

    def test_routine_waits_for_the_end_of_the_turn(self) -> None:
        self.say(LogLevel.info, "one")
        self.say(LogLevel.debug, "two")
        self.assertEqual(self.said(), [])
        self.clock.advance(0)
        self.assertEqual(self.said(), ["one", "two"])
        self.clock.advance(PAUSE)
        self.say(LogLevel.info, "three")
        self.clock.advance(0)
        self.assertEqual(self.said(), ["one", "two", "three"])

    def test_routine_that_comes_soon_waits_for_more(self) -> None:
        """Under load the parent is not woken for each line."""
        self.say(LogLevel.info, "one")
        self.clock.advance(0)
        self.clock.advance(PAUSE / 4)
        self.say(LogLevel.info, "two")
        self.clock.advance(PAUSE / 4)
        self.say(LogLevel.info, "three")
        self.assertEqual(self.said(), ["one"])
        self.clock.advance(PAUSE / 2)
        self.assertEqual(self.said(), ["one", "two", "three"])

    def test_a_problem_does_not_wait(self) -> None:
        """A process that is about to die says why."""
        self.say(LogLevel.info, "one")
        self.say(LogLevel.warn, "two")
        self.assertEqual(self.said(), ["one", "two"])

    def test_a_thread_has_no_clock(self) -> None:
        """Only the reactor's own thread may ask it for anything."""
        self.patch(threadable, "ioThread", None)
        self.say(LogLevel.info, "one")
        self.assertEqual((self.said(), self.clock.getDelayedCalls()), (["one"], []))


class DestinationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.output = io.StringIO()
        self.patch(sys, "stdout", self.output)
        self.handler = signal.getsignal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGUSR1, self.handler)

    def callFromThread(self, function: Any) -> None:
        """Stand in for the reactor."""
        function()

    def open(self, **options: Any) -> Log:
        """Open the log that these options of ``twistd`` ask for."""
        return Log(options, "json", self)  # type: ignore[arg-type]

    def log(self, **options: Any) -> str:
        """Log an event of the parent's and a worker's line; return what is on stdout."""
        log = self.open(**options)
        assert log.observer is not None
        log.observer({"log_time": 0.0, "log_format": "hello"})
        log.write(b"one\ntwo\n")
        return self.output.getvalue()

    def test_in_the_foreground_lines_go_to_stdout(self) -> None:
        own, *others = self.log(nodaemon=1, logfile=None).splitlines()
        self.assertEqual(json.loads(own)["message"], "hello")
        self.assertEqual(others, ["one", "two"])

    def test_on_a_terminal_what_workers_listen_on_is_left_out_whenever_it_comes(self) -> None:
        self.output.isatty = lambda: True  # type: ignore[method-assign]
        log = Log({"nodaemon": 1}, "text", self)  # type: ignore[arg-type]
        line = b"2026-11-28T20:25:17+0000 [16012] [-] LFSSite starting on 8978\n"
        other = b"2026-11-28T20:25:17+0000 [16012] [giftless#info] one\n"
        log.write(line + other + line)
        assert log.observer is not None
        routine = {"log_time": 0.0, "log_format": "hello", "log_level": LogLevel.info}
        log.observer(routine)
        log.observer({**routine, "log_format": "beware", "log_level": LogLevel.warn})
        log.started("banner\n")
        log.write(line)
        log.observer(routine)
        shown = [line.rpartition("] ")[2] for line in self.output.getvalue().splitlines()]
        self.assertEqual(shown, ["one", "beware", "banner", "hello"])

    def test_a_dash_means_stdout(self) -> None:
        self.assertIn("hello", self.log(nodaemon=0, logfile="-"))

    def test_a_file_is_written_where_twistd_would(self) -> None:
        path = self.mktemp()
        os.makedirs(path)
        self.assertEqual(self.log(nodaemon=1, logfile=f"{path}/x.log"), "")
        own, *others = Path(path, "x.log").read_text().splitlines()
        self.assertEqual(json.loads(own)["message"], "hello")
        self.assertEqual(others, ["one", "two"])

    def test_a_signal_begins_a_new_file(self) -> None:
        path = self.mktemp()
        os.makedirs(path)
        log = self.open(nodaemon=1, logfile=f"{path}/x.log")
        log.write(b"old\n")
        signal.raise_signal(signal.SIGUSR1)
        log.write(b"new\n")
        self.assertEqual(Path(path, "x.log.1").read_text(), "old\n")
        self.assertEqual(Path(path, "x.log").read_text(), "new\n")

    def test_where_twistd_logs_itself_workers_lines_become_events(self) -> None:
        events: list[LogEvent] = []
        observe(self, events.append)
        for option in ("syslog", "logger"):
            log = self.open(nodaemon=1, **{option: "x"})
            self.assertIsNone(log.observer)
            log.write(b"one\ntwo\n")
        self.assertEqual([formatEvent(event) for event in events], ["one", "two"] * 2)
        self.assertEqual(self.output.getvalue(), "")
