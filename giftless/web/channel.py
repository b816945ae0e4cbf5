"""An HTTP/1.1 connection that holds out against slow and malformed input.

Like :mod:`giftless.web.request` it uses some private parts of twisted.web;
tests pin them.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from giftless.errors import BadRequest, HeadersTooLarge, LFSError, RequestTimeout
from giftless.web import access_log
from giftless.web.context import Context
from giftless.web.delivery import Delivery, unsent
from giftless.web.errors import error_response
from giftless.web.framing import FIELD_LINE, connection_options
from giftless.web.memory import Place
from giftless.web.proxies import host_of
from giftless.web.request import DRAIN_BYTES, LINGER_SECONDS

#: How many bytes of the next requests are taken while one is being answered.
EARLY_BYTES = 16384

#: How much is read from the socket before it is known what comes, in bytes.
FIRST_READ = 16384

#: The most digits that a Content-Length may have: 2**63 has 19.
_MAX_LENGTH_DIGITS = 19


class LFSChannel(HTTPChannel):
    """One client's connection.

    Requests that cannot even be parsed are answered here, with the same JSON
    errors as all others, and end the connection.

    :ivar context: what it shares with the site's other connections.
    """

    context: Context
    transport: Any
    _deadline: IDelayedCall | None = None
    _linger: IDelayedCall | None = None
    _closing: IDelayedCall | None = None
    _broken = False
    _dropped = 0
    _unread: Any = None
    _answer: Place | None = None
    _delivery: Delivery

    def connectionMade(self) -> None:
        """Start with the limits of the site."""
        self.totalHeadersSize = self.MAX_LENGTH = self.context.limits.header_bytes
        super().connectionMade()
        self.transport.bufferSize = FIRST_READ
        self._delivery = Delivery(
            self.context.clock,
            self.context.limits,
            lambda: -unsent(self.transport),
            self.transport.abortConnection,
        )
        self.context.connections.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free what the connection holds."""
        self._headers_arrived()
        self._delivery.stop()
        self._answer_taken()
        for call in (self._linger, self._closing):
            if call is not None and call.active():
                call.cancel()
        self.context.connections.closed(self)
        super().connectionLost(reason)

    @property
    def idle(self) -> bool:
        """Whether no request is being received or answered."""
        return not self.requests

    @property
    def peer(self) -> Any:
        """The address that the connection comes from, an ``IAddress``."""
        return self.getPeer()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.transport.abortConnection()

    def drain(self) -> None:
        """Close as soon as nothing is under way."""
        self.persistent = False
        if self.idle:
            self._close_within(LINGER_SECONDS)

    def loseConnection(self) -> None:
        """Close, when the client has taken what is left of its response."""
        super().loseConnection()
        if self._closing is None:
            self._delivery.start()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; the first of a request start its headers' deadline."""
        if self._broken:
            self._dropped += len(data)
            if self._dropped > DRAIN_BYTES:
                self.transport.pauseProducing()
            return
        super().dataReceived(data)
        if self._broken or not self.line_mode or (self.idle and not self._buffer):
            # Nothing of a request's head is here; a line break in front of
            # one (RFC 9112 section 2.2) is nothing.
            self._headers_arrived()
        elif self._deadline is None:
            self._deadline = self.callLater(
                self.context.limits.header_timeout, self._headers_are_late
            )

    def lineReceived(self, line: bytes) -> None:
        """Take a header line; refuse the obsolete folded ones (RFC 9112 5.2)."""
        if line[:1] in (b" ", b"\t"):
            self._refuse(BadRequest("a header line must not begin with white space"))
        else:
            super().lineReceived(line)

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; refuse lengths that are no length."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _MAX_LENGTH_DIGITS:
            self._refuse(BadRequest("the Content-Length is absurd"))
            return False
        return bool(super().headerReceived(line))

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is longer than all headers may be."""
        self._refuse(self._headers_too_large())

    def allHeadersReceived(self) -> None:
        """Cancel the deadline of the headers, which are complete."""
        self._headers_arrived()
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Start the idle time-out again, since the request is complete.

        The trailers of a chunked body are not used, but must be well-formed.
        """
        trailers = getattr(self._transferDecoder, "_trailerHeaders", ())
        if not all(map(FIELD_LINE.fullmatch, trailers)):
            self._refuse(BadRequest("a trailer of the body is malformed"))
            return
        # A pause may have switched the time-out off; twisted.web puts it
        # back, after the response, as it finds it now.
        self.setTimeout(self.context.limits.idle_timeout)
        super().allContentReceived()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether another request may follow (RFC 9112 section 9.3)."""
        return (
            version == b"HTTP/1.1"
            and b"close" not in connection_options(request.requestHeaders)
            and not self.context.connections.retiring
        )

    def rawDataReceived(self, data: bytes) -> None:
        """Take bytes of a body, or of requests that have to wait.

        While a response waits for its client, twisted.web would read on.
        """
        super().rawDataReceived(data)
        if self._handlingRequest and sum(map(len, self._dataBuffer)) > EARLY_BYTES:
            self.transport.pauseProducing()

    def requestDone(self, request: Any) -> None:
        """Begin the next request, once the response of this one is on its way.

        Otherwise a client that sends and does not read could fill the memory.
        """
        if self.persistent and self._waitingForTransport:
            self._unread = request
            self.setTimeout(None)
            self._delivery.start()
            return
        self.transport.bufferSize = FIRST_READ
        super().requestDone(request)
        if self.context.connections.draining and self.idle:
            self.loseConnection()

    def resumeProducing(self) -> None:
        """Go on, since the client has taken everything."""
        super().resumeProducing()
        self._answer_taken()
        if self._unread is not None:
            self._delivery.stop()
            request, self._unread = self._unread, None
            self.requestDone(request)

    def hold(self, answer: Place) -> None:
        """Count an answer that has been written, until the client has taken it."""
        self._answer_taken()
        self._answer = answer
        answer.offer()
        if not self._waitingForTransport:
            self._answer_taken()

    def _answer_taken(self) -> None:
        if self._answer is not None:
            self._answer.release()
            self._answer = None

    def _close_within(self, seconds: float) -> None:
        """Close; cut the client off if it does not take part in time.

        It has to read what is left, and to answer the end of a TLS session.
        """
        super().loseConnection()
        if self._closing is None:
            self._closing = self.callLater(seconds, self.transport.abortConnection)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # twisted.web calls this for everything that it cannot parse.
        if self._receivedHeaderSize > self.totalHeadersSize:
            self._refuse(self._headers_too_large())
        else:
            self._refuse(BadRequest("the request is malformed"))

    def _headers_too_large(self) -> LFSError:
        return HeadersTooLarge(
            f"the request's headers have more than {self.context.limits.header_bytes} bytes"
        )

    def _headers_are_late(self) -> None:
        self._deadline = None
        self._refuse(RequestTimeout("the request's headers took too long to arrive"))

    def _headers_arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, error: LFSError) -> None:
        if self._broken:
            return
        self._broken = True
        self.persistent = False
        self._headers_arrived()
        if self.requests and self.requests[-1].begun:
            # Its head was fine and its body is not: its handler answers.
            self.requests[-1].break_off(error)
            return
        request_id = os.urandom(8).hex()
        # What has come of its headers may say which page sent it.
        known = self.requests[-1].requestHeaders if self.requests else Headers()
        self.transport.write(error_response(error, request_id, self.context.cors.headers(known)))
        address = host_of(self.peer)
        access_log.write_refusal(error.code, request_id, address)
        self.context.events.publish_refusal(error, address=address)
        # Nothing that follows is looked at.
        self.clearLineBuffer()
        # The client may still be sending: closing now could destroy the
        # response on its way (RFC 9112 section 9.6).
        self._linger = self.callLater(LINGER_SECONDS, self.loseConnection)
