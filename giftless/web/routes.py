"""The resource tree: which URL is which use case.

Every endpoint exists below any repository path, in both forms that clients
use: ``/{org}/{repo}.git/info/lfs/…`` and ``/{org}/{repo}/…``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug import exceptions
from werkzeug.routing import PathConverter

from giftless.errors import (
    BadRequest,
    Disconnected,
    LFSError,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Unprocessable,
)
from giftless.interfaces import Credentials, IAuthenticator, IBlocking, Identity
from giftless.lfs.batch import parse_batch
from giftless.lfs.filename import content_disposition
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.lfs.verification import parse_verification
from giftless.server import LFSServer
from giftless.streams import collect
from giftless.web.content import etag, matches, parse_range
from giftless.web.errors import CLIENT_CLOSED, respond_with_error, respond_with_json
from giftless.web.limits import Limits
from giftless.web.links import Links
from giftless.web.origin import Proxies
from giftless.web.request import StreamingRequest
from giftless.web.sending import send_object

#: What a repository's API is appended to for HTTP remotes (docs/api/server-discovery.md).
_INFO_LFS: Final = ("info", "lfs")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a repository's endpoint.

    :ivar request: the request.
    :ivar repo: the repository that its URL names.
    :ivar links: the repository's other endpoints.
    """

    request: StreamingRequest
    repo: Repo
    links: Links


_Handler = Callable[..., Awaitable[None]]


def _endpoint(handler: _Handler) -> Callable[..., Deferred[None]]:
    """Wrap a coroutine method that takes a :class:`Call` as a Klein handler.

    Klein cancels a handler whose client leaves.  These run to their end
    instead, so that they always clean up; the body tells them of the loss.
    """

    @wraps(handler)
    def handle(
        self: LFSResource, request: StreamingRequest, repo: str, **arguments: str
    ) -> Deferred[None]:
        answered: Deferred[None] = Deferred(lambda _: None)

        def end(_: object) -> None:
            if not answered.called:
                answered.callback(None)

        running = Deferred.fromCoroutine(self._run(handler, request, repo, arguments))
        running.addBoth(end)
        request.site.handles(running)
        return answered

    return handle


def _never_422(handler: _Handler) -> _Handler:
    """Wrap a coroutine method so that 422 becomes 400, whoever raises it.

    The stock client takes 422 for the success of an upload or a verification,
    and the object is lost.
    """

    @wraps(handler)
    async def handle(self: LFSResource, call: Call, **arguments: str) -> None:
        try:
            await handler(self, call, **arguments)
        except Unprocessable as error:
            raise BadRequest(error.message) from error

    return handle


class _RepoConverter(PathConverter):
    """Matches everything in front of an endpoint."""

    part_isolating = False
    regex = ".+?"


