"""The endpoints of resumable uploads: tus 1.0.0 over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from giftless.errors import BadRequest, MethodNotAllowed
from giftless.interfaces import IAuthenticator
from giftless.lfs.objects import ObjectKey, Oid
from giftless.lfs.tus import (
    ALGORITHMS,
    EXTENSIONS,
    MEDIA_TYPE,
    PATH,
    VERSION,
    WrongUploadType,
    check_version,
    parse_checksum,
    parse_creation,
    parse_extras,
    parse_number,
    parse_size,
    upload_path,
)
from giftless.usecases.resumable import Piece, Progress, ResumableServer, Target
from giftless.web.call import Call, IdentifiedCall, RepoCall
from giftless.web.dates import http_date
from giftless.web.request import LFSRequest
from giftless.web.route import Route, for_actions

#: What may be asked where uploads are created, and of an upload.
_CREATING: Final = ("POST", "OPTIONS")
_UPLOADING: Final = ("HEAD", "PATCH", "DELETE", "OPTIONS")

#: What belongs to extensions that are not offered.
_NOT_OFFERED: Final = ("Upload-Concat", "Upload-Defer-Length")


class TusEndpoints:
    """Creates uploads, tells how far they are, and goes on with them.

    :param server: the use cases.
    :param authenticator: identifies who creates an upload.
    :param action_authenticator: the same for what is done with one, and takes the tokens of
        actions as well.
    :param max_object_size: the largest object that may be stored, in bytes.
    """

    def __init__(
        self,
        server: ResumableServer,
        authenticator: IAuthenticator,
        action_authenticator: IAuthenticator,
        max_object_size: int,
    ) -> None:
        self._server = server
        self._authenticator = authenticator
        self._action_authenticator = action_authenticator
        self._max_size = str(max_object_size)

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        # POST stands for the method in X-HTTP-Method-Override.
        return (
            Route(PATH, _CREATING, for_actions(self.create)),
            Route(f"{PATH}/{{oid}}/{{size}}", (*_UPLOADING, "POST"), for_actions(self.upload)),
        )

    async def create(self, named: RepoCall) -> None:
        """``POST …/objects/tus``: begin an upload, perhaps with its first bytes."""
        named.request.response.always[b"tus-max-size"] = [self._max_size.encode()]
        if self._begin(named, _CREATING) == "OPTIONS":
            return
        call = await named.identify(self._authenticator)
        for header in _NOT_OFFERED:
            if call.header(header.lower()) is not None:
                raise BadRequest(f"this server has no tus extension that {header} belongs to")
        created = parse_creation(_only(call, "Upload-Length"), _only(call, "Upload-Metadata"))
        target = Target(ObjectKey(call.repo, created.oid), created.size, created.extras)
        request = call.request
        piece = None if request.length == 0 else _piece(call, 0)
        progress = await self._server.create(call.identity, target)
        if piece is not None and progress.offset < created.size:
            progress = await self._receive(call, target, piece)
        where = call.links.endpoint(
            upload_path(created.oid, created.size), {"metadata": created.metadata}
        )
        request.setHeader("Location", where)
        request.setHeader("Content-Length", "0")
        _answer(request, 201, progress)

    async def upload(self, named: RepoCall, oid: str, size: str) -> None:
        """``HEAD``, ``PATCH`` and ``DELETE …/objects/tus/{oid}/{size}``: go on with an upload."""
        method = self._begin(named, _UPLOADING)
        if method == "OPTIONS":
            return
        named_oid, named_size = Oid.parse(oid), parse_size(size)
        call = await named.identify_action(self._action_authenticator)
        # It may come back in a header, so it is read in any case.
        metadata = call.argument("metadata")
        extras = parse_extras(metadata)
        target = Target(ObjectKey(call.repo, named_oid), named_size, extras)
        request = call.request
        if method == "HEAD":
            progress = await self._server.look(call.identity, target)
            request.setHeader("Upload-Length", size)
            request.setHeader("Content-Length", "0")
            if metadata is not None:
                request.setHeader("Upload-Metadata", metadata)
            _answer(request, 200, progress)
        elif method == "PATCH":
            offset = parse_number("Upload-Offset", _only(call, "Upload-Offset"))
            progress = await self._receive(call, target, _piece(call, offset))
            _answer(request, 204, progress)
        else:
            await self._server.terminate(call.identity, target)
            request.setResponseCode(204)
            request.finish()

    def _begin(self, call: RepoCall, methods: Sequence[str]) -> str:
        """Return the method that is meant; what anybody may ask for is answered.

        :param methods: what there is.
        """
        request = call.request
        request.response.always[b"tus-resumable"] = [VERSION.encode()]
        method = _only(call, "X-HTTP-Method-Override") or request.method.decode("ascii")
        if method not in methods:
            raise MethodNotAllowed(f"use one of: {', '.join(methods)}", tuple(methods))
        if method != "OPTIONS":
            check_version(call.header("tus-resumable"))
            return method
        request.setHeader("Tus-Version", VERSION)
        request.setHeader("Tus-Extension", ",".join(EXTENSIONS))
        request.setHeader("Tus-Max-Size", self._max_size)
        request.setHeader("Tus-Checksum-Algorithm", ",".join(ALGORITHMS))
        request.setResponseCode(204)
        request.finish()
        return method

    async def _receive(self, call: IdentifiedCall, target: Target, piece: Piece) -> Progress:
        body = call.request.body
        body.keep()
        try:
            return await self._server.receive(call.identity, target, piece)
        finally:
            body.close()


def _piece(call: IdentifiedCall, offset: int) -> Piece:
    """Return what a request brings.

    :raises WrongUploadType: if it is not called so.
    :raises BadRequest: if its headers are malformed.
    """
    kind = (call.header("content-type") or "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise WrongUploadType(f"send the bytes of an upload as Content-Type: {MEDIA_TYPE}")
    call.refuse_partial_body()
    checksum = _only(call, "Upload-Checksum")
    return Piece(
        offset,
        call.request.body,
        call.request.length,
        None if checksum is None else parse_checksum(checksum),
    )


def _only(call: Call, name: str) -> str | None:
    """Return a header's value, if it is there.

    :raises BadRequest: if there are several.
    """
    if len(call.request.requestHeaders.fields.get(name.lower().encode(), ())) > 1:
        raise BadRequest(f"the request has more than one {name} header")
    return call.header(name.lower())


def _answer(request: LFSRequest, status: int, progress: Progress) -> None:
    """Tell how far an upload is."""
    request.setHeader("Upload-Offset", str(progress.offset))
    if progress.expires is not None:
        request.setHeader("Upload-Expires", http_date(int(progress.expires)))
    request.setResponseCode(status)
    request.finish()
