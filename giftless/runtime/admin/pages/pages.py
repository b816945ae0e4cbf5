"""Lead requests for pages to what answers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.pages import OVERVIEW, PageReply, PageRequest
from giftless.monitoring.overview import Overview
from giftless.runtime.admin.pages.asking import Asking
from giftless.runtime.admin.pages.dashboard import Dashboard
from giftless.runtime.admin.pages.guard import Guard
from giftless.runtime.admin.pages.locks import LockPages
from giftless.runtime.admin.pages.problem import Problem
from giftless.runtime.admin.pages.rendering import Renderer
from giftless.runtime.admin.pages.trash import TrashPages
from giftless.runtime.admin.pages.usage import UsagePages
from giftless.runtime.questions import Ask

_log = Logger(namespace="giftless.admin")

#: How many questions about stored objects run at once: users want the database, too.
_QUESTIONS: Final = 6

Handler = Callable[[PageRequest], Awaitable[PageReply]]


class Pages:
    """Answers requests for every page.

    :param overview: returns what the parent knows.
    :param ask: asks a worker.
    :param hosts: see :class:`Guard`.
    :param clock: tells when an answer is late.
    """

    def __init__(
        self,
        overview: Callable[[], Awaitable[Overview]],
        ask: Ask,
        hosts: Callable[[], Collection[str]],
        clock: IReactorTime,
    ) -> None:
        self._renderer = Renderer()
        self._guard = Guard(hosts)
        dashboard = Dashboard(self._renderer, overview)
        locks = LockPages(self._renderer, self._guard, ask, clock)
        space = Asking(ask, clock, _QUESTIONS)
        usage = UsagePages(self._renderer, space)
        trash = TrashPages(self._renderer, self._guard, space)
        self._handlers: Mapping[str, Mapping[str, Handler]] = {
            "": {"GET": dashboard.page},
            OVERVIEW: {"GET": dashboard.json},
            "locks": {"GET": locks.list},
            "release": {"GET": locks.confirm, "POST": locks.release},
            "usage": {"GET": usage.usage},
            "objects": {"GET": usage.objects},
            "trash": {"GET": trash.list},
            "restore": {"GET": trash.confirm_restore, "POST": trash.restore},
            "purge": {"GET": trash.confirm_purge, "POST": trash.purge},
        }

    async def answer(self, request: PageRequest) -> PageReply:
        """Answer a request; never fails."""
        try:
            self._guard.admit(request)
            return await self._answer(request)
        except Problem as problem:
            reply = self._problem(request, problem.status, problem.message)
            reply.headers.update(problem.headers)
            return reply
        except Exception:
            _log.failure("the page {path!r} cannot be shown", path=request.path)
            return self._problem(request, 500, "the page cannot be shown; the log says why")

    def _problem(self, request: PageRequest, status: int, message: str) -> PageReply:
        if request.path == OVERVIEW:
            return self._renderer.json({"message": message}, status)
        return self._renderer.problem(status, message, request.public)

    async def _answer(self, request: PageRequest) -> PageReply:
        method = "GET" if request.method == "HEAD" else request.method
        static = self._renderer.static(request.path)
        handlers = self._handlers.get(request.path, {})
        if static is not None and method == "GET":
            return static
        if method in handlers:
            return await handlers[method](request)
        if static is None and not handlers:
            raise Problem(404, "there is no such page")
        allowed = ", ".join(sorted({"GET", "HEAD", *handlers}))
        raise Problem(405, f"use one of: {allowed}", {"Allow": allowed})
