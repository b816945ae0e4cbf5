"""Serve a page on the admin endpoints."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from twisted.web.resource import Resource

from giftless.base.pages import MAX_FORM, PageReply, PageRequest
from giftless.runtime.admin.answering import answer_later
from giftless.runtime.admin.site import AdminRequest
from giftless.web.proxies import host_of

#: Makes a page; never fails.
PageMaker = Callable[[PageRequest], Awaitable[PageReply]]


class PageResource(Resource):
    """A page.

    :param name: its name.
    :param make: makes it.
    """

    isLeaf = True

    def __init__(self, name: str, make: PageMaker) -> None:
        super().__init__()
        self._name = name
        self._make = make

    def render(self, request: AdminRequest) -> int:
        """Answer, as soon as the page is made."""

        async def answer() -> bytes:
            reply = await self._reply(request)
            request.setResponseCode(reply.status)
            for name, value in reply.headers.items():
                request.setHeader(name, value)
            return reply.body

        return answer_later(request, answer())

    async def _reply(self, request: AdminRequest) -> PageReply:
        if len(request.form) > MAX_FORM:
            return PageReply(413, {"Content-Type": "text/plain"}, b"the form is too long\n")
        return await self._make(
            PageRequest(
                request.method.decode("latin-1"),
                self._name,
                query=request.uri.partition(b"?")[2].decode("latin-1"),
                kind=_header(request, "content-type"),
                body=request.form,
                hosts=[_header(request, "host")],
                origin=_header(request, "origin"),
                fetch_site=_header(request, "sec-fetch-site"),
                address=host_of(request.getClientAddress()),
                request_id=secrets.token_hex(8),
            )
        )


def _header(request: AdminRequest, name: str) -> str:
    """Return a header's value, several joined by commas; empty if it is not there."""
    return ", ".join(request.requestHeaders.getRawHeaders(name, []))
