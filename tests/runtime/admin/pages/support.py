"""Pages over a sample, and what must not be in one."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from giftless.base.pages import PageReply, PageRequest
from giftless.monitoring.overview import Overview
from giftless.runtime.admin.pages.pages import Pages
from giftless.runtime.lock_questions import Answer, Release, Search
from giftless.runtime.questions import Ask
from giftless.runtime.space_questions import (
    ObjectsFacts,
    ObjectsOf,
    QuotasFacts,
    QuotasOf,
    TrashFacts,
    TrashOrder,
    UsageFacts,
    UsageOf,
)
from tests.runtime.admin.pages import sample
from tests.support.run import CoroutineTestCase

#: The type of a form.
FORM: Final = "application/x-www-form-urlencoded"


#: What workers are asked, by the names of the questions.
QUESTIONS: Final[dict[str, type]] = {
    "locks": Search,
    "release": Release,
    "usage": UsageOf,
    "objects": ObjectsOf,
    "quotas": QuotasOf,
    "restore": TrashOrder,
    "purge": TrashOrder,
}


class Checker(HTMLParser):
    """Reads a page, and finds what must not be in one.

    :ivar tags: how often each element begins.
    :ivar text: what can be read.
    :ivar attributes: all attributes, with their elements.
    :ivar open: the elements that have not ended.
    """

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.text = ""
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data


class PagesTestCase(CoroutineTestCase):
    """Pages over a sample.

    :ivar answers: what a worker answers, by the names of the questions.
    :ivar asked: what it was asked.
    """

    def setUp(self) -> None:
        self.overview = sample.overview()
        self.answers: dict[str, Any] = {
            "locks": Answer(),
            "release": Answer(),
            "usage": UsageFacts(),
            "objects": ObjectsFacts(),
            "quotas": QuotasFacts(),
            "restore": TrashFacts(),
            "purge": TrashFacts(),
        }
        self.asked: list[Any] = []
        self.clock: Any = Clock()
        self.use(self.ask)

    def use(self, ask: Ask) -> None:
        """Make pages that ask workers so."""
        self.pages = Pages(self.look, ask, lambda: (), self.clock)

    async def look(self) -> Overview:
        """Return the sample."""
        return self.overview

    def ask(self, name: str, payload: bytes, patience: float) -> Deferred[bytes] | None:
        """Answer as a worker does."""
        self.asked.append(msgspec.json.decode(payload, type=QUESTIONS[name]))
        answer = self.answers[name]
        if isinstance(answer, Exception):
            return fail(answer)
        if answer is None or isinstance(answer, Deferred):
            return answer
        return succeed(msgspec.json.encode(answer))

    def get(
        self, path: str = "", query: str = "", method: str = "GET", **members: Any
    ) -> PageReply:
        """Ask for a page."""
        request = self.request(path, query, method, **members)
        reply: PageReply = self.run_now(self.pages.answer(request))
        return reply

    def request(
        self, path: str = "", query: str = "", method: str = "GET", **members: Any
    ) -> PageRequest:
        """Return a request of an operator on this machine."""
        members.setdefault("hosts", ["127.0.0.1"])
        return PageRequest(method, path, query, **members)

    def read(self, reply: PageReply, status: int = 200) -> Checker:
        """Read a page, and check that there is nothing in it that must not be."""
        self.assertEqual(reply.status, status)
        self.assertEqual(reply.headers["Content-Type"], "text/html; charset=utf-8")
        self.check_headers(reply)
        page = Checker(reply.body.decode())
        self.assertEqual((page.problems, page.open), ([], []))
        for tag, name, value in page.attributes:
            self.assertNotIn(name, ("style", "srcdoc", "formaction"), tag)
            self.assertFalse(name.startswith("on"), (tag, name))
            if name in ("href", "src", "action"):
                self.assertRegex(value, r"\A(\./|#content|[a-z]+(\.[a-z]+)?(\?[\w%+.=&-]*)?)\Z")
        self.assertEqual(page.tags.get("style", 0), 0)
        self.assertIn("title", page.tags)
        return page

    def check_headers(self, reply: PageReply) -> None:
        """Check the headers that every page has."""
        policy = reply.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        for part in ("base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            self.assertIn(part, policy)
        self.assertNotIn("unsafe", policy)
        for name, value in (
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.assertEqual(reply.headers[name], value)
