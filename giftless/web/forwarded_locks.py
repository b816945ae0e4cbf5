"""The endpoints of file locking, where another server keeps the locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from giftless.interfaces import IAuthenticator, ILockForwarding, LockRequest
from giftless.web.call import IdentifiedCall, RepoCall
from giftless.web.locks import lock_routes
from giftless.web.route import Route

#: The parameters of a list of locks.
_PARAMETERS: Final = ("path", "id", "cursor", "limit", "refspec")


class ForwardedLockEndpoints:
    """Passes the File Locking API on.

    :param store: asks the other server.
    :param authenticator: identifies who sends a request.
    """

    def __init__(self, store: ILockForwarding, authenticator: IAuthenticator) -> None:
        self._store = store
        self._authenticator = authenticator

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        return lock_routes(self.create, self.list, self.verify, self.unlock)

    async def create(self, named: RepoCall) -> None:
        """``POST …/locks``: lock a path."""
        call = await named.identify(self._authenticator)
        await self._post(call, "locks")

    async def list(self, named: RepoCall) -> None:
        """``GET …/locks``: which locks are there?"""
        call = await named.identify(self._authenticator)
        query = {name: value for name in _PARAMETERS if (value := call.argument(name))}
        await self._forward(call, LockRequest("GET", ("locks",), query))

    async def verify(self, named: RepoCall) -> None:
        """``POST …/locks/verify``: which locks are in the way of a push?"""
        call = await named.identify(self._authenticator)
        await self._post(call, "locks", "verify")

    async def unlock(self, named: RepoCall, lock_id: str) -> None:
        """``POST …/locks/{id}/unlock``: remove a lock."""
        call = await named.identify(self._authenticator)
        await self._post(call, "locks", lock_id, "unlock")

    async def _post(self, call: IdentifiedCall, *path: str) -> None:
        body = await call.read_small_body()
        await self._forward(call, LockRequest("POST", path, {}, body))

    async def _forward(self, call: IdentifiedCall, request: LockRequest) -> None:
        answer = await self._store.forward(call.identity, call.repo, request)
        call.request.respond_json(answer.status, answer.body)
