"""Pass bytes between a client and a store, both ways, in constant memory.

The slower side sets the pace: a client that reads slowly pauses the store's
connection, a store that takes slowly leaves a client's bytes unread.  A side that
stops altogether is cut off.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from giftless.base.bodies import ArrivingBody
from giftless.base.expecting import ExpectedBody
from giftless.base.http_client import Answer, BodyCollector, abort, plain_headers, read_at_once
from giftless.base.watchdog import Watchdog
from giftless.interfaces import IBody
from giftless.storage.remote.client import (
    FAILURES,
    MAX_ANSWER,
    Request,
    StoreClient,
    StoreError,
    describe_failure,
)

#: How many bytes of a download wait for their reader before the store is paused, and are read
#: from the socket at once.  Each turn of the reactor costs something, and takes long when many
#: clients are served: so one has what :data:`WAITING` leaves for each that runs, within bounds.
LEAST_WAITING: Final = 256 * 1024
MOST_WAITING: Final = 1024 * 1024
WAITING: Final = 8 * 1024 * 1024

#: How many bytes of an upload are given to the connection at once.
WRITE_SIZE: Final = 256 * 1024


# --- from the store -----------------------------------------------------------


async def download(client: StoreClient, request: Request) -> tuple[Answer, Download]:
    """Begin a download.

    :param client: sends it, once.
    :returns: the answer without its body, and the body; close it.
    :raises StoreError: if there is no answer.
    """
    asked = client.http.request(
        request.method,
        request.url,
        headers=_headers({"accept-encoding": "identity", **request.headers}),
        allow_redirects=False,
        unbuffered=True,
    )
    asked.addTimeout(client.stall_timeout, client.clock)
    try:
        response: IResponse = await asked
    except FAILURES as error:
        raise StoreError(describe_failure(error)) from error
    # Twisted takes the header away; it is a word if the length is not known.
    length = response.length if isinstance(response.length, int) else None
    body = Download(client, length)
    response.deliverBody(body)
    headers = plain_headers(response.headers)
    if length is not None:
        headers["content-length"] = str(length)
    return Answer(response.code, headers, b"", False), body


@implementer(IBody)
class Download(ArrivingBody, Protocol):
    """The body of a store's answer, as it arrives.

    :param client: has asked for it; at least one byte must come in its ``stall_timeout``
        while somebody waits for it.
    :param length: how many bytes there are in all; ``None`` if that is not known.
    """

    def __init__(self, client: StoreClient, length: int | None) -> None:
        super().__init__()
        self._client = client
        client.downloads += 1
        self._share = max(LEAST_WAITING, min(MOST_WAITING, WAITING // client.downloads))
        self._length = length
        self._ended = False
        self._watch = Watchdog(client.clock, client.stall_timeout, self._stalled)

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises StoreError: if the body does not end well.
        """
        if not self._waiting and not self._ended:
            self._hold(False)
            self._watch.start()
            try:
                await self._arrival()
            finally:
                self._watch.stop()
        if self._waiting:
            return self._take()
        if self._failure is not None:
            raise self._failure
        return []

    def close(self) -> None:
        """Cut the connection, if the body has not ended.  Harmless when repeated."""
        if self._ended:
            return
        self._end(StoreError("the download was closed"))
        # Whoever has the last byte closes before Twisted sees that it was the last one, and
        # keeps the connection for the next request.
        if not self.received or self.received != self._length:
            abort(self.transport)

    def _stalled(self) -> None:
        self._end(StoreError("the store stopped in the middle of an object"))
        abort(self.transport)

    def connectionMade(self) -> None:
        """Begin to take bytes."""
        read_at_once(self.transport, self._share)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the connection."""
        if self._ended:
            return
        self._add(data)
        if self._waiting >= self._share:
            self._hold(True)
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take the end of the body, whether it is whole or not."""
        # A body without a length that just stops is not known to be whole.
        self._end(
            None if reason.check(ResponseDone) else StoreError(describe_failure(reason.value))
        )

    def _end(self, failure: Exception | None) -> None:
        if not self._ended:
            self._ended = True
            self._client.downloads -= 1
            self._failure = failure
            self._wake()

    def _hold(self, hold: bool) -> None:
        """Hold the store up, or let it go on."""
        if hold != self.paused and self.transport is not None:
            self.paused = hold
            producer: Any = self.transport
            if hold:
                producer.pauseProducing()
            else:
                producer.resumeProducing()


