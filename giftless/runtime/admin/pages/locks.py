"""The pages of locks: search, and release by force, which is confirmed before."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlencode

from twisted.internet.interfaces import IReactorTime

from giftless.base.pages import PageReply, PageRequest
from giftless.runtime.admin.pages.asking import Asking
from giftless.runtime.admin.pages.forms import form_of, query_of
from giftless.runtime.admin.pages.guard import NOBODY, Guard
from giftless.runtime.admin.pages.problem import Problem
from giftless.runtime.admin.pages.rendering import Renderer
from giftless.runtime.lock_questions import LOCKS, RELEASE, Answer, LockFacts, Release, Search
from giftless.runtime.questions import Ask

#: How many locks a page has.
PAGE_SIZE: Final = 50

#: How many searches run at once: each may read all locks, and users want the database, too.
_SEARCHES: Final = 2


class LockPages:
    """Shows locks and releases them.

    :param renderer: makes pages.
    :param guard: knows which forms were made here.
    :param ask: asks a worker.
    :param clock: tells when an answer is late.
    """

    def __init__(self, renderer: Renderer, guard: Guard, ask: Ask, clock: IReactorTime) -> None:
        self._renderer = renderer
        self._guard = guard
        self._asking = Asking(ask, clock, _SEARCHES)

    async def list(self, request: PageRequest) -> PageReply:
        """``GET locks``: a page of all locks, or of those that have a text in them."""
        fields = query_of(request)
        text, cursor = fields.get("q", "").strip(), fields.get("cursor", "")
        answer, problem, status = Answer(), "", 200
        try:
            answer = await self._search(Search(PAGE_SIZE, text, cursor=cursor))
        except Problem as error:
            problem, status = error.message, error.status
        older = {"q": text, "cursor": answer.next_cursor} if answer.next_cursor else None
        return self._renderer.page(
            "locks.html",
            status,
            locks=answer.locks,
            text=text,
            later=bool(cursor),
            first=f"locks?{urlencode({'q': text})}" if text else "locks",
            older="" if older is None else f"locks?{urlencode(older)}",
            problem=problem,
            now=time.time(),
            public=request.public,
        )

    async def confirm(self, request: PageRequest) -> PageReply:
        """``GET release``: show one lock, and the form that releases it."""
        lock = await self._find(query_of(request).get("id", ""))
        return self._renderer.page(
            "release.html",
            lock=lock,
            token=self._guard.token(request, _purpose(lock.id)),
            who=request.who or NOBODY,
            address=request.address,
            now=time.time(),
            public=request.public,
        )

    async def release(self, request: PageRequest) -> PageReply:
        """``POST release``: remove a lock by force."""
        fields = form_of(request)
        lock_id = fields.get("id", "")
        self._guard.check(request, _purpose(lock_id), fields.get("token", ""))
        order = Release(
            lock_id,
            request.who or NOBODY,
            request.principal,
            request.address,
            request.request_id,
        )
        (lock,) = (await self._asking.change(RELEASE, order, Answer)).locks
        return self._renderer.page("released.html", lock=lock, public=request.public)

    async def _find(self, lock_id: str) -> LockFacts:
        found = (await self._search(Search(1, id=lock_id))).locks if lock_id else []
        if not found:
            raise Problem(404, "there is no such lock, or not any more")
        return found[0]

    async def _search(self, search: Search) -> Answer:
        return await self._asking.look(LOCKS, search, Answer)


def _purpose(lock_id: str) -> str:
    return f"release {lock_id}"
