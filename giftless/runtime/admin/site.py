"""The HTTP server of the admin endpoints: there is nothing to change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.http import Request as HTTPRequest
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from giftless.runtime.admin.doctor import Doctor
from giftless.runtime.admin.exposition import CONTENT_TYPE, Exposition
from giftless.runtime.admin.overview import Overview

#: After how many seconds a silent connection is closed.
IDLE: Final = 60

#: How many connections there may be at once: each takes a descriptor of the process
#: that starts workers.
MAX_CONNECTIONS: Final = 100

_log = Logger(namespace="giftless.admin")


class AdminSite(Site):
    """Serves ``/metrics``, ``/overview.json``, ``/health/live`` and ``/health/ready``.

    :param exposition: renders the metrics.
    :param doctor: knows the health.
    :param alive: whether some worker answers.
    :param overview: returns everything as it is now.
    :param reactor: the reactor.
    """

    noisy = False
    displayTracebacks = False

    def __init__(
        self,
        exposition: Exposition,
        doctor: Doctor,
        alive: Callable[[], bool],
        overview: Callable[[], Awaitable[Overview]],
        reactor: Any,
    ) -> None:
        root, health = _Folder(), _Folder()
        root.putChild(b"metrics", _Metrics(exposition, doctor))
        root.putChild(b"overview.json", _OverviewPage(overview))
        root.putChild(b"health", health)
        health.putChild(b"live", _Live(alive))
        health.putChild(b"ready", _Ready(doctor))
        super().__init__(root, _Request, timeout=IDLE, reactor=reactor)
        self._open = 0

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no log file."""

    def stopFactory(self) -> None:
        """Close nothing."""

    def log(self, request: HTTPRequest) -> None:
        """Write no access line: somebody asks every few seconds."""

    def buildProtocol(self, addr: Any) -> Any:
        """Take a connection, unless there are too many."""
        if self._open >= MAX_CONNECTIONS:
            return None
        channel: Any = super().buildProtocol(addr)
        lost = channel.connectionLost

        def connection_lost(reason: Any) -> None:
            self._open -= 1
            lost(reason)

        channel.connectionLost = connection_lost
        self._open += 1
        return channel


class _Request(Request):
    """A request whose body is thrown away as it comes: twisted.web would keep it."""

    def handleContentChunk(self, data: bytes) -> None:
        """Throw it away."""


class _Folder(Resource):
    """Holds pages, and is none."""

    def render(self, request: HTTPRequest) -> Any:
        """Say that there is nothing."""
        return notFound().render(request)


class _Page(Resource):
    """Something to read."""

    def answer(self, request: Request, status: int, kind: str, body: bytes) -> bytes:
        """Set the headers, and return the body."""
        request.setResponseCode(status)
        request.setHeader("Content-Type", kind)
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("X-Content-Type-Options", "nosniff")
        return body

    def answer_json(self, request: Request, well: bool, facts: object) -> bytes:
        """Answer with 200 or 503, and why."""
        return self.answer(
            request, 200 if well else 503, "application/json", msgspec.json.encode(facts)
        )

    def answer_later(self, request: Request, answer: Coroutine[Any, Any, bytes]) -> int:
        """Answer when it is known how; a client that has left is not waited for.

        :param answer: sets the headers, and returns the body.
        """
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        async def finish() -> None:
            body = await answer
            request.setHeader("Content-Length", str(len(body)))
            if not gone:
                request.write(b"" if request.method == b"HEAD" else body)
                request.finish()

        Deferred.fromCoroutine(finish()).addErrback(
            lambda failure: _log.failure("a page cannot be told", failure)
        )
        return NOT_DONE_YET


class _Metrics(_Page):
    def __init__(self, exposition: Exposition, doctor: Doctor) -> None:
        super().__init__()
        self._exposition = exposition
        self._doctor = doctor

    def render_GET(self, request: Request) -> bytes:
        self._doctor.look()
        return self.answer(request, 200, CONTENT_TYPE, self._exposition.render())


class _OverviewPage(_Page):
    def __init__(self, overview: Callable[[], Awaitable[Overview]]) -> None:
        super().__init__()
        self._overview = overview

    def render_GET(self, request: Request) -> int:
        async def answer() -> bytes:
            return self.answer_json(request, True, await self._overview())

        return self.answer_later(request, answer())


class _Live(_Page):
    def __init__(self, alive: Callable[[], bool]) -> None:
        super().__init__()
        self._alive = alive

    def render_GET(self, request: Request) -> bytes:
        alive = self._alive()
        words = "alive" if alive else "no worker serves and answers"
        return self.answer_json(request, alive, {"status": words})


class _Ready(_Page):
    def __init__(self, doctor: Doctor) -> None:
        super().__init__()
        self._doctor = doctor

    def render_GET(self, request: Request) -> int:
        async def answer() -> bytes:
            report = await self._doctor.report()
            facts = {
                "status": "ready" if report.ready else "not ready",
                "parts": {part: problem or "well" for part, problem in report.problems.items()},
            }
            return self.answer_json(request, report.ready, facts)

        return self.answer_later(request, answer())
