"""The endpoints of objects: the batch, their bytes, their verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from giftless.base.client_memory import ACTION_BYTES
from giftless.errors import LFSError, Unprocessable
from giftless.interfaces import IAuthenticator, IBlocking, IEncodedObject, IStoredObject
from giftless.lfs.batch import BatchReply, parse_batch, render_batch
from giftless.lfs.filename import content_disposition
from giftless.lfs.objects import ObjectKey, Oid
from giftless.lfs.verification import parse_verification
from giftless.usecases.objects import LFSServer
from giftless.web.call import IdentifiedCall, RepoCall
from giftless.web.encodings import accepts
from giftless.web.limits import Limits
from giftless.web.ranges import etag, matches, parse_range
from giftless.web.route import Route, for_actions, never_401
from giftless.web.sending import send_object

#: What a browser and a cache are told of any object's bytes.
_HEADERS: Final = {
    b"accept-ranges": b"bytes",
    b"cache-control": b"private",
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"sandbox; default-src 'none'",
}


class ObjectEndpoints:
    """The batch API and the storage endpoints over a server.

    :param server: the use cases.
    :param authenticator: identifies who sends an API call.
    :param storage_authenticator: the same for the storage endpoints, which
        take the tokens of batch replies as well.
    :param limits: what a client may send.
    :param blocking: reads downloads from the disk.
    """

    def __init__(
        self,
        server: LFSServer,
        authenticator: IAuthenticator,
        storage_authenticator: IAuthenticator,
        limits: Limits,
        blocking: IBlocking,
    ) -> None:
        self._server = server
        self._authenticator = authenticator
        self._storage_authenticator = storage_authenticator
        self._limits = limits
        self._blocking = blocking

    @property
    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        return (
            Route("objects/batch", ("POST",), self.batch),
            Route("objects/storage/verify", ("POST",), for_actions(self.verify)),
            Route("objects/storage/{oid}", ("PUT",), for_actions(self.upload)),
            Route("objects/storage/{oid}", ("GET", "HEAD"), never_401(self.download)),
        )

    async def batch(self, named: RepoCall) -> None:
        """``POST …/objects/batch``: what to do with each of some objects."""
        call = await named.identify(self._authenticator)
        body = await call.read_small_body()
        client = call.header("user-agent") or ""
        limits = self._limits
        parsed = parse_batch(body, limits.batch_objects, limits.object_size, client)
        if not parsed.is_stock:
            # Few bytes can ask for many: what a list of parts takes must be there first.
            call.request.reserve(self._server.count_actions(parsed) * ACTION_BYTES)
        source = call.address, call.request.request_id
        reply = await self._server.batch(call.identity, call.repo, parsed, call.links, *source)
        if call.short and parsed.is_giftless_client:
            _check_object(reply)
        call.request.respond_json(200, render_batch(reply, parsed.objects_only))

    async def verify(self, named: RepoCall) -> None:
        """``POST …/objects/storage/verify``: is the object here, whole?"""
        call = await named.identify_action(self._storage_authenticator)
        wanted = parse_verification(await call.read_small_body())
        await self._server.verify(call.identity, ObjectKey(call.repo, wanted.oid), wanted.size)
        # The stock client does not read a body here; if there is one, it gives up
        # the connection and needs another for its next object.
        call.request.setHeader("Content-Length", "0")
        call.request.finish()

    async def upload(self, named: RepoCall, oid: str) -> None:
        """``PUT …/objects/storage/{oid}``: store an object."""
        wanted = Oid.parse(oid)
        call = await named.identify_action(self._storage_authenticator)
        key = ObjectKey(call.repo, wanted)
        call.refuse_partial_body()
        await self._server.receive(call.identity, key, call.request.length, call.request.body)
        call.request.respond_json(200, b"{}")

    async def download(self, named: RepoCall, oid: str) -> None:
        """``GET`` or ``HEAD …/objects/storage/{oid}``: an object's bytes."""
        wanted = Oid.parse(oid)
        call = await named.identify_action(self._storage_authenticator)
        request, key = call.request, ObjectKey(call.repo, wanted)
        opened = await self._server.open(call.identity, key)
        stored = opened.stored
        try:
            filename = call.argument("filename") or stored.extras.get("filename")
            disposition = content_disposition(
                filename if isinstance(filename, str) else None, call.argument("disposition")
            )
            encoding = _choose_encoding(call, stored)
            unmodified = matches(call.header("if-none-match"), key.oid, encoding)
            source, start, end = stored, 0, stored.size
            if not unmodified:
                chosen = _choose_range(call, key.oid, stored.size)
                if chosen is not None:
                    # Ranges are those of the object's own bytes.
                    encoding, (start, end) = None, chosen
                elif encoding is not None:
                    packed: Any = stored
                    source, start, end = packed.encoded, packed.encoded_start, packed.encoded_end
            # Only now, because an error must not have the object's headers.
            headers = request.response.headers
            headers.set(_HEADERS)
            headers.set({b"etag": etag(key.oid, encoding).encode()})
            if IEncodedObject.providedBy(stored):
                headers.add(b"vary", b"Accept-Encoding")
            if encoding is not None:
                headers.set({b"content-encoding": encoding.encode(), b"accept-ranges": b"none"})
            if disposition is not None:
                request.setHeader("Content-Disposition", disposition)
            if unmodified:
                request.setResponseCode(304)
                request.finish()
                return
            headers.set(
                {
                    b"content-type": b"application/octet-stream",
                    b"content-length": b"%d" % (end - start),
                }
            )
            if request.method == b"GET":
                await send_object(request, opened, start, end, self._blocking, source)
            request.finish()
        finally:
            opened.close()


class _Refused(LFSError):
    """The only object of a batch is refused, and its client reads the status alone.

    :param code: the object's status.
    """

    code = Unprocessable.code
    cause = "batch-refused"

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _check_object(reply: BatchReply) -> None:
    """Refuse a batch of one object as a whole if the object is refused.

    :raises LFSError: with the object's own status and words.
    """
    (item,) = reply.objects
    if item.error is not None:
        raise _Refused(item.error.message, item.error.code)


def _choose_encoding(call: IdentifiedCall, stored: IStoredObject) -> str | None:
    """Decide how the whole object is encoded, if it is sent whole; ``None`` if not at all."""
    if IEncodedObject.providedBy(stored):
        encoding: str = stored.encoding
        if accepts(call.header("accept-encoding"), encoding):
            return encoding
    return None


def _choose_range(call: IdentifiedCall, oid: Oid, size: int) -> tuple[int, int] | None:
    """Decide which bytes to send, and set status and Content-Range.

    :returns: the first one's offset and one past the last's; ``None`` to send all.
    """
    request = call.request
    condition = call.header("if-range")
    # Ranges are defined for GET alone (RFC 9110 section 14.2).
    if request.method != b"GET" or condition not in (None, etag(oid)):
        return None
    chosen = parse_range(call.header("range"), size)
    if chosen is not None:
        request.setResponseCode(206)
        request.setHeader("Content-Range", f"bytes {chosen[0]}-{chosen[1] - 1}/{size}")
    return chosen
