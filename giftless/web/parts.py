"""The endpoints of uploads in parts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from giftless.base.client_memory import ACTION_BYTES
from giftless.errors import BadRequest, NotFound
from giftless.interfaces import IAuthenticator
from giftless.lfs.objects import ObjectKey, Oid
from giftless.lfs.tus import VERSION as TUS_VERSION
from giftless.usecases.multipart import MultipartServer
from giftless.web.call import RepoCall
from giftless.web.route import Route, for_actions


class PartEndpoints:
    """What the actions of an upload in parts lead to.

    :param server: the use cases.
    :param authenticator: takes the tokens of actions.
    """

    def __init__(self, server: MultipartServer, authenticator: IAuthenticator) -> None:
        self._server = server
        self._authenticator = authenticator

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        parts = "objects/storage/{oid}/parts"
        return (
            Route(parts, ("POST",), for_actions(self.plan)),
            Route(f"{parts}/commit", ("POST",), for_actions(self.commit)),
            Route(f"{parts}/abort", ("POST",), for_actions(self.abort)),
            Route(f"{parts}/{{number}}", ("PUT",), for_actions(self.upload)),
        )

    async def plan(self, named: RepoCall, oid: str) -> None:
        """``POST …/{oid}/parts``: what is there to do?"""
        wanted = Oid.parse(oid)
        call = await named.identify_action(self._authenticator)
        key = ObjectKey(call.repo, wanted)
        call.request.reserve(self._server.count_parts(call.identity) * ACTION_BYTES)
        client = call.header("user-agent") or ""
        resumes = call.header("tus-resumable") == TUS_VERSION
        plan = await self._server.plan(call.identity, key, call.links, client, resumes)
        call.request.respond_json(200, msgspec.json.encode(plan))

    async def upload(self, named: RepoCall, oid: str, number: str) -> None:
        """``PUT …/{oid}/parts/{number}``: store a part."""
        wanted = Oid.parse(oid)
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise NotFound("parts are numbered, from 1")
        call = await named.identify_action(self._authenticator)
        key = ObjectKey(call.repo, wanted)
        call.refuse_partial_body()
        request = call.request
        md5 = _digest(call.header("content-md5"))
        await self._server.receive(
            call.identity, key, int(number), request.length, md5, request.body
        )
        request.respond_json(200, b"{}")

    async def commit(self, named: RepoCall, oid: str) -> None:
        """``POST …/{oid}/parts/commit``: make the object of its parts."""
        wanted = Oid.parse(oid)
        call = await named.identify_action(self._authenticator)
        key = ObjectKey(call.repo, wanted)
        await call.read_small_body()
        await self._server.commit(call.identity, key)
        call.request.respond_json(200, b"{}")

    async def abort(self, named: RepoCall, oid: str) -> None:
        """``POST …/{oid}/parts/abort``: throw the parts away."""
        wanted = Oid.parse(oid)
        call = await named.identify_action(self._authenticator)
        key = ObjectKey(call.repo, wanted)
        await call.read_small_body()
        await self._server.abort(call.identity, key)
        call.request.respond_json(200, b"{}")


def _digest(value: str | None) -> bytes | None:
    """Read a Content-MD5 header (RFC 1864).

    :raises BadRequest: if it is none.
    """
    if value is None:
        return None
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise BadRequest("Content-MD5 must be the base64 of 16 bytes")
    return digest
