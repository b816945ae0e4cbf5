"""How far a command has come: a bar in a terminal, a plain line now and then elsewhere.

It is written to stderr, so that stdout has the results alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Literal

from giftless.commands.harmless import fit, harmless
from giftless.commands.units import number, size, span

#: How often a bar is drawn, at most, in seconds.
DRAW_INTERVAL: Final = 0.1

#: How often a line is written where no terminal is, in seconds.
LINE_INTERVAL: Final = 10.0

#: The rate is that of the last this many seconds.
_RATE_PERIOD: Final = 10.0

#: How wide a bar is, without its ends, and how wide a terminal that does not say so.
_BAR, _USUAL = 20, 80

#: Goes to the first column and clears the line.
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Counts what is done, and shows it on stderr.

    Nothing that is counted or written here fails: where nobody reads, nothing is shown.

    :param total: how many there are; ``None`` if nobody knows.
    :param what: is done, such as ``listing``; whatever it holds, a terminal shows it only.
    :param quiet: whether nothing is shown outside a terminal (for ``--json``).
    :param summary: whether :meth:`end` says how much was done, rather than nothing.
    :param before: how many of them an earlier run has done, which goes on here: they count,
        but make no rate.
    :param stream: where it is shown.
    :param clock: tells the time, in seconds.
    :ivar total: may be changed when more is known.
    :ivar count: how many are done.
    """

    def __init__(
        self,
        total: int | None,
        unit: Literal["objects", "bytes"],
        what: str,
        *,
        quiet: bool = False,
        summary: bool = True,
        before: int = 0,
        stream: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.count = before
        self._before = before
        self._write_number = size if unit == "bytes" else number
        self._unit = "" if unit == "bytes" else f" {unit}"
        self._what = harmless(what)
        self._summary = summary
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = self._terminal or not quiet
        self._began = clock()
        self._samples = deque([(self._began, before)])
        self._next = self._began + LINE_INTERVAL
        if self._terminal:
            self._draw(self._began)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.end()
        elif self._shown:
            # What was reached stays to be seen above the error.
            self._shown = False
            if self._terminal:
                self._write("\n")

    def add(self, count: int) -> None:
        """Count what has been done."""
        self.count += count
        if self._shown and (now := self._clock()) >= self._next:
            self._draw(now)

    def clear(self) -> None:
        """Make room in a terminal for a line of something else; the bar is drawn below it."""
        if self._shown and self._terminal:
            self._write(_CLEAR)
            self._next = self._clock()

    def end(self) -> None:
        """Say how much was done, and show nothing more."""
        if not self._shown:
            return
        if not self._summary:
            if self._terminal:
                self._write(_CLEAR)
            self._shown = False
            return
        seconds = self._clock() - self._began
        now = self.count - self._before
        rate = self._write_number(now / seconds) if seconds >= 1 else ""
        done = [f"{self._what}: {self._write_number(self.count)}{self._unit}", span(seconds)]
        self._write_line(", ".join([*done, f"{rate}/s"] if rate else done), last=True)
        self._shown = False

    def _draw(self, now: float) -> None:
        self._next = now + (DRAW_INTERVAL if self._terminal else LINE_INTERVAL)
        rate = self._rate(now)
        parts = [f"{self._write_number(self.count)}{self._unit}"]
        if self.total is not None:
            share = self.count / self.total if self.total else 1.0
            parts[0] = f"{min(1.0, share):4.0%}  {self._write_number(self.count)}"
            parts[0] += f" of {self._write_number(self.total)}{self._unit}"
            if self._terminal:
                full = min(_BAR, int(share * _BAR))
                parts[0] = f"[{'#' * full}{'-' * (_BAR - full)}] {parts[0]}"
        if rate:
            parts.append(f"{self._write_number(rate)}/s")
            if self.total is not None and self.total > self.count:
                parts.append(f"{span((self.total - self.count) / rate)} left")
        self._write_line(f"{self._what}: {'  '.join(parts).strip()}")

    def _rate(self, now: float) -> float:
        """Return how many were done in each of the last seconds."""
        self._samples.append((now, self.count))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_PERIOD:
            self._samples.popleft()
        began, before = self._samples[0]
        return (self.count - before) / (now - began) if now > began else 0.0

    def _write_line(self, text: str, *, last: bool = False) -> None:
        if self._terminal:
            # One column less: some terminals begin a new line behind the last one.
            text = _CLEAR + fit(text, max(1, self._columns() - 1)).rstrip()
        self._write(f"{text}\n" if last or not self._terminal else text)

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _USUAL
        except (OSError, ValueError):
            return _USUAL

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._shown = False
