"""Send the bytes of an object as pkt-lines, without ever blocking the reactor.

A file is read into a buffer that has the lengths of the packets in it already, and goes
from there to the socket: bytes are not copied in between.  A client that reads slowly
costs one such buffer.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from giftless.base.sending import send
from giftless.errors import Disconnected
from giftless.interfaces import IBlocking, IDownload, IStoredFile
from giftless.lfs.ssh.pkt_lines import FLUSH, HEADER_BYTES, MAX_PAYLOAD, header

#: How many packets a buffer has room for: about what a Unix socket takes at once.
_PACKETS: Final = 4

#: How many bytes of an object that is.
_BUFFER_BYTES: Final = _PACKETS * MAX_PAYLOAD


def frame(size: int) -> tuple[bytearray, list[memoryview]]:
    """Make a buffer for the packets of some bytes.

    :param size: how many bytes; at least 1.
    :returns: the buffer, with lengths in it, and the places between for the bytes.
    """
    count = -(-size // MAX_PAYLOAD)
    buffer = bytearray(size + count * HEADER_BYTES)
    view, places = memoryview(buffer), []
    offset = 0
    for start in range(0, size, MAX_PAYLOAD):
        length = min(MAX_PAYLOAD, size - start)
        view[offset : offset + HEADER_BYTES] = header(length)
        offset += HEADER_BYTES
        places.append(view[offset : offset + length])
        offset += length
    return buffer, places


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
    if IStoredFile.providedBy(stored):
        if stored.size <= _BUFFER_BYTES:
            await _send_small(transport, head, download, stored.fileno(), blocking)
            return
        sender: _FileSender | _Passing = _FileSender(transport, download, stored.fileno(), blocking)
    else:
        sender = _Passing(transport, download)
    send(transport, head)
    try:
        await sender.run()
    finally:
        download.sent(sender.sent, download.stored.size)
    send(transport, FLUSH)


async def _send_small(
    transport: Any, head: bytes, download: IDownload, fd: int, blocking: IBlocking
) -> None:
    """Send a file in one piece."""
    size = download.stored.size
    buffer, places = frame(size)
    if size and not _read_now(fd, places, 0, size):
        await blocking.run(_read, fd, places, 0, size)
    # Before it is sent: whoever has all of it finds it counted.
    download.sent(size, size)
    send(transport, b"".join((head, buffer, FLUSH)))


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
    """Sends a large file, whenever the socket has room.

    :param transport: the connection's.
    :param download: the object; it is told when all of it is on its way.
    :param fd: its file.
    :param blocking: reads from the disk what is not in memory.
    """

    def __init__(self, transport: Any, download: IDownload, fd: int, blocking: IBlocking) -> None:
        self._transport = transport
        self._download = download
        self._fd = fd
        self._offset = 0
        self._size = download.stored.size
        self._blocking = blocking
        self._buffer, self._places = frame(_BUFFER_BYTES)
        #: What of it is to be sent.
        self._rest = memoryview(b"")
        self._is_reading = False
        self._reading: Deferred[None] | None = None
        self._done: Deferred[None] = Deferred()

    @property
    def sent(self) -> int:
        """How many bytes of the object were sent, or nearly so."""
        return self._offset - len(self._rest)

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
            if self._reading is not None:
                # The caller closes the file next; a thread may still read it.
                await self._reading

    def resumeProducing(self) -> None:
        """Send what the socket has room for."""
        if self._done.called or self._is_reading:
            return
        transport = self._transport
        if not is_taken(transport):
            transport.startWriting()
            return
        if not self._rest and not self._fill():
            return
        try:
            sent = transport.socket.send(self._rest)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.stopProducing()
            return
        self._rest = self._rest[sent:]
        if self._rest or self._offset < self._size:
            transport.startWriting()
        else:
            self._finish(None)

    def stopProducing(self) -> None:
        """End with an error, since the connection is over."""
        self._finish(Disconnected("the client went away"))

    def _fill(self) -> bool:
        """Read what is to be sent next.

        :returns: whether it is here; otherwise sending goes on when it is.
        """
        count = min(_BUFFER_BYTES, self._size - self._offset)
        if count < _BUFFER_BYTES:
            self._buffer, self._places = frame(count)
        if _read_now(self._fd, self._places, self._offset, count):
            self._filled(count)
            return True
        self._is_reading = True
        self._reading = Deferred.fromCoroutine(self._fill_from_disk(count))
        return False

    async def _fill_from_disk(self, count: int) -> None:
        try:
            await self._blocking.run(_read, self._fd, self._places, self._offset, count)
        except Exception as error:
            self._finish(error)
            return
        finally:
            self._is_reading = False
        self._filled(count)
        if not self._done.called:
            self._transport.startWriting()

    def _filled(self, count: int) -> None:
        self._offset += count
        if self._offset == self._size:
            # Before it is sent: whoever has all of it finds it counted.
            self._download.sent(self._size, self._size)
        self._rest = memoryview(self._buffer)

    def _finish(self, error: BaseException | None) -> None:
        if self._done.called:
            return
        if error is None:
            self._done.callback(None)
        else:
            self._done.errback(error)


def _read_now(fd: int, places: list[memoryview], offset: int, count: int) -> bool:
    """Read part of a file if that need not wait for a disk; returns whether it was."""
    try:
        return os.preadv(fd, places, offset, os.RWF_NOWAIT) == count
    except OSError:
        return False


def _read(fd: int, places: list[memoryview], offset: int, count: int) -> None:
    """Read part of a file.  Blocks.

    :raises OSError: if it is not all there.
    """
    os.posix_fadvise(fd, offset, 8 * count, os.POSIX_FADV_WILLNEED)
    if os.preadv(fd, places, offset) != count:
        raise OSError(errno.EIO, "the file became shorter while it was sent")


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
