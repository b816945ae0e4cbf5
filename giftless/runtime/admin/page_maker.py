"""Make pages for whoever asks; load what that takes when somebody does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.base.pages import PageReply, PageRequest
from giftless.monitoring.overview import Overview
from giftless.runtime.questions import Ask

if TYPE_CHECKING:
    from giftless.runtime.admin.pages.pages import Pages

_log = Logger(namespace="giftless.admin")

#: What is shown instead of a page that cannot be made.  An upgrade may have exchanged the
#: files of the pages since the daemon was started.
_BROKEN: Final = PageReply(
    500,
    {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"},
    b"the page cannot be shown, and the log says why; if giftless was upgraded, restart it\n",
)


class PageMaker:
    """Makes pages.

    :param overview: returns what the parent knows.
    :param ask: asks a worker.
    :param clock: tells when an answer is late.
    :ivar hosts: see :class:`giftless.runtime.admin.pages.guard.Guard`.
    """

    def __init__(
        self, overview: Callable[[], Awaitable[Overview]], ask: Ask, clock: IReactorTime
    ) -> None:
        self._overview = overview
        self._ask = ask
        self._clock = clock
        self._pages: Pages | None = None
        self.hosts: Collection[str] = ()

    async def make(self, request: PageRequest) -> PageReply:
        """Make a page; never fails."""
        try:
            if self._pages is None:
                # Not before: it takes memory.
                from giftless.runtime.admin.pages.pages import Pages

                self._pages = Pages(self._overview, self._ask, lambda: self.hosts, self._clock)
            return await self._pages.answer(request)
        except Exception:
            _log.failure("the page {path!r} cannot be shown", path=request.path)
            return _BROKEN

    async def answer(self, question: bytes) -> bytes:
        """Make a page for a worker, whose client is an operator."""
        request = msgspec.json.decode(question, type=PageRequest)
        return msgspec.json.encode(await self.make(request))
