"""Send the bytes of an object as pkt-lines, without ever blocking the reactor.

The kernel copies a file to the socket by itself (``sendfile``), one packet after the other:
a client that reads slowly costs no memory.  A small file goes in one piece.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from giftless.base.page_cache import WARM_BYTES, in_memory, read_into_memory, read_now
from giftless.base.sending import send
from giftless.errors import Disconnected
from giftless.interfaces import IBlocking, IDownload, IStoredFile
from giftless.lfs.ssh.pkt_lines import FLUSH, MAX_PAYLOAD, header

#: What goes in one piece if it is in memory, in bytes.
SMALL_BYTES: Final = MAX_PAYLOAD

#: How much is sent in one turn of the reactor, in bytes: more than a Unix socket takes.
SEND_BYTES: Final = 1024 * 1024


async def send_object(
    transport: Any, head: bytes, download: IDownload, blocking: IBlocking
) -> None:
    """Send an object, and what stands in front of it and behind it.

    :param transport: the connection's, without a producer.
    :param head: the beginning of the reply.
    :param download: the object; it is told how much of it was sent.
    :param blocking: reads from the disk what is not in memory.
    :raises Disconnected: if the client is gone before everything was sent.
    :raises OSError: if the object became shorter.
    """
    stored = download.stored
    size = stored.size
    sender: _FileSender | _Passing
    if IStoredFile.providedBy(stored):
        data = read_now(stored.fileno(), 0, size) if size <= SMALL_BYTES else None
        if data is not None:
            # Before it is sent: whoever has all of it finds it counted.
            download.sent(size, size)
            send(transport, b"".join((head, header(size), data, FLUSH)) if size else head + FLUSH)
            return
        sender = _FileSender(transport, download, stored.fileno(), blocking)
    else:
        sender = _Passing(transport, download)
    send(transport, head)
    try:
        await sender.run()
    finally:
        download.sent(sender.sent, size)
    send(transport, FLUSH)


async def taken(transport: Any) -> None:
    """Wait until the socket has taken what was written.

    :param transport: the connection's, without a producer.
    :raises Disconnected: if the client is gone before.
    """
    if is_taken(transport):
        return
    wait = _Taken(transport)
    transport.registerProducer(wait, False)
    try:
        await wait.done
    finally:
        if not transport.disconnected:
            transport.unregisterProducer()


def is_taken(transport: Any) -> bool:
    """Whether nothing that was written waits for the socket."""
    return not (transport.dataBuffer or transport._tempDataLen)


@implementer(IPullProducer)
class _Taken:
    """Is told when a transport has nothing left to write.

    :ivar done: fires then.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.done: Deferred[None] = Deferred()

    def resumeProducing(self) -> None:
        if is_taken(self._transport) and not self.done.called:
            self.done.callback(None)

    def stopProducing(self) -> None:
        if not self.done.called:
            self.done.errback(Disconnected("the client went away"))


@implementer(IPullProducer)
class _FileSender:
    """Lets the kernel send a file, whenever the socket has room.

    :param transport: the connection's.
    :param download: the object; it is told when all of it is on its way.
    :param fd: its file.
    :param blocking: reads from the disk what is not in memory.
    :ivar sent: how many bytes of the object were sent.
    """

    def __init__(self, transport: Any, download: IDownload, fd: int, blocking: IBlocking) -> None:
        self._transport = transport
        self._download = download
        self._fd = fd
        self._size = download.stored.size
        self.sent = 0
        #: What is left of a packet: of its length, and of the bytes behind that.
        self._length = b""
        self._left = 0
        #: Up to where the file is in memory.
        self._warm = 0
        self._blocking = blocking
        self._warming: Deferred[None] | None = None
        self._done: Deferred[None] = Deferred()

    async def run(self) -> None:
        """Send everything.

        :raises Disconnected: if the connection ended before.
        :raises OSError: if the file became shorter.
        """
        # It asks for data at once, while what was written before may still be buffered.
        self._transport.registerProducer(self, False)
        try:
            await self._done
        finally:
            if not self._transport.disconnected:
                self._transport.unregisterProducer()
            if self._warming is not None:
                # The caller closes the file next; a thread may still read it.
                await self._warming

    def resumeProducing(self) -> None:
        """Send what the socket has room for."""
        if self._done.called:
            return
        if not is_taken(self._transport):
            self._transport.startWriting()
            return
        end = min(self._size, self.sent + SEND_BYTES)
        try:
            while self.sent < end:
                if self.sent >= self._warm and not self._warm_up():
                    return
                if not self._send():
                    break
        except OSError as error:
            # EPIPE and the like; the transport notices by itself.
            gone = error.errno in (errno.EPIPE, errno.ECONNRESET)
            self._finish(Disconnected("the client went away") if gone else error)
            return
        if self.sent == self._size:
            self._finish(None)
        else:
            self._transport.startWriting()

    def stopProducing(self) -> None:
        """End with an error, since the connection is over."""
        self._finish(Disconnected("the client went away"))

    def _send(self) -> bool:
        """Send some of a packet; return whether the socket may have room for more.

        :raises OSError: if that is impossible, or the file became shorter.
        """
        if not self._left:
            self._left = min(MAX_PAYLOAD, self._size - self.sent)
            self._length = header(self._left)
        try:
            if self._length:
                count = self._transport.socket.send(self._length, socket.MSG_MORE)
                self._length = self._length[count:]
                if self._length:
                    return False
            wanted = min(self._left, self._warm - self.sent)
            if self.sent + wanted == self._size:
                # Before it is sent: whoever has all of it finds it counted.
                self._download.sent(self._size, self._size)
            count = os.sendfile(self._transport.fileno(), self._fd, self.sent, wanted)
        except BlockingIOError:
            return False
        if not count:
            raise OSError(errno.EIO, "the file became shorter while it was sent")
        self.sent += count
        self._left -= count
        return count == wanted

    def _warm_up(self) -> bool:
        """Make sure that the next part of the file is in memory.

        :returns: whether it is; otherwise sending goes on when it is.
        """
        begin, finish = self.sent, min(self._size, self.sent + WARM_BYTES)
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
        self._paused = self._gone = False

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


class _Passing:
    """Sends what a store gives that is no file, as it comes.

    :param transport: the connection's.
    :param download: the object; it is told when all of it is on its way.
    :ivar sent: how many bytes of the object were sent.
    """

    def __init__(self, transport: Any, download: IDownload) -> None:
        self._transport = transport
        self._download = download
        self.sent = 0

    async def run(self) -> None:
        """Send everything.

        :raises Disconnected: if the connection ended before.
        :raises OSError: if the object became shorter.
        """
        size = self._download.stored.size
        body = self._download.stored.read(0, size)
        pace = _Pace()
        self._transport.registerProducer(pace, True)
        try:
            while self.sent < size:
                chunks = await body.read()
                if not chunks:
                    raise OSError(errno.EIO, "the object became shorter while it was sent")
                for chunk in chunks:
                    await self._send(chunk, pace, size)
            await pace.ready()
        finally:
            if not self._transport.disconnected:
                self._transport.unregisterProducer()

    async def _send(self, chunk: bytes, pace: _Pace, size: int) -> None:
        for start in range(0, len(chunk), MAX_PAYLOAD):
            await pace.ready()
            payload = chunk[start : start + MAX_PAYLOAD]
            self.sent += len(payload)
            if self.sent == size:
                # Before it is sent: whoever has all of it finds it counted.
                self._download.sent(size, size)
            self._transport.writeSequence((header(len(payload)), payload))
