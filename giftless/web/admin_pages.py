"""The operators' pages on the endpoints that clients use (``admin.public_pages``).

They are below ``/-/``, for whoever has the permission ``admin`` there: authenticators are
asked about :data:`~giftless.lfs.objects.OPERATION`, as if it were a repository.  The
daemon makes the pages; this process knows only who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from giftless.base.pages import MAX_FORM, OVERVIEW, PAGES, PageReply, PageRequest
from giftless.errors import LFSError, PayloadTooLarge, Unauthorized
from giftless.interfaces import IAuthenticator, Identity
from giftless.lfs.objects import OPERATION, OWN_PAGES, Permission
from giftless.usecases.authorization import Gate
from giftless.web.call import Call, RepoCall
from giftless.web.errors import Challenge
from giftless.web.links import Links
from giftless.web.origin import hosts_of
from giftless.web.proxies import ServerURL
from giftless.web.route import Level, Route

#: Makes a page; raises an :class:`~giftless.errors.LFSError` if it cannot.
PageMaker = Callable[[PageRequest], Awaitable[PageReply]]


class AdminPages:
    """Serves pages to operators.

    :param make: makes the pages.
    :param authenticator: identifies who sends a request.
    :param gate: decides who may see them.
    :param server_url: what the server is called outside.
    :param realm: what a browser shows when it asks for a password.
    """

    def __init__(
        self,
        make: PageMaker,
        authenticator: IAuthenticator,
        gate: Gate,
        server_url: ServerURL,
        realm: str,
    ) -> None:
        self._make = make
        self._authenticator = authenticator
        self._gate = gate
        self._server_url = server_url
        self._challenge = Challenge(realm)

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        pages = [
            Route(f"{OWN_PAGES}/{page}", methods, partial(self._answer, page), Level.SERVER)
            for page, methods in PAGES.items()
        ]
        return (Route(OWN_PAGES, ("GET",), _add_slash, Level.SERVER), *pages)

    async def _answer(self, page: str, call: Call) -> None:
        try:
            reply = await self._make(await self._page_request(page, call))
        except LFSError as error:
            self._refuse(page, call, error)
            return
        call.request.respond_whole(reply.status, reply.headers, reply.body)

    async def _page_request(self, page: str, call: Call) -> PageRequest:
        """Describe a request to who makes pages.

        :raises LFSError: if its sender may not see any.
        """
        identity = await self._identify(call)
        request, body = call.request, b""
        if request.method == b"POST":
            if (request.length or 0) > MAX_FORM:
                raise PayloadTooLarge(f"a form has at most {MAX_FORM} bytes")
            body = await call.read_small_body()
        return PageRequest(
            request.method.decode(),
            page,
            query=request.uri.partition(b"?")[2].decode("latin-1"),
            kind=call.header("content-type") or "",
            body=body,
            hosts=hosts_of(call, self._server_url),
            origin=call.header("origin") or "",
            fetch_site=call.header("sec-fetch-site") or "",
            public=True,
            who=identity.name,
            principal=identity.principal,
            address=call.address,
            request_id=request.request_id,
        )

    async def _identify(self, call: Call) -> Identity:
        named = RepoCall(call.request, call.address, OPERATION, Links("", [OWN_PAGES]), True)
        identity = (await named.identify(self._authenticator)).identity
        self._gate.require(identity, Permission.ADMIN, OPERATION)
        return identity

    def _refuse(self, page: str, call: Call, error: LFSError) -> None:
        """Say why there is no page, in a form that a browser, or a program, shows."""
        request = call.request
        identity = request.identity
        who, principal = ("", "") if identity is None else (identity.name, identity.principal)
        request.context.events.publish_refusal(
            error, None, who, call.address, principal, request.request_id
        )
        headers = dict(error.headers)
        if isinstance(error, Unauthorized):
            headers |= self._challenge.headers(request, error)
        kind, body = "text/plain; charset=utf-8", f"{error.message}\n".encode()
        if page == OVERVIEW:
            kind, body = "application/json", msgspec.json.encode({"message": error.message})
        headers |= {"Content-Type": kind, "X-Content-Type-Options": "nosniff"}
        request.respond_whole(error.code, headers, body)


async def _add_slash(call: Call) -> None:
    """``GET /-``: the links of pages need the slash behind it."""
    request = call.request
    request.setResponseCode(308)
    request.setHeader("Location", f"{OWN_PAGES}/")
    request.setHeader("Content-Length", "0")
    request.respond(b"")
