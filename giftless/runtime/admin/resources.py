"""What can be asked of the admin endpoints, beside the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.web.http import Request as HTTPRequest
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from giftless.base.pages import PAGES
from giftless.runtime.admin.answering import answer_later
from giftless.runtime.admin.doctor import Doctor
from giftless.runtime.admin.exposition import CONTENT_TYPE, Exposition
from giftless.runtime.admin.page_resource import PageMaker, PageResource
from giftless.web.administration.names import API


class Root(Resource):
    """The root of all: ``/metrics``, ``/health/live``, ``/health/ready``, ``/api/…``, pages.

    :param exposition: renders the metrics.
    :param doctor: knows the health.
    :param alive: whether some worker answers.
    :param pages: makes the pages.
    :param api: makes what serves the administration's API, when somebody wants it.
    """

    def __init__(
        self,
        exposition: Exposition,
        doctor: Doctor,
        alive: Callable[[], bool],
        pages: PageMaker,
        api: Callable[[], IResource],
    ) -> None:
        super().__init__()
        self._pages = pages
        self._api = api
        health = _Folder()
        health.putChild(b"live", _Live(alive))
        health.putChild(b"ready", _Ready(doctor))
        self.putChild(b"health", health)
        self.putChild(b"metrics", _Metrics(exposition, doctor))

    def getChild(self, path: bytes, request: Any) -> IResource:
        """Find a page, or the administration's API."""
        name = path.decode("latin-1")
        if name == API:
            return self._api()
        if name in PAGES and not request.postpath:
            return PageResource(name, self._pages)
        return notFound()


class _Folder(Resource):
    """Holds resources, and is none."""

    def render(self, request: HTTPRequest) -> Any:
        """Say that there is nothing."""
        return notFound().render(request)


class _Facts(Resource):
    """Something to read."""

    def render(self, request: Any) -> Any:
        """Answer who reads; refuse everybody else."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            return errorPage(405, "Method Not Allowed", "Read this with GET.").render(request)
        return super().render(request)

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


class _Metrics(_Facts):
    def __init__(self, exposition: Exposition, doctor: Doctor) -> None:
        super().__init__()
        self._exposition = exposition
        self._doctor = doctor

    def render_GET(self, request: Request) -> bytes:
        self._doctor.look()
        return self.answer(request, 200, CONTENT_TYPE, self._exposition.render())


class _Live(_Facts):
    def __init__(self, alive: Callable[[], bool]) -> None:
        super().__init__()
        self._alive = alive

    def render_GET(self, request: Request) -> bytes:
        alive = self._alive()
        words = "alive" if alive else "no worker serves and answers"
        return self.answer_json(request, alive, {"status": words})


class _Ready(_Facts):
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

        return answer_later(request, answer())
