"""What Klein and the resources of twisted.web ask of a request.

:mod:`giftless.web.klein_tree` says that it provides :class:`klein.interfaces.IKleinRequest`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.resource import IResource, getChildForRequest

from giftless.web.headers import Headers
from giftless.web.response import Response

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

#: What :meth:`~twisted.web.resource.IResource.render` returns if the answer comes later:
#: :data:`twisted.web.server.NOT_DONE_YET`, whose module takes 2 MB to import.
NOT_DONE_YET: Final = 1

#: A host as a request names it: with a port, and in brackets, or not.
_HOST: Final = re.compile(rb"\[?(.*?)\]?(?::\d+)?")


class ResourceRequest:
    """The part of a request that resources look at.

    :param connection: the connection that it came over.
    :ivar uri: the path and the query of its URL, as they were sent.
    :ivar path: the path alone.
    :ivar prepath: the decoded segments of the path that lead to the resource.
    :ivar requestHeaders: the header fields.
    :ivar response: what it is answered with.
    :ivar mapper: where Klein keeps the routes.
    """

    uri: bytes
    path: bytes
    requestHeaders: Headers
    mapper: MapAdapter

    def __init__(self, connection: Any) -> None:
        self._secure = connection.secure
        self._transport = connection.transport
        self._postpath: list[bytes] | None = None
        self._notify: list[Deferred[Any]] = []
        self.response = Response()
        self.client: IAddress = connection.peer
        self.prepath: list[bytes] = []
        self.branch_segments = [""]

    @property
    def args(self) -> dict[bytes, list[bytes]]:
        """The values of the query's parameters."""
        query = self.uri.partition(b"?")[2].decode("latin-1")
        if not query:
            return {}
        values = parse_qs(query, keep_blank_values=True, encoding="latin-1")
        return {
            name.encode("latin-1"): [value.encode("latin-1") for value in each]
            for name, each in values.items()
        }

    @property
    def postpath(self) -> list[bytes]:
        """The decoded segments of the path that follow."""
        if self._postpath is None:
            self._postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        return self._postpath

    @postpath.setter
    def postpath(self, segments: list[bytes]) -> None:
        self._postpath = segments

    def render(self, resource: IResource) -> None:
        """Let a resource answer, or one below it."""
        if not resource.isLeaf:
            resource = getChildForRequest(resource, self)
        body = resource.render(self)
        if body is not NOT_DONE_YET:
            self.setHeader(b"Content-Length", b"%d" % len(body))
            self.respond(body)

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Set a header of the response."""
        self.response.headers.setRawHeaders(name, (value,))

    def setResponseCode(self, code: int) -> None:
        """Set the HTTP status of the response."""
        self.response.code = code

    def notifyFinish(self) -> Deferred[Any]:
        """Return what fires when the response is complete, or fails if the client leaves."""
        self._notify.append(Deferred())
        return self._notify[-1]

    def notify(self, outcome: Failure | None) -> None:
        """Tell who waits for that how the response has ended.

        :param outcome: why it is not complete; ``None`` if it is.
        """
        waiting, self._notify = self._notify, []
        for deferred in waiting:
            deferred.callback(outcome)

    def respond(self, body: bytes) -> None:
        """Send the body of the response, and finish."""
        raise NotImplementedError

    def getHeader(self, name: str | bytes, /) -> bytes | None:
        """Return the last value of a header of the request; ``None`` if there is none."""
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None

    def isSecure(self) -> bool:
        """Whether the connection is encrypted."""
        return self._secure  # type: ignore[no-any-return]

    def getHost(self) -> IAddress:
        """Return the address that the client has connected to."""
        return self._transport.getHost()  # type: ignore[no-any-return]

    def getClientAddress(self) -> IAddress:
        """Return the address that the connection comes from."""
        return self.client

    def getRequestHostname(self) -> bytes:
        """Return the host that the request names, without its port; else the server's address."""
        host = self.getHeader(b"host")
        found = None if host is None else _HOST.fullmatch(host)
        return str(getattr(self.getHost(), "host", "")).encode() if found is None else found[1]

    def url_for(
        self,
        endpoint: str,
        values: Mapping[str, Any] | None = None,
        method: str | None = None,
        force_external: bool = False,
        append_unknown: bool = True,
    ) -> str:
        """Return the URL of an endpoint; see :class:`klein.interfaces.IKleinRequest`."""
        return self.mapper.build(endpoint, values, method, force_external, append_unknown)