class LFSResource:
    """The HTTP API over a server.

    :param server: the use cases.
    :param authenticator: identifies who sends an API call.
    :param storage_authenticator: the same for the storage endpoints, which
        take the tokens of batch replies as well.
    :param limits: what a client may send.
    :param proxies: whose word about URLs is taken.
    :param public_url: the root of all URLs that are handed out; empty to
        build it from each request.
    :param blocking: reads downloads from the disk.
    """

    app = Klein()
    app.url_map.converters = {**app.url_map.converters, "repo": _RepoConverter}
    app.url_map.merge_slashes = False
    log = Logger()

    def __init__(
        self,
        server: LFSServer,
        authenticator: IAuthenticator,
        storage_authenticator: IAuthenticator,
        limits: Limits,
        proxies: Proxies,
        public_url: str,
        blocking: IBlocking,
    ) -> None:
        self._server = server
        self._authenticator = authenticator
        self._storage_authenticator = storage_authenticator
        self._limits = limits
        self._proxies = proxies
        self._public_url = public_url.rstrip("/")
        self._blocking = blocking

    # -- endpoints

    @app.route("/<repo:repo>/objects/batch", methods=["POST"])
    @_endpoint
    async def batch(self, call: Call) -> None:
        """``POST …/objects/batch``: what to do with each of some objects."""
        identity = await self._identify(call, self._authenticator)
        body = await self._read_json(call)
        parsed = parse_batch(body, self._limits.batch_objects, self._limits.object_size)
        reply = await self._server.batch(identity, call.repo, parsed, call.links)
        respond_with_json(call.request, 200, reply)

    @app.route("/<repo:repo>/objects/storage/verify", methods=["POST"])
    @_endpoint
    @_never_422
    async def verify(self, call: Call) -> None:
        """``POST …/objects/storage/verify``: is the object here, whole?"""
        identity = await self._identify(call, self._storage_authenticator)
        wanted = parse_verification(await self._read_json(call))
        await self._server.verify(identity, ObjectKey(call.repo, wanted.oid), wanted.size)
        respond_with_json(call.request, 200, b"{}")

    @app.route("/<repo:repo>/objects/storage/<string:oid>", methods=["PUT"])
    @_endpoint
    @_never_422
    async def upload(self, call: Call, oid: str) -> None:
        """``PUT …/objects/storage/{oid}``: store an object."""
        request = call.request
        key = ObjectKey(call.repo, Oid.parse(oid))
        identity = await self._identify(call, self._storage_authenticator)
        for header in ("content-range", "content-encoding"):
            if _header(request, header) not in (None, "identity"):
                raise BadRequest(f"send the object whole and as it is, without {header}")
        await self._server.receive(identity, key, request.length, request.body)
        respond_with_json(request, 200, b"{}")

    @app.route("/<repo:repo>/objects/storage/<string:oid>", methods=["GET", "HEAD"])
    @_endpoint
    async def download(self, call: Call, oid: str) -> None:
        """``GET`` or ``HEAD …/objects/storage/{oid}``: an object's bytes."""
        request = call.request
        key = ObjectKey(call.repo, Oid.parse(oid))
        identity = await self._identify(call, self._storage_authenticator)
        stored = await self._server.open(identity, key)
        try:
            filename = _argument(request, b"filename") or stored.extras.get("filename")
            disposition = content_disposition(
                filename if isinstance(filename, str) else None, _argument(request, b"disposition")
            )
            unmodified = matches(_header(request, "if-none-match"), key.oid)
            start, end = 0, stored.size
            if not unmodified:
                start, end = self._choose_range(request, key.oid, stored.size)
            # Only now, because an error must not have the object's headers.
            request.setHeader("ETag", etag(key.oid))
            request.setHeader("Accept-Ranges", "bytes")
            request.setHeader("Cache-Control", "private")
            request.setHeader("X-Content-Type-Options", "nosniff")
            request.setHeader("Content-Security-Policy", "sandbox; default-src 'none'")
            if disposition is not None:
                request.setHeader("Content-Disposition", disposition)
            if unmodified:
                request.setResponseCode(304)
                request.finish()
                return
            request.setHeader("Content-Type", "application/octet-stream")
            request.setHeader("Content-Length", str(end - start))
            if request.method == b"GET":
                await send_object(
                    request, stored, start, end, self._blocking, self._limits.stall_timeout
                )
            request.finish()
        finally:
            stored.close()

    # -- errors that Klein finds

    @app.handle_errors(exceptions.HTTPException)  # type: ignore[arg-type]  # Klein wants IRequest
    def routing_failed(self, request: StreamingRequest, failure: Failure) -> None:
        """No endpoint has this URL, or not with this method."""
        problem = failure.value
        if isinstance(problem, exceptions.MethodNotAllowed):
            allowed = tuple(sorted(problem.valid_methods or ()))
            respond_with_error(
                request, MethodNotAllowed(f"use one of: {', '.join(allowed)}", allowed)
            )
        elif isinstance(problem, exceptions.NotFound):
            respond_with_error(request, NotFound("there is no such endpoint on this server"))
        else:
            respond_with_error(request, BadRequest("the URL is malformed"))

    # -- what the endpoints share

    async def _run(
        self, handler: _Handler, request: StreamingRequest, path: str, arguments: dict[str, str]
    ) -> None:
        try:
            segments = path.split("/")
            names = segments[:-2] if tuple(segments[-2:]) == _INFO_LFS else segments
            repo = Repo.parse(names)
            base_url = self._public_url or self._proxies.base_url(request)
            await handler(self, Call(request, repo, Links(base_url, segments)), **arguments)
        except LFSError as error:
            respond_with_error(request, error)
        except Disconnected:
            request.abandon(CLIENT_CLOSED)
        except Exception:
            self.log.failure("request {request_id} failed", request_id=request.request_id)
            respond_with_error(request, LFSError("the server failed; its log has the details"))

    async def _identify(self, call: Call, authenticator: IAuthenticator) -> Identity:
        request = call.request
        headers = request.requestHeaders.getRawHeaders(b"authorization", [])
        authorization = tuple(header.decode("utf-8", "replace") for header in headers)
        identity = await authenticator.authenticate(
            Credentials(authorization, _argument(request, b"jwt"), self._proxies.client(request)),
            call.repo,
        )
        assert identity is not None, "a chain ends with an identity or an error"
        request.identity = identity.name
        return identity

    async def _read_json(self, call: Call) -> bytes:
        limit = self._limits.request_body
        if (call.request.length or 0) > limit:
            raise PayloadTooLarge(f"the body of this request may have at most {limit} bytes")
        return await collect(call.request.body, limit)

    def _choose_range(self, request: StreamingRequest, oid: Oid, size: int) -> tuple[int, int]:
        """Decide which bytes to send, and set status and Content-Range."""
        condition = _header(request, "if-range")
        chosen = None
        # Ranges are defined for GET alone (RFC 9110 section 14.2).
        if request.method == b"GET" and (condition is None or condition == etag(oid)):
            chosen = parse_range(_header(request, "range"), size)
        if chosen is None:
            return 0, size
        request.setResponseCode(206)
        request.setHeader("Content-Range", f"bytes {chosen[0]}-{chosen[1] - 1}/{size}")
        return chosen


def _header(request: StreamingRequest, name: str) -> str | None:
    """Return a header's value, if it is there; whatever bytes it has are Latin-1."""
    value = request.getHeader(name.encode())
    return None if value is None else value.decode("latin-1")


def _argument(request: Any, name: bytes) -> str | None:
    """Return a query parameter's first value, if it is there and is UTF-8."""
    for value in request.args.get(name, ()):
        try:
            return str(value.decode())
        except UnicodeDecodeError:
            raise BadRequest(f"the parameter {name.decode()} must be UTF-8") from None
    return None
