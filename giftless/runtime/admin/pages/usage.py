"""The pages of usage: how much is stored, of what, and which objects that are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar, get_args

import msgspec

from giftless.base.concurrency import settle
from giftless.base.pages import PageReply, PageRequest
from giftless.interfaces.catalogue import By, UsageRow
from giftless.runtime.admin.pages.asking import Asking, Told
from giftless.runtime.admin.pages.forms import link, number_of, one_of, query_of
from giftless.runtime.admin.pages.problem import Problem
from giftless.runtime.admin.pages.rendering import Renderer
from giftless.runtime.space_questions import (
    OBJECTS,
    QUOTAS,
    USAGE,
    ObjectsFacts,
    ObjectsOf,
    Order,
    QuotasFacts,
    QuotasOf,
    UsageFacts,
    UsageOf,
)

#: How many rows a page has, and how many objects a list of the largest and so on.
PAGE_SIZE: Final = 50
TOP: Final = 10

#: How many rows are asked for; what others have is told as a sum.
MAX_ROWS: Final = 500

#: For how many seconds an answer is shown again, whoever asks.
FRESH: Final = 5.0

#: By what usage is told, and what a row is then.
KINDS: Final[Mapping[By, str]] = {
    "org": "Organisation",
    "repo": "Repository",
    "person": "Person",
    "age": "Month",
    "name": "Extension",
}

#: In which orders stored objects are listed, and what the lists are called.
ORDERS: Final[Mapping[Order, str]] = {
    "size": "Largest objects",
    "stored": "Oldest objects",
    "offered": "Objects longest not offered",
}

T = TypeVar("T", bound=Told)


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What a part of a page shows.

    :ivar facts: what a worker has told; without anything if there is a problem.
    :ivar problem: why it could not be told; empty if it was.
    :ivar status: the HTTP status that stands for how it went.
    """

    facts: T
    problem: str = ""
    status: int = 200


async def part(
    asking: Asking, name: str, question: msgspec.Struct, nothing: T, fresh: float = FRESH
) -> Part[T]:
    """Ask a worker for a part of a page; never fails.

    :param nothing: what is shown if there is a problem.
    """
    try:
        return Part(await asking.look_again(name, question, type(nothing), fresh))
    except Problem as problem:
        return Part(nothing, problem.message, problem.status)


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of rows.

    :ivar shown: the rows of this page.
    :ivar number: the number of this page, from 1 on.
    :ivar last: the number of the last page.
    :ivar rest: what all rows have together that are on no page; ``None`` if there are none.
    """

    shown: list[UsageRow]
    number: int
    last: int
    rest: UsageRow | None


def rows_of(usage: UsageFacts, number: int) -> Rows:
    """Return a page of rows; the last one if there are not so many.

    :param number: of the page, from 1 on.
    """
    last = max(1, -(-len(usage.rows) // PAGE_SIZE))
    number = min(number, last)
    shown = usage.rows[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return Rows(shown, number, last, _rest(usage) if len(usage.rows) >= MAX_ROWS else None)


def _rest(usage: UsageFacts) -> UsageRow | None:
    rest = usage.total
    for row in usage.rows:
        rest = UsageRow(
            "",
            rest.objects - row.objects,
            rest.size - row.size,
            rest.trashed - row.trashed,
            rest.trashed_size - row.trashed_size,
        )
    return rest if rest.objects > 0 or rest.trashed > 0 else None


class UsagePages:
    """Shows what is stored.

    :param renderer: makes pages.
    :param asking: asks workers.
    """

    def __init__(self, renderer: Renderer, asking: Asking) -> None:
        self._renderer = renderer
        self._asking = asking

    async def usage(self, request: PageRequest) -> PageReply:
        """``GET usage``: how much is stored, in all repositories or in some."""
        fields = query_of(request)
        repo = fields.get("repo", "").strip()
        by: By = one_of(fields.get("by", ""), get_args(By), "repo" if repo else "org")
        asked: list[Any] = [
            part(self._asking, USAGE, UsageOf(by, repo, MAX_ROWS), UsageFacts()),
            part(self._asking, QUOTAS, QuotasOf(repo, PAGE_SIZE), QuotasFacts()),
            *(
                part(self._asking, OBJECTS, ObjectsOf(TOP, repo, order=order), ObjectsFacts())
                for order in ORDERS
            ),
        ]
        usage, quotas, *lists = await settle(asked)
        return self._renderer.page(
            "usage.html",
            usage.status,
            usage=usage,
            rows=rows_of(usage.facts, number_of(fields.get("page", ""))),
            quotas=quotas,
            lists=[
                {"order": order, "title": title, "found": found}
                for (order, title), found in zip(ORDERS.items(), lists, strict=True)
            ],
            repo=repo,
            by=by,
            kinds=KINDS,
            link=link,
            turn=partial(link, "usage", repo=repo, by=by),
            now=time.time(),
            public=request.public,
        )

    async def objects(self, request: PageRequest) -> PageReply:
        """``GET objects``: stored objects, the largest, oldest or longest not offered first."""
        fields = query_of(request)
        repo, cursor = fields.get("repo", "").strip(), fields.get("cursor", "")
        order: Order = one_of(fields.get("order", ""), tuple(ORDERS), "size")
        question = ObjectsOf(PAGE_SIZE, repo, order=order, cursor=cursor)
        found = await part(self._asking, OBJECTS, question, ObjectsFacts())
        return self._renderer.page(
            "objects.html",
            found.status,
            found=found,
            repo=repo,
            order=order,
            orders=ORDERS,
            later=bool(cursor),
            link=link,
            now=time.time(),
            public=request.public,
        )
