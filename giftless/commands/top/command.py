"""The command line of ``giftless top``."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

from giftless.app import config
from giftless.commands import CONFIG, Command, CommandError
from giftless.commands.harmless import fit
from giftless.commands.top import screen
from giftless.commands.top.fetching import (
    Place,
    Unreachable,
    fetch,
    place_of_endpoint,
    place_of_url,
)
from giftless.commands.top.picture import Line, picture
from giftless.monitoring.overview import Overview

#: How often the picture is drawn anew, in seconds.
INTERVAL: Final = 2.0

#: How styles look, and what ends them.
_STYLES: Final = {"": "", "heading": "\x1b[1m", "alarm": "\x1b[1;7m"}
_PLAIN: Final = "\x1b[0m"


class TopCommand(Command):
    """The command line of ``giftless top``."""

    synopsis = "[--config FILE] [--url URL] [--once]"
    longdesc = (
        "Show what the server does now and has done lately, from the first admin endpoint of"
        " the configuration, every two seconds. Press q to end. Without a terminal it is shown"
        " once."
    )
    optParameters: Any = [
        CONFIG,
        ["url", "u", None, "Of an admin endpoint: http://HOST:PORT, https://… or unix:PATH."],
        ["cacert", None, None, "A file of certificates that are trusted for https."],
    ]
    optFlags = [["once", "1", "Show it once, and end."]]

    def run(self) -> None:
        """Show the overview until somebody ends it."""
        place = self._place()
        stdout: Any = sys.stdout
        stdout.reconfigure(errors="replace")
        try:
            if self["once"] or not screen.is_terminal():
                _show_once(place)
            else:
                _watch(place)
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:
            # Nobody reads: nothing is left to write at the end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _place(self) -> Place:
        if self["url"] is not None:
            return place_of_url(self["url"], self["cacert"])
        options = config.load(self["config"], os.environ).config
        if not options.admin.endpoints:
            raise CommandError(
                "the configuration has no admin endpoint (admin.endpoints), which this asks"
            )
        return place_of_endpoint(options.admin.endpoints[0])


def _show_once(place: Place) -> None:
    try:
        overview = fetch(place)
    except Unreachable as error:
        raise CommandError(f"{place.shown}: {error}") from None
    columns, _ = screen.size()
    for line in picture(overview, columns):
        print(line.text.rstrip())
    sys.stdout.flush()


def _watch(place: Place) -> None:
    watch = _Watch(place)
    with screen.whole_screen() as terminal:
        while True:
            left = watch.look()
            columns, height = screen.size()
            terminal.show(list(map(_styled, watch.lines(columns, height))))
            if not terminal.wait(left):
                return


class _Watch:
    """Looks again and again; what was seen last stays while nothing is seen."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._looked_at = float("-inf")
        self._overview: Overview | None = None
        self._problem = ""
        self._processor: float | None = None

    def look(self) -> float:
        """Ask the daemon, if it is time.

        :returns: for how many seconds not to ask.
        """
        left = self._looked_at + INTERVAL - time.monotonic()
        if left > 0:
            return left
        before, began = self._overview, self._looked_at
        try:
            self._overview = overview = fetch(self._place)
        except Unreachable as error:
            self._problem = f"{self._place.shown}: {error}; trying again"
            self._looked_at = time.monotonic()
        else:
            self._problem = ""
            self._looked_at = time.monotonic()
            if before is not None:
                self._processor = _used(before, overview) / (self._looked_at - began)
        return INTERVAL

    def lines(self, columns: int, height: int) -> list[Line]:
        """Return what there is to see."""
        if self._overview is None:
            return [Line(fit(self._problem, columns), "alarm")]
        return picture(self._overview, columns, height, self._processor, self._problem)


def _used(before: Overview, after: Overview) -> float:
    """Return how many seconds of a processor the workers have used between two looks."""
    known = {worker.pid: worker.cpu_seconds for worker in before.workers}
    return sum(max(0.0, one.cpu_seconds - known.get(one.pid, 0.0)) for one in after.workers)


def _styled(line: Line) -> str:
    style = _STYLES[line.style]
    return f"{style}{line.text}{_PLAIN}" if style else line.text
