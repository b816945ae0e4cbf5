"""The pages of locks: search, and release by force, which is confirmed before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import msgspec
from twisted.internet.defer import DeferredSemaphore

from giftless.base.pages import PageReply, PageRequest
from giftless.runtime.admin.pages.guard import Guard
from giftless.runtime.admin.pages.problem import Problem
from giftless.runtime.admin.pages.rendering import Renderer
from giftless.runtime.lock_questions import LOCKS, RELEASE, Answer, LockFacts, Release, Search
from giftless.runtime.questions import Ask, Unanswered

#: How many locks a page has.
PAGE_SIZE: Final = 50

#: What removes locks where nobody is identified.
NOBODY: Final = "admin endpoint"

#: How many searches run at once: each may read all locks, and users want the database, too.
_SEARCHES: Final = 2

#: How many others may wait for their turn: each holds a connection.
_MAX_WAITING: Final = 20

#: How many fields a form or a query may have.
_MAX_FIELDS: Final = 20


class LockPages:
    """Shows locks and releases them.

    :param renderer: makes pages.
    :param guard: knows which forms were made here.
    :param ask: asks a worker.
    """

    def __init__(self, renderer: Renderer, guard: Guard, ask: Ask) -> None:
        self._renderer = renderer
        self._guard = guard
        self._ask = ask
        self._turns = DeferredSemaphore(_SEARCHES)

    async def list(self, request: PageRequest) -> PageReply:
        """``GET locks``: a page of all locks, or of those that have a text in them."""
        fields = _fields(request.query)
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
        lock = await self._find(_fields(request.query).get("id", ""))
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
        if request.kind.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            raise Problem(415, "a form is needed")
        fields = _fields(request.body.decode("latin-1"))
        lock_id = fields.get("id", "")
        self._guard.check(request, _purpose(lock_id), fields.get("token", ""))
        order = Release(
            lock_id,
            request.who or NOBODY,
            request.principal,
            request.address,
            request.request_id,
        )
        (lock,) = (await self._question(RELEASE, order)).locks
        return self._renderer.page("released.html", lock=lock, public=request.public)

    async def _find(self, lock_id: str) -> LockFacts:
        found = (await self._search(Search(1, id=lock_id))).locks if lock_id else []
        if not found:
            raise Problem(404, "there is no such lock, or not any more")
        return found[0]

    async def _search(self, search: Search) -> Answer:
        if len(self._turns.waiting) >= _MAX_WAITING:
            raise Problem(503, "too many searches run already; try again in a moment")
        await self._turns.acquire()
        try:
            return await self._question(LOCKS, search)
        finally:
            self._turns.release()

    async def _question(self, name: str, question: msgspec.Struct) -> Answer:
        """Ask a worker.

        :raises Problem: if there is no answer, or one that says why not.
        """
        asked = self._ask(name, msgspec.json.encode(question))
        if asked is None:
            raise Problem(503, "no worker serves and answers")
        try:
            answer = msgspec.json.decode(await asked, type=Answer)
        except Unanswered as error:
            raise Problem(503, f"a worker {error}") from None
        if answer.problem:
            raise Problem(answer.status, answer.problem)
        return answer


def _purpose(lock_id: str) -> str:
    return f"release {lock_id}"


def _fields(text: str) -> Mapping[str, str]:
    """Read a query or a form; the first value of a field counts.

    :raises Problem: if it has too many fields.
    """
    try:
        read: dict[str, list[Any]] = parse_qs(text, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Problem(400, "the form has too many fields") from None
    return {name: values[0] for name, values in read.items()}
