"""Bodies that are sent when the server wants them: ``Expect: 100-continue``.

See RFC 9110, section 10.1.1.  Twisted's client sends a body at once, and passes no answer on
before all of it is sent.  Clients of :func:`giftless.base.http_client.http_client` let a body that
is an :class:`IExpectedBody` wait, and pass on an answer that comes before its end.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

#: How long a server that says nothing is waited for, in seconds: it may know no better.
PATIENCE: Final = 1.0

#: The longest interim answer that is understood, in bytes.
_LONGEST: Final = 8192

#: What an interim answer begins with; 101 is none, because nobody has asked for it.
_INTERIM: Final = re.compile(rb"HTTP/1\.[0-9] (100|10[2-9]|1[1-9][0-9])[ \r]")

#: How long that is, in bytes.
_BEGINNING: Final = 13

_CONTINUE: Final = b"100"


class IExpectedBody(IBodyProducer):
    """A body that waits until the server wants it."""

    def go_on() -> None:
        """Begin to send it: the server wants it.  Harmless when repeated."""


@implementer(IExpectedBody)
class ExpectedBody:
    """A body that is sent when the server wants it, or has said nothing for a while.

    :param body: what is sent then.
    :param clock: waits.
    """

    def __init__(self, body: IBodyProducer, clock: IReactorTime) -> None:
        self.length: int = body.length
        self._body = body
        self._clock = clock
        self._produced: Deferred[None] = Deferred()
        self._consumer: IConsumer | None = None
        self._waiting: IDelayedCall | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Wait for the server."""
        self._consumer = consumer
        self._waiting = self._clock.callLater(PATIENCE, self._begin)
        return self._produced

    def go_on(self) -> None:
        """See :meth:`IExpectedBody.go_on`."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._begin()

    def _begin(self) -> None:
        self._waiting = None
        self._body.startProducing(self._consumer).chainDeferred(self._produced)

    def stopProducing(self) -> None:
        """Stop sending for good."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._body.stopProducing()

    def pauseProducing(self) -> None:
        """Stop sending until the connection wants more."""
        self._body.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on sending: the connection wants more."""
        self._body.resumeProducing()


class InterimAnswers:
    """Takes the interim answers (status 1xx) out of what a server sends in front of its answer.

    :ivar body: goes on when the server says so (status 100).
    """

    def __init__(self, body: IExpectedBody) -> None:
        self.body = body
        self._begun = b""
        self._over = False

    def take(self, data: bytes) -> bytes:
        """Take some of what the server sends; returns what belongs to its answer."""
        if self._over:
            return data
        data = self._begun + data
        while match := _INTERIM.match(data):
            _, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                break
            data = rest
            if match[1] == _CONTINUE:
                self.body.go_on()
        may_be_interim = match is not None or len(data) < _BEGINNING
        if may_be_interim and len(data) <= _LONGEST:
            self._begun = data
            return b""
        self._over = True
        self._begun = b""
        return data
