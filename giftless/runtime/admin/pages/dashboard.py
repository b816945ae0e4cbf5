"""The dashboard: what the server does now, and has done for an hour and a day."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from giftless.base.pages import PageReply, PageRequest
from giftless.monitoring.overview import Overview, Series
from giftless.runtime.admin.pages import words
from giftless.runtime.admin.pages.charts import PITCH, Chart, bars
from giftless.runtime.admin.pages.rendering import Renderer

#: For how many seconds a page is shown again: whoever asks often, and however many ask,
#: must not keep the parent busy.
_FRESH: Final = 1.0

#: What pieces of bars count.
_REQUESTS: Final = {"answered": "answered", "refused": "refused", "errors": "failed"}
_BYTES: Final = {"uploaded": "uploaded", "downloaded": "downloaded"}


class Dashboard:
    """Shows an overview.

    :param renderer: makes pages.
    :param overview: returns what is known.
    :param seconds: tells the time, in seconds.
    """

    def __init__(
        self,
        renderer: Renderer,
        overview: Callable[[], Awaitable[Overview]],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._renderer = renderer
        self._overview = overview
        self._seconds = seconds
        self._made: dict[bool, tuple[float, PageReply]] = {}
        self._waiting: dict[bool, list[Deferred[PageReply]]] = {}

    async def page(self, request: PageRequest) -> PageReply:
        """``GET /``: the dashboard."""
        made, reply = self._made.get(request.public, (0.0, None))
        if reply is not None and made <= self._seconds() < made + _FRESH:
            return reply
        # Who comes while one is being made waits for that.
        turn = Deferred[PageReply]()
        waiting = self._waiting.setdefault(request.public, [])
        waiting.append(turn)
        if len(waiting) == 1:
            making = Deferred.fromCoroutine(self._make(request.public))
            making.addBoth(self._show, request.public)
        return await turn

    def _show(self, reply: PageReply | Failure, public: bool) -> None:
        """Give a page, or what has failed, to all who wait for it."""
        if isinstance(reply, PageReply):
            self._made[public] = self._seconds(), reply
        # Not one from within another: hundreds would exceed Python's stack.
        for turn in self._waiting.pop(public):
            turn.callback(reply)

    async def json(self, request: PageRequest) -> PageReply:
        """``GET overview.json``: the same for programs."""
        return self._renderer.json(await self._overview())

    async def _make(self, public: bool) -> PageReply:
        overview = await self._overview()
        return self._renderer.page(
            "dashboard.html",
            overview=overview,
            periods=[
                {
                    "name": "hour",
                    "title": "Last hour",
                    "charts": charts(overview.hour),
                    "rows": rows(overview.hour),
                },
                {
                    "name": "day",
                    "title": "Last day",
                    "charts": charts(overview.day),
                    "rows": rows(overview.day),
                },
            ],
            public=public,
        )


def charts(series: Series) -> list[Chart]:
    """Return the charts of requests and of bytes."""
    # A request that failed or was refused is a request, too.
    answered = [
        max(0.0, all_of_them - refused - errors)
        for all_of_them, refused, errors in zip(
            series.requests, series.refused, series.errors, strict=True
        )
    ]
    step = "minute" if series.step == 60 else words.span(series.step)
    counts = {"answered": answered, "refused": series.refused, "errors": series.errors}
    most, drawn = bars(counts, lambda index: _requests_of(series, index))
    total, refused, errors = map(sum, (series.requests, series.refused, series.errors))
    requests = Chart(
        f"Requests per {step}",
        f"{words.number(total)} requests, {words.number(refused)} of them refused and"
        f" {words.number(errors)} failed; at most {words.number(most)} per {step}",
        words.number(most),
        _ends(series),
        _REQUESTS,
        len(answered) * PITCH,
        drawn,
    )
    moved = {"uploaded": series.uploaded_bytes, "downloaded": series.downloaded_bytes}
    most, drawn = bars(moved, lambda index: _bytes_of(series, index))
    up, down = sum(series.uploaded_bytes), sum(series.downloaded_bytes)
    return [
        requests,
        Chart(
            f"Bytes per {step}",
            f"{words.size(up)} uploaded and {words.size(down)} downloaded;"
            f" at most {words.size(most)} per {step}",
            words.size(most),
            _ends(series),
            _BYTES,
            len(series.uploaded_bytes) * PITCH,
            drawn,
        ),
    ]


def rows(series: Series) -> list[dict[str, float]]:
    """Return the figures of the steps in which there was something, the newest first."""
    names = ("requests", "refused", "errors", "uploaded_bytes", "downloaded_bytes")
    found = []
    for index in reversed(range(len(series.requests))):
        figures = {name: getattr(series, name)[index] for name in names}
        if any(figures.values()):
            found.append({"at": _begin(series, index), **figures})
    return found


def _begin(series: Series, index: int) -> float:
    """Return when a step began, in seconds since the epoch."""
    return series.until - (len(series.requests) - index) * series.step


def _ends(series: Series) -> tuple[str, str]:
    return f"{words.span(series.until - _begin(series, 0))} ago", "now"


def _requests_of(series: Series, index: int) -> str:
    return (
        f"{words.clock(_begin(series, index))} UTC:"
        f" {words.number(series.requests[index])} requests,"
        f" {words.number(series.refused[index])} refused,"
        f" {words.number(series.errors[index])} failed"
    )


def _bytes_of(series: Series, index: int) -> str:
    return (
        f"{words.clock(_begin(series, index))} UTC:"
        f" {words.size(series.uploaded_bytes[index])} uploaded,"
        f" {words.size(series.downloaded_bytes[index])} downloaded"
    )
