"""One connection to a receiver: requests one after the other, and answers within limits.

Twisted's client takes several times as long for a request as everything else that an event
costs, and the receiver's answer matters little: its status, and how long to wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

#: How many bytes a receiver may answer to one request, headers included.
MAX_ANSWER: Final = 64 * 1024

#: For how many seconds an idle connection is kept.
_KEPT_SECONDS: Final = 10

#: The statuses from here on are of answers; those below are of interim ones.
_FINAL: Final = 200


class BadAnswer(Exception):
    """What a receiver has sent is no answer that can be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver has answered.

    :ivar retry_after: the value of that header; empty if there is none.
    """

    status: int
    retry_after: str = ""


class ReceiverConnection(Protocol):
    """A connection that is open.

    :param clock: closes it when it has been idle for some time.
    """

    transport: Any

    # What has come of an answer, and whether another may follow it.
    _received = 0
    _status = 0
    _retry_after = b""
    _framed = False
    _whole = False
    _keep = True

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._parser: Any = None
        self._asking: Deferred[Answer] | None = None
        self._idle: IDelayedCall | None = None
        self._open = True
        self._gone: Deferred[None] = Deferred()

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._open and self._asking is None

    def ask(self, request: bytes) -> Deferred[Answer]:
        """Send a whole request.

        :returns: the answer, when it is whole.  If it is longer than is read, its status
            counts all the same.  Cancelling it cuts the connection.
        :raises BadAnswer: if it is none.
        :raises Exception: another error of Twisted's, if the connection is lost.
        """
        self._stop_waiting()
        self._begin()
        asking: Deferred[Answer] = Deferred(self._cancel)
        self._asking = asking
        self.transport.write(request)
        return asking

    def close(self) -> Deferred[None]:
        """Cut the connection.

        :returns: fires when it is gone.
        """
        self._cut()
        return self._gone if not self._gone.called else succeed(None)

    # -- Twisted calls these

    def dataReceived(self, data: bytes) -> None:
        """Take a part of the answer."""
        if self._asking is None:
            self._cut()  # nobody has asked
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            # What follows a whole answer does not matter.
            self._keep = False
            if not self._whole:
                self._fail(BadAnswer())
                return
        if self._whole:
            self._answer()
        elif self._received > MAX_ANSWER:
            self._keep = False
            if self._status >= _FINAL:
                self._answer()
            else:
                self._fail(BadAnswer())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take the end, which may be that of the answer."""
        self._open = self._keep = False
        self._stop_waiting()
        if self._asking is not None:
            if (
                self._status >= _FINAL
                and not self._framed
                and reason.check(type(connectionDone.value))
            ):
                self._answer()
            else:
                asking, self._asking = self._asking, None
                asking.errback(reason)
        self._gone.callback(None)

    # -- the parser calls these

    def on_message_begin(self) -> None:
        """Notice what follows a whole answer."""
        if self._whole:
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = value
        elif name in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        """Take the status."""
        if not self._whole:
            self._status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        """Take the end of an answer, unless it is an interim one."""
        if self._status < _FINAL:
            self._retry_after, self._framed = b"", False
        elif not self._whole:
            self._whole = True
            self._keep = self._keep and self._parser.should_keep_alive()

    # -- inside

    def _begin(self) -> None:
        """Expect an answer."""
        self._parser = HttpResponseParser(self)
        self._received = self._status = 0
        self._retry_after = b""
        self._framed = self._whole = False
        self._keep = True

    def _answer(self) -> None:
        asking, self._asking = self._asking, None
        if self._keep:
            self._idle = self._clock.callLater(_KEPT_SECONDS, self._cut)
        else:
            self._cut()
        assert asking is not None
        asking.callback(Answer(self._status, self._retry_after.decode("latin-1")))

    def _fail(self, error: Exception) -> None:
        asking, self._asking = self._asking, None
        self._cut()
        assert asking is not None
        asking.errback(error)

    def _cancel(self, _: object) -> None:
        self._asking = None
        self._cut()

    def _stop_waiting(self) -> None:
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._idle = None

    def _cut(self) -> None:
        """Cut the connection: to lose it would wait for a receiver that does not read."""
        self._stop_waiting()
        if self._open:
            self._open = False
            self.transport.abortConnection()