@implementer(IBody)
class Exactly:
    """A body that must have a certain length.

    :param body: the bytes.
    :param length: how many there must be.
    """

    def __init__(self, body: IBody, length: int) -> None:
        self._body = body
        self._left = length

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises OSError: if there are more or fewer.
        """
        chunks = await self._body.read()
        self._left -= sum(map(len, chunks))
        if self._left < 0 or (not chunks and self._left):
            raise OSError(errno.EIO, "the object's length changed while it was read")
        return chunks


# --- to the store -------------------------------------------------------------


async def upload(client: StoreClient, request: Request, size: int, body: IBody) -> Answer:
    """Send a body to the store.

    The last bytes are sent only after the body has ended well, so that what
    is not what its oid says is never complete: the connection is cut instead.

    :param client: sends it, once.
    :param request: with ``Expect: 100-continue``, the body begins when the store wants it
        (:mod:`giftless.base.expecting`).
    :param size: the length of the body in bytes; at least 1.
    :returns: the store's answer; of a body that is expected, it may come at any time.
    :raises LFSError: what reading the body raised.
    :raises giftless.errors.Disconnected: likewise.
    :raises StoreError: if there is no answer.
    """
    # A client that sends nothing costs no connection.
    first = await body.read()
    watch = Watchdog(client.clock, client.stall_timeout, lambda: sending.cancel())
    source = _Source(body, first, size, watch)
    expects = "expect" in {name.lower() for name in request.headers}
    producer = ExpectedBody(source, client.clock) if expects else source
    watch.start()
    sending = Deferred.fromCoroutine(_send(client.http, request, producer))
    try:
        return await sending
    except (CancelledError, *FAILURES) as error:
        if source.failure is not None:
            raise source.failure from None
        if watch.expired:
            raise StoreError("the store stopped taking an object") from None
        if isinstance(error, CancelledError):
            raise
        raise StoreError(describe_failure(error)) from error
    finally:
        producer.stopProducing()
        watch.stop()


async def _send(http: HTTPClient, request: Request, source: IBodyProducer) -> Answer:
    response: IResponse = await http.request(
        request.method,
        request.url,
        headers=_headers({"accept-encoding": "identity", **request.headers}),
        data=source,
        allow_redirects=False,
        unbuffered=True,
    )
    # An error's description at most; the store has taken the bytes, or has not,
    # even if the description breaks off.
    body = BodyCollector(MAX_ANSWER, needs_end=False)
    response.deliverBody(body)
    data = await body.finished
    return Answer(response.code, plain_headers(response.headers), data[:MAX_ANSWER], True)


def _headers(headers: Any) -> Headers:
    return Headers({name: [value] for name, value in headers.items()})


@implementer(IBodyProducer)
class _Source:
    """Pulls a body from a client and pushes it to a store's connection.

    The watch runs while the store is waited for, not while the client is: for
    slow clients the front has limits of its own.

    :param body: the bytes.
    :param first: those that have been read already.
    :param length: how many there are in all.
    :param watch: has been started, for the connection.
    :ivar failure: what reading the body raised.
    """

    def __init__(self, body: IBody, first: Sequence[bytes], length: int, watch: Watchdog) -> None:
        self.length = length
        self._watch = watch
        self.failure: Exception | None = None
        self._body = body
        self._next = first
        self._consumer: IConsumer | None = None
        self._pumping: Deferred[None] | None = None
        self._resumed: Deferred[None] | None = None
        self._paused = False
        self._stopped = False

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Send the body over a connection that is ready."""
        self._consumer = consumer
        self._watch.stop()
        self._pumping = Deferred.fromCoroutine(self._pump(consumer))
        # Once production is stopped, what is returned must not fire any more.
        produced: Deferred[None] = Deferred()
        self._pumping.addCallbacks(produced.callback, self._failed, errbackArgs=(produced,))
        return produced

    def _failed(self, failure: Failure, produced: Deferred[None]) -> None:
        if not self._stopped:
            produced.errback(failure)

    def stopProducing(self) -> None:
        """Stop sending for good."""
        if self._stopped:
            return
        self._stopped = True
        # What is waited for now is the answer, if there is one.
        self._watch.start()
        if self._pumping is not None:
            self._pumping.cancel()

    def pauseProducing(self) -> None:
        """Stop sending until the connection wants more."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on sending: the connection wants more."""
        self._paused = False
        if self._resumed is not None and not self._resumed.called:
            self._resumed.callback(None)

    async def _pump(self, consumer: IConsumer) -> None:
        held = b""
        try:
            while self._next:
                chunks, self._next = [chunk for chunk in self._next if chunk], ()
                if chunks:
                    await self._write(consumer, [held, *chunks[:-1]])
                    held = chunks[-1]
                self._next = await self._body.read()
        except CancelledError:
            raise
        except Exception as error:
            self.failure = error
            raise
        await self._write(consumer, [held])
        # What is waited for now is the answer.
        self._watch.start()

    async def _write(self, consumer: IConsumer, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            for start in range(0, len(chunk), WRITE_SIZE):
                await self._ready()
                consumer.write(chunk[start : start + WRITE_SIZE])

    async def _ready(self) -> None:
        if self._paused:
            self._watch.start()
            self._resumed = Deferred()
            await self._resumed
            self._watch.stop()
