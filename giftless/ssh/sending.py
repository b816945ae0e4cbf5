"""Send the bytes of an object as pkt-lines, without ever blocking the reactor.

The kernel copies a file to the socket by itself (``sendfile``), one packet after the other:
a client that reads slowly costs no memory.  A small file goes in one piece.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from giftless.base.page_cache import read_now
from giftless.base.producing import FileProducer, Readiness
from giftless.base.sending import is_taken, send
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


class _FileSender(FileProducer):
    """Lets the kernel send a file.

    :param transport: the connection's.
    :param download: the object; it is told when all of it is on its way.
    :param fd: its file.
    :param blocking: reads from the disk what is not in memory.
    """

    def __init__(self, transport: Any, download: IDownload, fd: int, blocking: IBlocking) -> None:
        super().__init__(transport, fd, 0, download.stored.size, blocking)
        self._download = download
        #: What is left of a packet: of its length, and of the bytes behind that.
        self._length = b""
        self._left = 0

    @property
    def sent(self) -> int:
        """How many bytes of the object were sent."""
        return self.offset

    async def run(self) -> None:
        """Send everything.

        :raises Disconnected: if the connection ended before.
        :raises OSError: if the file became shorter.
        """
        # It asks for data at once, while what was written before may still be buffered.
        self.transport.registerProducer(self, False)
        try:
            await self.done
        finally:
            if not self.transport.disconnected:
                self.transport.unregisterProducer()
            await self.let_go()

    def resumeProducing(self) -> None:
        """Send what the socket has room for."""
        if self.done.called:
            return
        if not is_taken(self.transport):
            self.transport.startWriting()
            return
        end = min(self.end, self.offset + SEND_BYTES)
        try:
            while self.offset < end:
                if self.offset >= self.warm and not self.warm_up():
                    return
                if not self._send():
                    break
        except OSError as error:
            self.fail(error)
            return
        if self.offset == self.end:
            self.finish()
        else:
            self.transport.startWriting()

    def _send(self) -> bool:
        """Send some of a packet; return whether the socket may have room for more.

        :raises OSError: if that is impossible, or the file became shorter.
        """
        if not self._left:
            self._left = min(MAX_PAYLOAD, self.end - self.offset)
            self._length = header(self._left)
        try:
            if self._length:
                count = self.transport.socket.send(self._length, socket.MSG_MORE)
                self._length = self._length[count:]
                if self._length:
                    return False
            wanted = min(self._left, self.warm - self.offset)
            if self.offset + wanted == self.end:
                # Before it is sent: whoever has all of it finds it counted.
                self._download.sent(self.end, self.end)
            count = os.sendfile(self.transport.fileno(), self.fd, self.offset, wanted)
        except BlockingIOError:
            return False
        if not count:
            raise OSError(errno.EIO, "the file became shorter while it was sent")
        self.offset += count
        self._left -= count
        return count == wanted


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
        readiness = Readiness()
        self._transport.registerProducer(readiness, True)
        try:
            while self.sent < size:
                chunks = await body.read()
                if not chunks:
                    raise OSError(errno.EIO, "the object became shorter while it was sent")
                for chunk in chunks:
                    await self._send(chunk, readiness, size)
            await readiness.ready()
        finally:
            if not self._transport.disconnected:
                self._transport.unregisterProducer()

    async def _send(self, chunk: bytes, readiness: Readiness, size: int) -> None:
        for start in range(0, len(chunk), MAX_PAYLOAD):
            await readiness.ready()
            payload = chunk[start : start + MAX_PAYLOAD]
            self.sent += len(payload)
            if self.sent == size:
                # Before it is sent: whoever has all of it finds it counted.
                self._download.sent(size, size)
            self._transport.writeSequence((header(len(payload)), payload))
