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
from typing import Final, Self

from twisted.internet.defer import Deferred

from giftless.base.page_cache import read_now
from giftless.base.producing import FileProducer, Readiness
from giftless.base.sending import is_taken, sends_at_once, unsent
from giftless.errors import Disconnected
from giftless.interfaces import IBlocking, IDownload, IGrowingFile, IStoredFile, IStoredObject
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
    source: IStoredObject | None = None,
) -> None:
    """Send the bytes from ``start`` to ``end`` as the response's body.

    The response's status and headers are set already; ``request.finish()`` is
    left to the caller.

    :param download: what to send; it is told how much was.
    :param blocking: reads from the disk what is not in memory yet.
    :param source: what has the bytes, if not the object itself.
    :raises Disconnected: if the client is gone before everything was sent.
    """
    wanted = end - start
    request.on_complete = lambda: download.sent(wanted, wanted)
    try:
        await _send(request, source or download.stored, start, end, blocking)
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
    if start == end:
        request.write(b"")  # the headers
        return
    # They go with the first bytes, so that a store that has none to give finds its status.
    transport = request.connection.transport
    if sends_at_once(transport) and IStoredFile.providedBy(stored):
        request.write(b"")
        async with _FileSender(request, stored.fileno(), start, end, blocking) as sender:
            await sender.send(end)
        return
    if sends_at_once(transport) and IGrowingFile.providedBy(stored) and end - start == stored.size:
        start = await _follow(request, stored, blocking)
    if start < end:
        await _pass_on(request, stored, start, end)


async def _follow(request: LFSRequest, stored: IGrowingFile, blocking: IBlocking) -> int:
    """Send a file while it grows.

    :returns: up to where it was sent: its end, or where it grows no more.
    """
    reached = await stored.grown(0)
    if not reached:
        return 0
    if request.connection is None:
        raise Disconnected("the client went away")
    request.write(b"")
    async with _FileSender(request, stored.fileno(), 0, stored.size, blocking) as sender:
        sent = 0
        while reached > sent:
            await sender.send(reached)
            sent = reached
            if sent < stored.size:
                reached = await stored.grown(sent)
    return sent


class _FileSender(FileProducer):
    """Lets the kernel send a file, in one piece or in several.

    It takes the place of the connection's own producer for as long as its context lasts, so
    that the transport asks for more only when its buffer in user space is empty.

    :param end: where the response ends in the file.
    """

    def __init__(
        self, request: LFSRequest, fd: int, start: int, end: int, blocking: IBlocking
    ) -> None:
        super().__init__(request.connection.transport, fd, start, start, blocking)
        self.done.callback(None)
        self._last = end
        self._request = request
        self._connection = request.connection
        self._delivery = _watch(request)

    async def __aenter__(self) -> Self:
        """Take the connection over."""
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give the connection back."""
        transport = self.transport
        if not transport.disconnected:
            transport.unregisterProducer()
            transport.registerProducer(self._connection, True)
            # It may have been told to pause before, and not to resume since.
            self._connection.resumeProducing()
        await self.let_go()

    async def send(self, end: int) -> None:
        """Send on, up to an offset.

        :raises Disconnected: if the connection ended before.
        :raises OSError: if the file became shorter.
        """
        if self.transport.disconnected:
            raise Disconnected("the client went away")
        self.end = end
        self.done = Deferred()
        self._delivery.start()
        try:
            self.resumeProducing()
            await self.done
        finally:
            self._delivery.stop()

    def resumeProducing(self) -> None:
        """Send what the socket has room for."""
        if self.done.called:
            return
        if not is_taken(self.transport):
            # Headers, perhaps: the transport calls again when they are sent.
            self.transport.startWriting()
            return
        if self.offset >= self.warm and not self.warm_up():
            return
        wanted = min(self.end, self.warm, self.offset + SEND_BYTES) - self.offset
        last = self.offset + wanted == self._last
        if last and wanted > LAST_BYTES:
            wanted -= LAST_BYTES
        elif last:
            complete(self._request)
        try:
            sent = os.sendfile(self.transport.fileno(), self.fd, self.offset, wanted)
        except BlockingIOError:
            self.transport.startWriting()
            return
        except OSError as error:
            self.fail(error)
            return
        if sent == 0:
            self.finish(OSError(errno.EIO, "the file became shorter while it was sent"))
            return
        self.offset += sent
        self._request.response.sent += sent
        if self.offset == self.end:
            self.finish()
        elif self.offset == self._last - LAST_BYTES:
            self.resumeProducing()
        else:
            self.transport.startWriting()


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
    if request.connection is None:
        raise Disconnected("the client went away")
    body = stored.read(start, end)
    readiness = Readiness()
    request.connection.register(readiness)
    finished = request.notifyFinish()
    finished.addErrback(lambda _: readiness.stopProducing())
    delivery = _watch(request)
    delivery.start()
    left = end - start
    try:
        while left:
            chunks = await body.read()
            if not chunks:
                raise OSError(errno.EIO, "the object became shorter while it was sent")
            for chunk in chunks:
                await readiness.ready()
                request.write(chunk)
                left -= len(chunk)
        await readiness.ready()
    finally:
        delivery.stop()
        if request.connection is not None:
            request.connection.register(None)
