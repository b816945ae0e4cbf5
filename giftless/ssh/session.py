"""A session of ``git-lfs-transfer``: bytes to requests, one at a time, and replies to bytes.

A session has no deadlines.  git-lfs is silent for as long as its user pauses it, or as git
works, and cannot go on in another session.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from giftless.base.access_log import CLIENT_CLOSED
from giftless.base.client_memory import SMALL_ANSWER, Held
from giftless.base.concurrency import begin
from giftless.base.sending import is_taken, send
from giftless.base.uncaught import uncaught
from giftless.errors import Disconnected, LFSError
from giftless.lfs.ssh.pkt_lines import BrokenStream, Mark, PacketDecoder
from giftless.lfs.ssh.requests import PUT_OBJECT, Request, RequestReader
from giftless.ssh.caller import Caller
from giftless.ssh.context import Context
from giftless.ssh.processor import QUIT, Answer, Processor
from giftless.ssh.sending import send_object, taken
from giftless.ssh.upload import Upload

#: A request of up to so many bytes is not counted: it is gone as fast.
_SMALL_REQUEST: Final = 16 * 1024

#: How much is read from the socket at once while an object arrives, in bytes: more than a
#: Unix socket has.
_READ_BYTES: Final = 256 * 1024

#: The same for requests.
_REQUEST_READ: Final = 32 * 1024

#: For how long nothing must be under way before a session is closed when service ends, in
#: seconds: git-lfs may be about to ask for the next object.
_PAUSE: Final = 3.0

#: Why nothing is read: what has come is not used up,
_BUSY: Final = 1
#: or an object arrives faster than it is stored.
_BODY: Final = 2


@implementer(IHalfCloseableProtocol)
class Session(Protocol):
    """One session.

    :param context: what it shares with others.
    :param processor: answers its requests.
    :param caller: who has opened it.
    """

    transport: Any

    def __init__(self, context: Context, processor: Processor, caller: Caller) -> None:
        self._context = context
        self._processor = processor
        self._caller = caller
        self._decoder = PacketDecoder()
        self._reader = RequestReader(context.max_request)
        self._held = Held(context.memory, self._reader.refuse, self.abort)
        self._request: Request | None = None
        self._body: Upload | None = None
        self._answer: Answer | None = None
        self._reasons = 0
        self._cutting = False
        #: Whether no more requests are taken: after quit, or when what comes makes no sense.
        self._ending = False
        #: Whether the client will send no more, and whether it is gone.
        self._eof = self._gone = False
        self._closing: IDelayedCall | None = None
        self._opened = self._began = context.clock.seconds()
        self._sent = 0
        self._status = 200

    # -- the transport calls these

    def connectionMade(self) -> None:
        """Count the session."""
        context = self._context
        self.transport.bufferSize = _REQUEST_READ
        context.sessions.enter(self._caller.address)
        context.sessions.opened(self)
        if context.counter is not None:
            context.counter.opened()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes."""
        if not self._ending:
            self._decoder.feed(data)
            self._go_on()

    def readConnectionLost(self) -> None:
        """End when all is answered that has come whole: the client will send no more."""
        self._eof = True
        self._end_body()
        self._go_on()

    def writeConnectionLost(self) -> None:
        """Do nothing: only the end of both directions is of interest."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free what the session holds; a request that runs frees the rest when it ends."""
        self._gone = True
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self._request is None:
            self._over()
        else:
            self._end_body()

    def _end_body(self) -> None:
        """End an object of which no more will come, or the request if nobody wants the object."""
        body = self._arriving
        if body is None:
            return
        if self._answer is not None:
            self._answer = None
            self._end_request(CLIENT_CLOSED)
        else:
            body.fail(Disconnected("the client went away"))

    # -- those who end service call these

    def drain(self) -> None:
        """Close when nothing has been under way for a moment."""
        if self._request is None and self._closing is None:
            self._closing = self._context.clock.callLater(_PAUSE, self._pause_is_over)

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if not self._gone:
            self.transport.abortConnection()

    # -- what comes

    def _go_on(self) -> None:
        """Take requests and bytes of objects out of what has come, as far as it goes."""
        if self._cutting or self._gone:
            return
        self._cutting = True
        try:
            while not self._ending and self._step():
                pass
        except BrokenStream as error:
            self._break_off(error)
        finally:
            self._cutting = False
        self._settle()

    def _settle(self) -> None:
        """Hold the client up or let it go on; close if no more is to come."""
        if self._request is not None:
            body = self._arriving
            if body is not None:
                self._release(_BUSY)
                body.expect_lull()
            elif self._decoder.waiting:
                self._hold(_BUSY)
        elif self._ending or self._eof:
            self._close()
        else:
            self._release(_BUSY)
            if self._context.sessions.draining:
                self.drain()

    @property
    def _arriving(self) -> Upload | None:
        """The object of which more is to come."""
        body = self._body
        return None if body is None or body.complete else body

    def _step(self) -> bool:
        """Take the next packet, or what has come of an object; return whether to go on."""
        body = self._arriving
        if body is not None:
            payload, mark = self._decoder.payload()
            if payload:
                body.deliver(payload)
            if mark is Mark.FLUSH:
                body.end()
                self._reply()
            elif mark is Mark.DELIM:
                raise BrokenStream("there is a delim among the bytes of an object")
            return mark is not None
        if self._request is not None:
            return False
        packet = self._decoder.packet()
        if packet is None:
            return False
        request = self._reader.add(packet)
        if self._reader.size > _SMALL_REQUEST:
            self._keep(self._reader.size, request is not None)
        if request is not None:
            self._begin(request)
        return True

    def _keep(self, size: int, complete: bool) -> None:
        """Take memory for a request that is larger than most.

        While it arrives, it may be dropped: others may need the memory more.
        """
        try:
            self._held.keep_body(size, complete)
        except LFSError as error:
            self._reader.refuse(error)

    def _break_off(self, error: BrokenStream) -> None:
        """End, since nobody knows what else comes: with the reply to what runs, if that waits."""
        self._ending = True
        self.transport.stopReading()
        body = self._arriving
        if body is not None:
            body.fail(error)
            self._reply()
        elif self._request is None:
            self._request, self._began = Request(""), self._context.clock.seconds()
            self._finish(self._processor.refuse(error, self._caller))

    # -- what is asked for

    def _begin(self, request: Request) -> None:
        self._request = request
        self._began = self._context.clock.seconds()
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if request.command == PUT_OBJECT:
            self._body = self._receive()
            if not request.has_body:
                self._body.end()
        outcome = begin(self._ask(request))
        if isinstance(outcome, Deferred):
            outcome.addCallbacks(self._finish, self._fail)
        else:
            self._finish(outcome)

    def _receive(self) -> Upload:
        clock, passing = self._context.clock, self._context.memory.passing
        hold, release = partial(self._hold, _BODY), partial(self._release, _BODY)
        upload = Upload(clock, passing, hold, release)
        self.transport.bufferSize = min(_READ_BYTES, passing.read_size)
        return upload

    async def _ask(self, request: Request) -> Answer:
        try:
            return await self._processor.answer(self._caller, request, self._body)
        except LFSError as error:
            return self._processor.refuse(error, self._caller)

    def _fail(self, failure: Failure) -> None:
        """Answer what no use case has foreseen."""
        if failure.check(Disconnected):
            self._finish(None)
        else:
            error = uncaught(failure, self._caller.id)
            self._finish(self._processor.refuse(error, self._caller))

    # -- what is answered

    def _finish(self, answer: Answer | None) -> None:
        """Send an answer when the client listens: behind the last byte of its object.

        :param answer: ``None`` if the client has left.
        """
        if answer is None or self._gone:
            if answer is not None and answer.download is not None:
                answer.download.close()
            self._end_request(CLIENT_CLOSED)
            return
        self._answer = answer
        body = self._arriving
        if body is not None:
            body.discard()
        self._reply()

    def _reply(self) -> None:
        """Send the answer, if it is there and the client listens."""
        answer = self._answer
        if answer is None or (self._arriving is not None and not self._ending):
            return
        self._answer = None
        outcome = begin(self._send(answer))
        if isinstance(outcome, Deferred):
            outcome.addCallbacks(self._end_request, self._cut_off)
        else:
            self._end_request(outcome)

    async def _send(self, answer: Answer) -> int:
        """Send an answer, and wait until the socket has taken it.

        :returns: its status.
        """
        if answer.download is not None:
            download = answer.download
            size = download.stored.size
            try:
                await send_object(self.transport, answer.data, download, self._context.blocking)
                self._sent += size
            finally:
                download.close()
        else:
            if len(answer.data) > SMALL_ANSWER:
                try:
                    self._held.reserve(len(answer.data))
                except LFSError as error:
                    answer = self._processor.refuse(error, self._caller)
            send(self.transport, answer.data)
        if not is_taken(self.transport):
            await taken(self.transport)
        return answer.status

    def _cut_off(self, failure: Failure) -> None:
        """End the session, because a reply cannot be completed."""
        status = CLIENT_CLOSED
        if not failure.check(Disconnected):
            status = uncaught(failure, self._caller.id).code
        self._ending = True
        self._end_request(status)
        self.abort()

    def _end_request(self, status: int) -> None:
        """Count the request, and begin with the next."""
        request, context = self._request, self._context
        assert request is not None, "a request that ends has begun"
        self._request = None
        self._status = status
        self._held.release()
        if self._body is not None:
            self._body.abandon()
            self._body = None
            self._release(_BODY)
        if context.counter is not None:
            command = request.command if self._processor.knows(request.command) else ""
            seconds = context.clock.seconds() - self._began
            context.counter.finished(command, status, seconds)
        if self._gone:
            self._over()
            return
        self.transport.bufferSize = _REQUEST_READ
        if request.command == QUIT:
            self._ending = True
        self._go_on()

    def _pause_is_over(self) -> None:
        self._closing = None
        self._ending = True
        self.transport.loseConnection()

    def _close(self) -> None:
        """Send nothing more, and wait until the other side closes.

        By that it tells the end of a session from that of this process, whose death closes
        both directions at once.
        """
        if self._eof or self._context.sessions.draining:
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
            # What still comes is dropped, up to the end.
            self.transport.resumeProducing()

    def _over(self) -> None:
        """Forget the session, and write its line of the access log."""
        context, caller = self._context, self._caller
        context.sessions.leave(caller.address)
        if context.counter is not None:
            context.counter.closed()
        caller.log(self._status, self._sent, context.clock.seconds() - self._opened)
        context.sessions.closed(self)

    # -- the client is held up

    def _hold(self, reason: int) -> None:
        """Read nothing, for one of the reasons, until :meth:`_release`."""
        if not self._reasons:
            self.transport.pauseProducing()
        self._reasons |= reason

    def _release(self, reason: int) -> None:
        """Take back a reason to read nothing.  Harmless when repeated."""
        if self._reasons & reason:
            self._reasons &= ~reason
            if not (self._reasons or self._ending or self._eof or self._gone):
                self.transport.resumeProducing()
