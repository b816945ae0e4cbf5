"""The endpoints of file locking (``docs/api/locking.md``)."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.errors import NotFound
from giftless.interfaces import IAuthenticator
from giftless.lfs.locks import (
    parse_create,
    parse_paging,
    parse_unlock,
    parse_verify,
    render_lock,
    render_page,
    render_verification,
)
from giftless.usecases.locks import LockService
from giftless.web.call import RepoCall
from giftless.web.route import Handler, Route


class LockEndpoints:
    """The File Locking API over its use cases.

    :param service: the use cases.
    :param authenticator: identifies who sends a request.
    """

    def __init__(self, service: LockService, authenticator: IAuthenticator) -> None:
        self._service = service
        self._authenticator = authenticator

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        return lock_routes(self.create, self.list, self.verify, self.unlock)

    async def create(self, named: RepoCall) -> None:
        """``POST …/locks``: lock a path."""
        call = await named.identify(self._authenticator)
        path = parse_create(await call.read_small_body())
        lock = await self._service.create(call.identity, call.repo, path)
        call.request.respond_json(201, render_lock(lock))

    async def list(self, named: RepoCall) -> None:
        """``GET …/locks``: which locks are there?"""
        call = await named.identify(self._authenticator)
        paging = parse_paging(call.argument("cursor"), call.argument("limit"))
        # Clients send parameters that they do not use as empty ones.
        path, lock_id = call.argument("path") or None, call.argument("id") or None
        page = await self._service.page(call.identity, call.repo, paging, path, lock_id)
        call.request.respond_json(200, render_page(page))

    async def verify(self, named: RepoCall) -> None:
        """``POST …/locks/verify``: which locks are in the way of a push?"""
        call = await named.identify(self._authenticator)
        paging = parse_verify(await call.read_small_body())
        found = await self._service.verify(call.identity, call.repo, paging)
        body = render_verification(found.ours, found.theirs, found.next_cursor)
        call.request.respond_json(200, body)

    async def unlock(self, named: RepoCall, lock_id: str) -> None:
        """``POST …/locks/{id}/unlock``: remove a lock."""
        call = await named.identify(self._authenticator)
        force = parse_unlock(await call.read_small_body())
        lock = await self._service.unlock(
            call.identity, call.repo, lock_id, force, call.address, call.request.request_id
        )
        call.request.respond_json(200, render_lock(lock))


def routes_without_locks() -> Sequence[Route]:
    """Return the endpoints of a server without locks: 404, so that clients stop asking."""

    async def absent(call: RepoCall, **variables: str) -> None:
        raise NotFound("this server has no file locks")

    return lock_routes(absent, absent, absent, absent)


def lock_routes(
    create: Handler, listing: Handler, verify: Handler, unlock: Handler
) -> Sequence[Route]:
    """Return the endpoints of the File Locking API, answered by these."""
    return (
        Route("locks", ("POST",), create),
        Route("locks", ("GET", "HEAD"), listing),
        Route("locks/verify", ("POST",), verify),
        Route("locks/{lock_id}/unlock", ("POST",), unlock),
    )
