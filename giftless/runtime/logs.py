"""The daemon's log: as text, or as one JSON object a line; its own and its workers'.

The parent writes it; what workers log comes in whole lines, and is passed on
as it is.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TextIO

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    PredicateResult,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.logfile import LogFile
from twisted.python.reflect import safe_str
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

_log = Logger(namespace="giftless.workers")

#: The levels of what is routine.
_ROUTINE: Final = {LogLevel.debug, LogLevel.info}

#: How long routine lines of a worker wait after others have been passed on, in seconds: no
#: longer than a turn of a busy reactor takes, because who kills the worker destroys them.
PAUSE: Final = 0.02

#: What Twisted logs of each socket on which a worker begins to listen.
_LISTENING: Final = re.compile(rb"^\S+ \[\d+\] \[-\] .* starting on .*\n", re.MULTILINE)

#: Members of an event that are of use to nobody outside the process.
_INTERNAL: Final = {"format", "isError", "time", "message", "system", "why"}


@implementer(ILogObserver)
class JsonLog:
    """Writes each event of ``twisted.logger`` as a line of JSON.

    :param stream: where to.
    :param worker: the number of the worker process, if it is one's log.
    """

    def __init__(self, stream: Any, worker: int | None = None) -> None:
        self._stream = stream
        self._own = {} if worker is None else {"worker": worker}

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(),
            "level": event["log_level"].name if event.get("log_level") else "info",
            "source": event.get("log_namespace") or "-",
            "message": event.get("log_line") or formatEvent(event),
            **self._own,
        }
        failure = event.get("log_failure")
        if failure is not None:
            line["traceback"] = failure.getTraceback()
        for key, value in event.items():
            if not key.startswith("log_") and key not in _INTERNAL:
                line.setdefault(key, value)
        self._stream.write(_encode(line) + "\n")
        self._stream.flush()


def _encode(line: Mapping[str, Any]) -> str:
    try:
        return msgspec.json.encode(line, enc_hook=safe_str).decode()
    except (TypeError, ValueError, RecursionError):
        # Of some values no JSON can be made: file names that are no UTF-8,
        # values that contain themselves.
        return msgspec.json.encode(
            {_text(key): _text(value) for key, value in line.items()}
        ).decode()


def _text(value: object) -> str:
    return safe_str(value).encode("utf-8", "backslashreplace").decode()


def log_observer(log_format: str, stream: Any, worker: int | None = None) -> ILogObserver:
    """Make what writes events of ``twisted.logger`` as lines.

    :param log_format: ``json``, or ``text`` for what ``twistd`` writes itself.
    :param stream: where to.
    :param worker: the number of the worker process, if it is one's log.
    """
    if log_format == "json":
        return JsonLog(stream, worker)
    mark = "" if worker is None else f" [{worker}]"

    @lru_cache(1)
    def moment(second: int | None) -> str:
        return f"{formatTime(second)}{mark}"

    def as_text(event: LogEvent) -> str | None:
        line = event.get("log_line")
        if line is not None:
            # Twisted takes twice as long to format an event as the rest of its log does.
            source = f"{event['log_namespace']}#{event['log_level'].name}"
            return f"{moment(int(event['log_time']))} [{source}] {line}\n"
        # Times are written in seconds, and many lines belong to one.
        return formatEventAsClassicLogText(
            event, lambda when: moment(None if when is None else int(when))
        )

    return FileLogObserver(stream, as_text)


@implementer(ILogObserver)
class WorkerLog:
    """Writes events as lines, the routine ones of :data:`PAUSE` together.

    A line that comes after a pause goes when this turn of the reactor is over.  Under load
    there are several, and passing on each by itself would cost parent and worker as much as a
    tenth of a small request.

    :param log_format: see :func:`log_observer`.
    :param stream: where to.
    :param worker: the number of the worker process.
    :param reactor: tells when it is time.
    """

    def __init__(self, log_format: str, stream: TextIO, worker: int, reactor: IReactorTime) -> None:
        self._stream = stream
        self._write = log_observer(log_format, _Unflushed(stream), worker)
        self._reactor = reactor
        self._due: IDelayedCall | None = None
        self._not_before = 0.0

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        self._write(event)
        if event.get("log_level") not in _ROUTINE or not isInIOThread():
            self._stream.flush()
        elif self._due is None:
            wait = max(0.0, self._not_before - self._reactor.seconds())
            self._due = self._reactor.callLater(wait, self._write_out)

    def flush(self) -> None:
        """Write out what has been logged."""
        self._stream.flush()

    def _write_out(self) -> None:
        self._due = None
        self._not_before = self._reactor.seconds() + PAUSE
        self._stream.flush()


class _Unflushed:
    """A stream whose writes :class:`WorkerLog` flushes together."""

    def __init__(self, stream: TextIO) -> None:
        self.write = stream.write

    def flush(self) -> None:
        """Do nothing."""


class Log:
    """Where ``twistd`` was told to log to.

    :param options: the options of ``twistd`` itself.
    :param log_format: ``text`` or ``json``.
    :param reactor: rotates the file, if it is one, on SIGUSR1.
    :ivar observer: writes this process's own events there; ``None`` if
        ``twistd`` does that: for syslog, and for a logger of the operator's.
    :ivar starting: whether routine lines are left out, because the log goes to a
        terminal as text and :meth:`started` has not been called.
    """

    def __init__(
        self, options: Mapping[str, Any], log_format: str, reactor: IReactorFromThreads
    ) -> None:
        self._stream: Any = None
        self.observer: ILogObserver | None = None
        self.starting = self._on_terminal = False
        if options.get("syslog") or options.get("logger"):
            return
        name = options.get("logfile")
        if name is None and not options.get("nodaemon"):
            name = "twistd.log"
        if not name or name == "-":
            self._stream = sys.stdout
            self.starting = self._on_terminal = bool(
                log_format == "text" and options.get("nodaemon") and sys.stdout.isatty()
            )
        else:
            self._stream = file = LogFile.fromFullPath(name)
            if signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:
                signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
        self.observer = log_observer(log_format, self._stream)
        if self.starting:
            is_shown: Any = self._is_shown  # an interface has no place for methods
            self.observer = FilteringLogObserver(self.observer, [is_shown])

    def _is_shown(self, event: LogEvent) -> Any:
        """Whether an event is written, for Twisted's filter."""
        left_out = self.starting and event.get("log_level") in _ROUTINE
        return PredicateResult.no if left_out else PredicateResult.yes

    def started(self, banner: str) -> None:
        """Show what a person at the terminal wants to know, and then every line.

        :param banner: whole lines.
        """
        self.starting = False
        self._stream.write(banner)
        self._stream.flush()

    def write(self, lines: bytes) -> None:
        """Write whole lines of a worker's log."""
        if self._on_terminal:
            # Also later: what workers log comes by another way than that they are ready.
            lines = _LISTENING.sub(b"", lines)
            if not lines:
                return
        if self._stream is None:
            for line in lines.decode(errors="backslashreplace").splitlines():
                _log.info("{line}", line=line)
        else:
            self._stream.write(lines.decode(errors="backslashreplace"))
            self._stream.flush()
