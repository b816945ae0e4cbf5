"""An HTTP/1.1 connection that holds out against slow and malformed input.

It cuts what arrives into requests, and has one at a time: the next is not looked at
before this one is answered, and the answer taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.base.client_memory import Place
from giftless.base.sending import send, sends_at_once, unsent
from giftless.errors import LFSError, RequestTimeout
from giftless.web.chunks import ChunkDecoder
from giftless.web.context import Context
from giftless.web.delivery import Delivery
from giftless.web.headers import Headers
from giftless.web.parser import Head, HeadParser
from giftless.web.refusing import refuse
from giftless.web.request import DRAIN_BYTES, LINGER_SECONDS, LFSRequest
from giftless.web.timer import Timer

#: How many bytes of the next requests are taken while one is being answered.
EARLY_BYTES: Final = 16384

#: How much is read from the socket before it is known what comes, in bytes.
FIRST_READ: Final = 16384

#: How long a silent connection that is closed may keep what it was sent, in seconds.
ABORT_SECONDS: Final = 15.0

#: Why nothing is read: the handler is slower than its body comes,
BODY: Final = 1
#: more of the next requests has come than may wait,
EARLY: Final = 2
#: or the client sends on, although it has been told that nobody wants it.
UNWANTED: Final = 4


@implementer(IPushProducer)
class LFSConnection(Protocol):
    """One client's connection.

    Requests that cannot even be parsed are answered here, with the same JSON
    errors as all others, and end the connection.

    :param context: what it shares with the site's other connections.
    :param serve: hands a request to the site's resources.
    :ivar context: the same.
    :ivar persistent: whether another request may follow.
    :ivar secure: whether it is encrypted.
    :ivar request: the request that is being received or answered, if there is one.
    """

    transport: Any

    def __init__(self, context: Context, serve: Callable[[LFSRequest], object]) -> None:
        self.context = context
        self.serve = serve
        self.persistent = True
        self.secure = False
        clock = context.clock
        self._parser = HeadParser(context.limits.header_bytes)
        self.request: LFSRequest | None = None
        #: What has come and was not looked at, from its offset on.
        self._data = b""
        self._offset = 0
        #: How many bytes of the body are still to come, or what decodes it.
        self._left = 0
        self._decoder: ChunkDecoder | None = None
        self._cutting = False
        #: Whether what arrives is dropped, and how much has been.
        self._deaf = False
        self._dropped = 0
        #: Why nothing is read.
        self._held = 0
        #: Whether the client has more to take than may wait.
        self._full = False
        #: Whether the next request waits for that.
        self._untaken = False
        self._producer: Any = None
        self._answer: Place | None = None
        self._idle = Timer(clock, self._is_silent)
        self._deadline = Timer(clock, self._headers_are_late)
        self._patience = Timer(clock, self._send_interim)
        self._closing: IDelayedCall | None = None
        #: Whether what is written may go to the socket at once.
        self._direct = False

    # -- the transport calls these

    def connectionMade(self) -> None:
        """Start with the limits of the site."""
        transport, context = self.transport, self.context
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self.secure = ISSLTransport.providedBy(transport)
        self._direct = sends_at_once(transport)
        self.peer = transport.getPeer()
        transport.bufferSize = FIRST_READ
        transport.registerProducer(self, True)
        self._delivery = Delivery(
            context.clock, context.limits, lambda: -unsent(transport), transport.abortConnection
        )
        self._idle.start(context.limits.idle_timeout)
        context.connections.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free what the connection holds."""
        for timer in (self._idle, self._deadline, self._patience):
            timer.close()
        self._delivery.stop()
        self._answer_taken()
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self._deaf = True
        self._parser.reset()
        self.context.connections.closed(self)
        if self.request is not None:
            self.request.connection_lost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; the first of a request start its headers' deadline."""
        if self._deaf:
            self._dropped += len(data)
            if self._dropped > DRAIN_BYTES:
                self._hold(UNWANTED)
            return
        if self._idle.running:
            self._idle.start(self.context.limits.idle_timeout)
        self._data = self._data[self._offset :] + data if self.waiting else data
        self._offset = 0
        self._cut()

    def pauseProducing(self) -> None:
        """Note that more waits for the client than should."""
        self._full = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on, since the client has taken everything."""
        self._full = False
        self._answer_taken()
        if self._producer is not None:
            self._producer.resumeProducing()
        if self._untaken:
            self._untaken = False
            self._delivery.stop()
            self.request_done()

    def stopProducing(self) -> None:
        """Tell who writes a response that the connection is over."""
        if self._producer is not None:
            self._producer.stopProducing()

    # -- the site calls these

    @property
    def waiting(self) -> int:
        """How many bytes have come and were not looked at."""
        return len(self._data) - self._offset

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.transport.abortConnection()

    def drain(self) -> None:
        """Close as soon as nothing is under way."""
        self.persistent = False
        if self.request is None and self._parser.head is None:
            self._close_within(LINGER_SECONDS)

    # -- the request calls these

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._direct:
            send(self.transport, data)
        else:
            self.transport.write(data)

    def register(self, producer: Any) -> None:
        """Tell somebody when to pause and to resume writing, until ``None`` is registered.

        :param producer: an ``IPushProducer``.
        """
        self._producer = producer
        if producer is not None and self._full:
            producer.pauseProducing()

    def keep(self, answer: Place) -> None:
        """Count an answer that has been written, until the client has taken it."""
        self._answer_taken()
        self._answer = answer
        answer.offer()
        if not self._full:
            self._answer_taken()

    def _hold(self, reason: int) -> None:
        """Read nothing, for one of the reasons, until :meth:`_release`."""
        if not self._held:
            self.transport.pauseProducing()
        self._held |= reason

    def _release(self, reason: int) -> None:
        """Take back a reason to read nothing.  Harmless when repeated."""
        if self._held:
            self._held &= ~reason
            if not self._held:
                self.transport.resumeProducing()

    def hold_unwanted(self) -> None:
        """Read nothing more of a body that nobody wants."""
        self._hold(UNWANTED)

    def pause_body(self) -> None:
        """Hold the client up, who is not silent then."""
        self._idle.stop()
        self._hold(BODY)

    def resume_body(self, complete: bool) -> None:
        """Let the client go on.

        :param complete: whether nothing more of the body is to come.
        """
        if not complete:
            self._idle.start(self.context.limits.idle_timeout)
        self._release(BODY)

    def tell_patience(self, seconds: float) -> None:
        """Let the request send an interim response after some time."""
        self._patience.start(seconds)

    def response_begins(self) -> None:
        """Send no interim response any more."""
        self._patience.stop()

    def request_done(self) -> None:
        """Begin the next request, once the response of this one is on its way.

        Otherwise a client that sends and does not read could fill the memory.
        """
        self._idle.stop()
        if self.persistent and self._full:
            self._untaken = True
            self._delivery.start()
            return
        self.request = self._decoder = None
        self._left = 0
        self._release(BODY)
        if not self.persistent:
            self.close()
            return
        self.transport.bufferSize = FIRST_READ
        self._idle.start(self.context.limits.idle_timeout)
        self._cut()

    def close(self) -> None:
        """Close, when the client has taken what is left of its response."""
        self._end()
        if self._closing is None:
            self._delivery.start()

    # -- inside

    def _cut(self) -> None:
        """Take requests out of what has come, as far as it goes."""
        if self._cutting:
            return
        self._cutting = True
        try:
            while self._offset < len(self._data) and not self._deaf and self._step():
                pass
        except LFSError as error:
            self._refuse(error)
        finally:
            self._cutting = False
        if self._offset == len(self._data) or self._deaf:
            self._data, self._offset = b"", 0
        if self.request is not None or self._deaf:
            self._deadline.stop()
        elif self._parser.head is None and not self._data:
            # Nothing of a head is here; a line break in front of one is nothing.
            self._deadline.stop()
        elif not self._deadline.running:
            self._deadline.start(self.context.limits.header_timeout)
        request = self.request
        if request is not None and request.body.complete and self.waiting > EARLY_BYTES:
            self._hold(EARLY)
        else:
            self._release(EARLY)

    def _step(self) -> bool:
        """Take the next part; returns whether there may be another."""
        request, parser = self.request, self._parser
        if request is not None:
            return not request.body.complete and self._take_body(request)
        self._offset = parser.feed(self._data, self._offset)
        if not parser.complete:
            return False
        head = parser.head
        assert head is not None
        parser.reset()
        self._begin(head)
        return True

    def _begin(self, head: Head) -> None:
        self._deadline.stop()
        request = self.request = LFSRequest(self, head)
        if head.length is None:
            self._decoder = ChunkDecoder(request.deliver)
        elif not head.length:
            self._body_over(request)
        else:
            self._left = head.length
            if self.waiting and not request.expects_continue:
                self._take_body(request)
        request.begin()

    def _take_body(self, request: LFSRequest) -> bool:
        data, start = self._data, self._offset
        if self._decoder is not None:
            self._offset = self._decoder.feed(data, start)
            over = self._decoder.complete
        else:
            end = self._offset = min(len(data), start + self._left)
            self._left -= end - start
            request.deliver(data if end - start == len(data) else data[start:end])
            over = not self._left
        if over:
            self._body_over(request)
        else:
            self.transport.bufferSize = self.context.memory.passing.read_size
        return over

    def _body_over(self, request: LFSRequest) -> None:
        self._idle.stop()
        request.body_over()

    def _answer_taken(self) -> None:
        if self._answer is not None:
            self._answer.release()
            self._answer = None

    def _end(self) -> None:
        self._deaf = True
        self.persistent = False
        self._idle.stop()
        self._deadline.stop()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _close_within(self, seconds: float) -> None:
        """Close; cut the client off if it does not take part in time.

        It has to read what is left, and to answer the end of a TLS session.
        """
        self._end()
        if self._closing is None:
            self._closing = self.context.clock.callLater(seconds, self.transport.abortConnection)

    def _is_silent(self) -> None:
        self._close_within(ABORT_SECONDS)

    def _headers_are_late(self) -> None:
        self._refuse(RequestTimeout("the request's headers took too long to arrive"))

    def _send_interim(self) -> None:
        if self.request is not None:
            self.request.send_interim()

    def _refuse(self, error: LFSError) -> None:
        """Answer what is no request, and look at nothing that follows."""
        if self._deaf:
            return
        self._deaf = True
        self.persistent = False
        self._deadline.stop()
        if self.request is not None:
            # Its head was fine and its body is not: its handler answers.
            self.request.break_off(error)
            return
        head = self._parser.head
        refuse(self.transport, self.context, error, Headers() if head is None else head.headers)
        # The client may still be sending: closing now could destroy the
        # response on its way (RFC 9112 section 9.6).
        self._closing = self.context.clock.callLater(LINGER_SECONDS, self._lingered)

    def _lingered(self) -> None:
        self._closing = None
        self.close()
