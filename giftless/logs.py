"""The daemon's log as one JSON object a line.

Text is what ``twistd`` itself writes; this is for ``log_format: json``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec
from twisted.logger import ILogObserver, LogEvent, formatEvent
from twisted.python.logfile import LogFile
from twisted.python.reflect import safe_str
from zope.interface import implementer

#: Members of an event that are of use to nobody outside the process.
_INTERNAL: Final = {"format", "isError", "time", "message", "system", "why"}


@implementer(ILogObserver)
class JsonLog:
    """Writes each event of ``twisted.logger`` as a line of JSON.

    :param stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(),
            "level": event["log_level"].name if event.get("log_level") else "info",
            "source": event.get("log_namespace") or "-",
            "message": formatEvent(event),
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


def json_observer(options: Mapping[str, Any]) -> JsonLog:
    """Make the observer that writes where ``twistd`` would write text.

    :param options: the options of ``twistd`` itself.
    """
    name = options.get("logfile")
    if name is None and not options.get("nodaemon"):
        name = "twistd.log"
    if not name or name == "-":
        return JsonLog(sys.stdout)
    return JsonLog(LogFile.fromFullPath(name))
