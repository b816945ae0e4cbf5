"""What a transport asks for bytes when it has room (:mod:`twisted.internet.interfaces`)."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from giftless.base.page_cache import WARM_BYTES, in_memory, read_into_memory
from giftless.errors import Disconnected
from giftless.interfaces import IBlocking


@implementer(IPushProducer)
class Readiness:
    """Tells when a transport wants more, for a sender that awaits it."""

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
        """Let the sender wait."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Let the sender go on."""
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        """Let the sender end with an error, since the connection is over."""
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)


@implementer(IPullProducer)
class FileProducer(ABC):
    """Sends part of a file whenever the socket has room, by calls that do not block.

    Who inherits sends in :meth:`resumeProducing` what is in memory, and ends with
    :meth:`finish`.

    :param transport: the connection's.
    :param fd: the file.
    :param begin: where to begin in it, in bytes.
    :param end: where to end in it.
    :param blocking: reads from the disk what is not in memory.
    :ivar offset: up to where the file was sent.
    :ivar warm: up to where it is in memory.
    """

    def __init__(self, transport: Any, fd: int, begin: int, end: int, blocking: IBlocking) -> None:
        self.transport = transport
        self.fd = fd
        self.offset = self.warm = begin
        self.end = end
        self._blocking = blocking
        self._warming: Deferred[None] | None = None
        self.done: Deferred[None] = Deferred()

    @abstractmethod
    def resumeProducing(self) -> None:
        """Send what the socket has room for."""

    def stopProducing(self) -> None:
        """End with an error, since the connection is over."""
        self.finish(Disconnected("the client went away"))

    def warm_up(self) -> bool:
        """Make sure that the next part of the file is in memory.

        :returns: whether it is; otherwise sending goes on when it is.
        """
        begin, finish = self.offset, min(self.end, self.offset + WARM_BYTES)
        self.warm = finish
        if in_memory(self.fd, begin, finish):
            return True
        reading = self._blocking.run(read_into_memory, self.fd, begin, finish)
        self._warming = Deferred.fromCoroutine(self._warmed_up(reading))
        return False

    async def _warmed_up(self, reading: Awaitable[None]) -> None:
        try:
            await reading
        except Exception as error:
            self.finish(error)
        else:
            if not self.done.called:
                self.transport.startWriting()

    async def let_go(self) -> None:
        """Wait until no thread reads the file any more, so that it can be closed."""
        if self._warming is not None:
            await self._warming

    def fail(self, error: OSError) -> None:
        """End because the file could not be sent."""
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            # The transport notices by itself.
            self.transport.startWriting()
            self.finish(Disconnected("the client went away"))
        else:
            self.finish(error)

    def finish(self, error: BaseException | None = None) -> None:
        """End, if it has not ended.

        :param error: why not everything was sent; ``None`` if all was.
        """
        if self.done.called:
            return
        if error is None:
            self.done.callback(None)
        else:
            self.done.errback(error)
