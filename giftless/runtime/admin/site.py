"""The HTTP server of the admin endpoints: connections and requests, within bounds."""

from __future__ import annotations

from typing import Any, Final

from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from giftless.base.pages import MAX_FORM
from giftless.web.administration.names import MAX_BODY

#: After how many seconds a silent connection is closed.
IDLE: Final = 60

#: How many connections there may be at once: each takes a descriptor of the process
#: that starts workers.
MAX_CONNECTIONS: Final = 100


class AdminSite(Site):
    """Serves resources to operators and their monitoring.

    :param root: the root of the resources.
    :param reactor: the reactor.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, root: Resource, reactor: Any) -> None:
        super().__init__(root, AdminRequest, timeout=IDLE, reactor=reactor)
        #: The connections, the oldest first.
        self._channels: dict[Any, None] = {}

    def acceptableProtocols(self) -> list[bytes]:
        """Offer HTTP/1.1 only."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no log file."""

    def stopFactory(self) -> None:
        """Close nothing."""

    def log(self, request: HTTPRequest) -> None:
        """Write no access line: somebody asks every few seconds."""

    def buildProtocol(self, addr: Any) -> Any:
        """Take a connection.

        If there are too many, the oldest makes way that waits for no answer; if all do, the
        new one is refused.
        """
        if len(self._channels) >= MAX_CONNECTIONS and not self._make_way():
            return None
        channel: Any = super().buildProtocol(addr)
        lost = channel.connectionLost

        def connection_lost(reason: Any) -> None:
            self._channels.pop(channel, None)
            lost(reason)

        channel.connectionLost = connection_lost
        self._channels[channel] = None
        return channel

    def _make_way(self) -> bool:
        for channel in self._channels:
            http = channel._channel
            if http.transport is None or any(request.waits for request in http.requests):
                continue
            del self._channels[channel]
            http.transport.abortConnection()
            return True
        return False


class AdminRequest(Request):
    """A request of which not much is kept: twisted.web would keep its whole body.

    :ivar waits: whether it is whole, and waits for its answer.
    :ivar form: the beginning of its body; if that is too long for a form, or for JSON, one
        byte more than :data:`~giftless.base.pages.MAX_FORM`, or
        :data:`~giftless.web.administration.names.MAX_BODY`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = False
        self.form = b""

    def handleContentChunk(self, data: bytes) -> None:
        """Take some of the body."""
        kind = self.requestHeaders.getRawHeaders("content-type", [""])[0]
        limit = MAX_BODY if "json" in kind else MAX_FORM
        self.form += data[: limit + 1 - len(self.form)]

    def process(self) -> None:
        """Let a resource answer."""
        self.waits = True
        super().process()
