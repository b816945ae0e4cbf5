"""Send part of a stored object, without ever blocking the reactor.

On a plain socket the kernel copies a file to the network by itself
(``sendfile``); otherwise, over TLS or for objects that are no files, bytes are
passed on as the client takes them.  A small file that is in memory goes with the
headers, in one piece.  Either way a slow reader costs its socket
buffer and one chunk, and a reader that has stopped is cut off.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from giftless.base.page_cache import WARM_BYTES, in_memory, read_into_memory, read_now
from giftless.base.sending import sends_at_once, unsent
from giftless.errors import Disconnected
from giftless.interfaces import IBlocking, IDownload, IStoredFile, IStoredObject
from giftless.web.accounting import complete
from giftless.web.delivery import Delivery
from giftless.web.request import LFSRequest

#: What goes in one piece with the headers if it is in memory, in bytes.  Every
#: socket takes that much, or its connection's buffer does.
SMALL_BYTES: Final = 64 * 1024

#: How much one ``sendfile`` call is asked to send, in bytes.
SEND_BYTES: Final = 2 * 1024 * 1024

#: How many bytes at the end of a file are sent by themselves if there are more: the response
#: counts as complete before that.  As many as sockets take at once anyway.
LAST_BYTES: Final = 256 * 1024


async def send_object(
    request: LFSRequest,
    download: IDownload,
    start: int,
    end: int,
    blocking: IBlocking,
) -> None:
    """Send the bytes from ``start`` to ``end`` as the response's body.

    The response's status and headers are set already; ``request.finish()`` is
    left to the caller.

    :param download: what to send; it is told how much was.
    :param blocking: reads from the disk what is not in memory yet.
    :raises Disconnected: if the client is gone before everything was sent.
    """
    wanted = end - start
    request.on_complete = lambda: download.sent(wanted, wanted)
    try:
        await _send(request, download.stored, start, end, blocking)
    finally:
        download.sent(request.response.sent, wanted)


async def _send(
    request: LFSRequest, stored: IStoredObject, start: int, end: int, blocking: IBlocking
) -> None:
    if request.connection is None:
        raise Disconnected("the client went away")
    if end - start <= SMALL_BYTES and IStoredFile.providedBy(stored):
        data = read_now(stored.fileno(), start, end)
        if data is not None:
            request.write(data)  # and the headers
            return
    request.write(b"")  # the headers
    if start == end:
        return
    transport = request.connection.transport
    if sends_at_once(transport) and IStoredFile.providedBy(stored):
        sender = _FileSender(request, stored.fileno(), start, end, blocking)
        await sender.run()
    else:
        await _pass_on(request, stored, start, end)


@implementer(IPullProducer)
class _FileSender:
    """Lets the kernel send a file, whenever the socket has room.

    It takes the place of the connection's own producer, so that the transport
    asks for more only when its buffer in user space is empty.
    """

    def __init__(
        self,
        request: LFSRequest,
        fd: int,
        start: int,
        end: int,
        blocking: IBlocking,
    ) -> None:
        self._request = request
        self._connection = request.connection
        self._transport = request.connection.transport
        self._fd = fd
        self._offset = start
        self._end = end
        self._warm = start
        self._blocking = blocking
        self._warming: Deferred[None] | None = None
        self._done: Deferred[None] = Deferred()
        self._delivery = _watch(request)

    async def run(self) -> None:
        """Send everything.

        :raises Disconnected: if the connection ended before.
        :raises OSError: if the file became shorter.
        """
        transport = self._transport
        self._delivery.start()
        transport.unregisterProducer()
        # Registering asks for data at once, while headers are still buffered;
        # that first call is answered by waiting for the socket.
        transport.registerProducer(self, False)
        try:
            await self._done
        finally:
            self._delivery.stop()
            if not transport.disconnected:
                transport.unregisterProducer()
                transport.registerProducer(self._connection, True)
                # It may have been told to pause before, and not to resume since.
                self._connection.resumeProducing()
            if self._warming is not None:
                # The caller closes the file next; a thread may still read it.
                await self._warming

    def resumeProducing(self) -> None:
        """Send what the socket has room for."""
        if self._done.called:
            return
        if self._transport.dataBuffer or self._transport._tempDataLen:
            self._transport.startWriting()
            return
        if self._offset >= self._warm and not self._warm_up():
            return
        wanted = min(self._end, self._warm, self._offset + SEND_BYTES) - self._offset
        last = self._offset + wanted == self._end
        if last and wanted > LAST_BYTES:
            wanted -= LAST_BYTES
        elif last:
            complete(self._request)
        try:
            sent = os.sendfile(self._transport.fileno(), self._fd, self._offset, wanted)
        except BlockingIOError:
            self._transport.startWriting()
            return
        except OSError as error:
            # EPIPE and the like; the transport notices by itself.
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                self._transport.startWriting()
                self._finish(Disconnected("the client went away"))
            else:
                self._finish(error)
            return
        if sent == 0:
            self._finish(OSError(errno.EIO, "the file became shorter while it was sent"))
            return
        self._offset += sent
        self._request.response.sent += sent
        if self._offset == self._end:
            self._finish(None)
        elif self._offset == self._end - LAST_BYTES:
            self.resumeProducing()
        else:
            self._transport.startWriting()

    def stopProducing(self) -> None:
        """End with an error, since the connection is over."""
        self._finish(Disconnected("the client went away"))

    def _warm_up(self) -> bool:
        """Make sure that the next part of the file is in memory.

        :returns: whether it is; otherwise sending goes on when it is.
        """
        begin, finish = self._offset, min(self._end, self._offset + WARM_BYTES)
        self._warm = finish
        if in_memory(self._fd, begin, finish):
            return True
        reading = self._blocking.run(read_into_memory, self._fd, begin, finish)
        self._warming = Deferred.fromCoroutine(self._warmed_up(reading))
        return False

    async def _warmed_up(self, reading: Awaitable[None]) -> None:
        try:
            await reading
        except Exception as error:
            self._finish(error)
        else:
            if not self._done.called:
                self._transport.startWriting()

    def _finish(self, error: BaseException | None) -> None:
        if self._done.called:
            return
        if error is None:
            self._done.callback(None)
        else:
            self._done.errback(error)


@implementer(IPushProducer)
class _Pace:
    """Tells when the transport wants more, for a sender that awaits it."""

    def __init__(self) -> None:
        self._waiting: Deferred[None] | None = None
        self._paused = False
        self._gone = False

    async def ready(self) -> None:
        """Wait until the transport can take more.

        :raises Disconnected: if it never will.
        """
        if self._paused and not self._gone:
            self._waiting = Deferred()
            await self._waiting
        if self._gone:
            raise Disconnected("the client went away")

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)


def _watch(request: LFSRequest) -> Delivery:
    """Return what cuts the client off if it takes too little of a response."""
    transport = request.connection.transport
    return Delivery(
        request.context.clock,
        request.context.limits,
        lambda: request.response.sent - unsent(transport),
        transport.abortConnection,
    )


async def _pass_on(request: LFSRequest, stored: IStoredObject, start: int, end: int) -> None:
    body = stored.read(start, end)
    pace = _Pace()
    request.connection.register(pace)
    finished = request.notifyFinish()
    finished.addErrback(lambda _: pace.stopProducing())
    delivery = _watch(request)
    delivery.start()
    left = end - start
    try:
        while left:
            chunks = await body.read()
            if not chunks:
                raise OSError(errno.EIO, "the object became shorter while it was sent")
            for chunk in chunks:
                await pace.ready()
                request.write(chunk)
                left -= len(chunk)
        await pace.ready()
    finally:
        delivery.stop()
        if request.connection is not None:
            request.connection.register(None)
