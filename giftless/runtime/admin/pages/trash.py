"""The pages of the trash: what is in it; restore and delete for good, confirmed before."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from giftless.base.concurrency import settle
from giftless.base.pages import PageReply, PageRequest
from giftless.interfaces.catalogue import UsageRow
from giftless.runtime.admin.pages.asking import Asking
from giftless.runtime.admin.pages.forms import form_of, link, number_of, query_of
from giftless.runtime.admin.pages.guard import NOBODY, Guard
from giftless.runtime.admin.pages.problem import Problem
from giftless.runtime.admin.pages.rendering import Renderer
from giftless.runtime.admin.pages.usage import MAX_ROWS, PAGE_SIZE, part, rows_of
from giftless.runtime.space_questions import (
    OBJECTS,
    PURGE,
    RESTORE,
    USAGE,
    ObjectFacts,
    ObjectsFacts,
    ObjectsOf,
    TrashFacts,
    TrashOrder,
    UsageFacts,
    UsageOf,
)

#: For how many seconds an answer is shown again: less than for usage, because what is
#: seen here is changed here.
FRESH: Final = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The objects in the trash that are to be restored or deleted.

    :ivar repo: of this repository; empty for all.
    :ivar oid: this object; empty for all.
    :ivar before: what was in the trash at this moment, in seconds since the epoch.
    """

    repo: str
    oid: str
    before: float

    @property
    def scope(self) -> str:
        """How much that is: an ``object``, a ``repository``, or ``all``."""
        if self.oid:
            return "object"
        return "repository" if self.repo else "all"


class TrashPages:
    """Shows what is in the trash, restores it and deletes it for good.

    :param renderer: makes pages.
    :param guard: knows which forms were made here.
    :param asking: asks workers.
    """

    def __init__(self, renderer: Renderer, guard: Guard, asking: Asking) -> None:
        self._renderer = renderer
        self._guard = guard
        self._asking = asking

    async def list(self, request: PageRequest) -> PageReply:
        """``GET trash``: what is in the trash, by repository and object by object."""
        fields = query_of(request)
        repo, cursor = fields.get("repo", "").strip(), fields.get("cursor", "")
        usage_of = UsageOf("repo", repo, MAX_ROWS, trashed=True)
        objects_of = ObjectsOf(PAGE_SIZE, repo, trashed=True, order="moved", cursor=cursor)
        asked: list[Any] = [
            part(self._asking, USAGE, usage_of, UsageFacts(), FRESH),
            part(self._asking, OBJECTS, objects_of, ObjectsFacts(), FRESH),
        ]
        usage, found = await settle(asked)
        return self._renderer.page(
            "trash.html",
            max(usage.status, found.status),
            usage=usage,
            rows=rows_of(usage.facts, number_of(fields.get("page", ""))),
            found=found,
            repo=repo,
            later=bool(cursor),
            link=link,
            turn=partial(link, "trash", repo=repo),
            now=time.time(),
            public=request.public,
        )

    async def confirm_restore(self, request: PageRequest) -> PageReply:
        """``GET restore``: show what would be restored, and the form that does it."""
        return await self._confirm(request, RESTORE)

    async def confirm_purge(self, request: PageRequest) -> PageReply:
        """``GET purge``: show what would be deleted for good, and the form that does it."""
        return await self._confirm(request, PURGE)

    async def restore(self, request: PageRequest) -> PageReply:
        """``POST restore``: move objects back to where they were."""
        return await self._change(request, RESTORE)

    async def purge(self, request: PageRequest) -> PageReply:
        """``POST purge``: delete objects for good."""
        return await self._change(request, PURGE)

    async def _confirm(self, request: PageRequest, action: str) -> PageReply:
        fields = query_of(request)
        wanted = Wanted(fields.get("repo", ""), fields.get("oid", ""), time.time())
        found, total = await self._find(wanted)
        return self._renderer.page(
            "confirm.html",
            action=action,
            wanted=wanted,
            object=found,
            total=total,
            token=self._guard.token(request, _purpose(action, wanted)),
            who=request.who or NOBODY,
            address=request.address,
            now=time.time(),
            link=link,
            public=request.public,
        )

    async def _change(self, request: PageRequest, action: str) -> PageReply:
        fields = form_of(request)
        wanted = Wanted(
            fields.get("repo", ""), fields.get("oid", ""), _moment(fields.get("before", ""))
        )
        purpose = _purpose(action, wanted)
        self._guard.check(request, purpose, fields.get("token", ""))
        order = TrashOrder(
            request.who or NOBODY,
            request.principal,
            request.address,
            request.request_id,
            wanted.repo,
            wanted.oid,
            wanted.before,
        )
        done = await self._asking.change(action, order, TrashFacts)
        return self._renderer.page(
            "done.html",
            action=action,
            wanted=wanted,
            done=done,
            token=self._guard.token(request, purpose),
            link=link,
            public=request.public,
        )

    async def _find(self, wanted: Wanted) -> tuple[ObjectFacts | None, UsageRow]:
        """Look for what is wanted.

        :returns: the object, if it is one, and how much it is together.
        :raises Problem: if there is no such thing in the trash, or not any more.
        """
        if wanted.oid:
            objects_of = ObjectsOf(1, wanted.repo, wanted.oid, trashed=True)
            found = (await self._asking.look(OBJECTS, objects_of, ObjectsFacts)).objects
            if not found:
                raise Problem(404, "this object is not in the trash, or not any more")
            return found[0], UsageRow("", trashed=1, trashed_size=found[0].size)
        # Others may be below its path, which are not meant.
        usage_of = UsageOf("repo", wanted.repo, 1, trashed=True, below=not wanted.repo)
        total = (await self._asking.look(USAGE, usage_of, UsageFacts)).total
        if not total.trashed:
            raise Problem(404, "there is nothing of this in the trash, or not any more")
        return None, total


def _purpose(action: str, wanted: Wanted) -> str:
    return f"{action} {wanted.before!r} {wanted.oid} {wanted.repo}"


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
