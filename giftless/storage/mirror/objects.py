"""Objects of the server that is mirrored, as its actions give them.

A request is sent when bytes are read: of several workers, one fetches an object.  The last
bytes of all of an object are passed on when its digest is right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from giftless.base.bodies import VerifiedBody, collect
from giftless.errors import LFSError, PayloadTooLarge, WrongBody
from giftless.interfaces import IBlocking, IBody, IVerifiedObject, WallClock
from giftless.lfs.objects import NO_EXTRAS, Extras, Oid
from giftless.lfs.replies import GivenAction
from giftless.storage.mirror.asking import RETRY_AFTER, Asker, Outgoing
from giftless.storage.mirror.errors import LONGEST, UpstreamLimit, UpstreamUnavailable
from giftless.storage.mirror.refusals import action_refusal, garbled
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.streaming import Download

#: How often a transfer goes on that breaks off without a byte in between.
_TRIES: Final = 4

#: The pause before that, in seconds; twice as long each time.
_PAUSE: Final = 0.5

#: A server that is waited for so long, in seconds, must have sent so many bytes for each.
_PATIENCE: Final = 60.0
_SLOWEST: Final = 1024

#: How much of an error is read, in bytes.
_MOST_WORDS: Final = 65536


@implementer(IVerifiedObject)
class UpstreamObject:
    """An open object: each part that is read is one request, or more if it breaks off.

    :param oid: the SHA-256 that its bytes must have, in hexadecimal.
    :param asker: sends them.
    :param action: the server's ``download`` action.
    :param size: the object's, in bytes.
    :param blocking: computes digests.
    :param clock: waits.
    :param wall_clock: tells when a server can be asked again.
    """

    def __init__(
        self,
        oid: Oid,
        asker: Asker,
        action: GivenAction,
        size: int,
        blocking: IBlocking,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self.size = size
        self.extras: Extras = NO_EXTRAS
        self._oid = oid
        self._blocking = blocking
        self._asker = asker
        self._action = action
        self._clock = clock
        self._wall_clock = wall_clock
        self._bodies: list[UpstreamBody] = []

    def read(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.IStoredObject.read`."""
        body = self.read_unverified(start, end)
        if (start, end) != (0, self.size):
            return body
        checked = VerifiedBody(body, self._oid, self.size, self.size, self._blocking)
        return _HeldBack(checked, self._asker.name)

    def read_unverified(self, start: int, end: int) -> IBody:
        """See :meth:`giftless.interfaces.caching.IVerifiedObject.read_unverified`."""
        body = UpstreamBody(
            self._asker, self._action, self.size, start, end, self._clock, self._wall_clock
        )
        self._bodies.append(body)
        return body

    def close(self) -> None:
        """See :meth:`giftless.interfaces.IStoredObject.close`: cut what still runs."""
        for body in self._bodies:
            body.close()


@implementer(IBody)
class _HeldBack:
    """Passes the last bytes of a body on when it has ended well.

    :param body: raises before its end if its bytes are wrong.
    :param name: what the server is called that sends them.
    """

    def __init__(self, body: IBody, name: str) -> None:
        self._body = body
        self._name = name
        self._held: Sequence[bytes] = ()

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises UpstreamUnusable: if they are wrong.
        """
        try:
            chunks = await self._body.read()
            if chunks and not self._held:
                self._held, chunks = chunks, await self._body.read()
        except WrongBody:
            raise garbled(self._name, "it sends bytes that the object's name denies") from None
        held, self._held = self._held, chunks
        return held


@implementer(IBody)
class UpstreamBody:
    """Some bytes of an object, asked for when they are first read.

    A transfer that breaks off goes on where it stopped.  What a server sends is counted:
    neither more nor fewer bytes are passed on.

    :param size: the object's, in bytes.
    """

    def __init__(
        self,
        asker: Asker,
        action: GivenAction,
        size: int,
        start: int,
        end: int,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._asker = asker
        self._action = action
        self._size = size
        self._at = start
        self._end = end
        self._clock = clock
        self._wall_clock = wall_clock
        self._download: Download | None = None
        #: How many bytes come that are not wanted, before those that are.
        self._skipped = 0
        #: Whether the answer has more bytes than are wanted.
        self._surplus = False
        self._failures = 0
        self._closed = False
        self._waited = 0.0
        self._received = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises LFSError: if the bytes cannot be had.
        """
        while self._at < self._end:
            try:
                chunks = await self._next()
            except (StoreError, UpstreamUnavailable) as error:
                self._cut()
                self._failures += 1
                if self._download is None or self._closed or self._failures >= _TRIES:
                    raise self._unavailable(error) from None
                await self._go_on()
                continue
            wanted = self._wanted(chunks)
            if wanted:
                self._failures = 0
                return wanted
        await self._finish()
        return []

    def close(self) -> None:
        """Cut the connection, if the body has not ended.  Harmless when repeated."""
        self._closed = True
        self._cut()

    async def _finish(self) -> None:
        """Let the answer end, for the next request to use its connection; cut it if it goes on."""
        if self._download is not None and not self._surplus:
            with contextlib.suppress(StoreError):
                await self._download.read()
        self._cut()

    def _cut(self) -> None:
        if self._download is not None:
            self._download.close()

    async def _go_on(self) -> None:
        """Ask for the rest, after a pause; again if need be."""
        wanted = 0
        while True:
            await deferLater(self._clock, max(wanted, _PAUSE * 2 ** (self._failures - 1)))
            try:
                self._download = await self._begin()
                return
            except (UpstreamUnavailable, UpstreamLimit) as error:
                wanted = min(error.retry_after, LONGEST) if isinstance(error, UpstreamLimit) else 0
                self._failures += 1
                if self._closed or self._failures >= _TRIES:
                    raise

    async def _next(self) -> Sequence[bytes]:
        if self._download is None:
            self._download = await self._begin()
        since = self._clock.seconds()
        chunks = await self._download.read()
        self._waited += self._clock.seconds() - since
        self._received += sum(map(len, chunks))
        if self._waited > _PATIENCE and self._received < self._waited * _SLOWEST:
            self._failures = _TRIES
            raise StoreError("it sends too slowly")
        if not chunks:
            raise StoreError("it ended an object early")
        return chunks

    def _wanted(self, chunks: Sequence[bytes]) -> Sequence[bytes]:
        """Leave out what was not asked for.

        :raises UpstreamUnusable: if there are more bytes than the object has.
        """
        found = []
        for chunk in chunks:
            skipped = min(self._skipped, len(chunk))
            self._skipped -= skipped
            piece = chunk[skipped : skipped + self._end - self._at]
            if len(piece) < len(chunk) - skipped and not self._surplus:
                self._cut()
                raise garbled(self._asker.name, "it sends more bytes than the object has")
            if piece:
                self._at += len(piece)
                found.append(piece)
        return found

    async def _begin(self) -> Download:
        whole = self._at == 0 and self._end == self._size
        headers = {} if whole else {"Range": f"bytes={self._at}-{self._end - 1}"}
        answer, body = await self._asker.fetch(
            Outgoing("GET", self._action.href.partition("#")[0], headers, self._action.header)
        )
        try:
            if answer.status not in (200, 206):
                try:
                    words = await collect(body, _MOST_WORDS)
                except (StoreError, PayloadTooLarge):
                    words = b""
                answer = replace(answer, body=words)
                raise action_refusal(self._asker.name, answer, self._wall_clock())
            expected = self._coming(answer.status, answer.headers.get("content-range", ""))
            if answer.headers.get("content-length", str(expected)) != str(expected):
                raise garbled(self._asker.name, "it sends an object of another size")
        except BaseException:
            body.close()
            raise
        self._skipped = self._at if answer.status == 200 else 0
        self._surplus = self._skipped + self._end - self._at < expected
        return body

    def _coming(self, status: int, said: str) -> int:
        """Return how many bytes an answer has.

        :param said: the ``Content-Range`` header.
        :raises UpstreamUnusable: if they are neither those that were asked for, nor all from
            the first of them, nor the whole object.
        """
        if status == 200:
            return self._size
        # lfs-test-server sends all from there, and takes their number for the object's size.
        totals = (str(self._size), "*", str(self._size - self._at))
        for end in (self._end, self._size):
            if said in [f"bytes {self._at}-{end - 1}/{total}" for total in totals]:
                return end - self._at
        raise garbled(self._asker.name, "it sends other bytes than were asked for")

    def _unavailable(self, error: StoreError | UpstreamUnavailable) -> LFSError:
        if isinstance(error, UpstreamUnavailable):
            return error
        problem = error.problem.replace("the store", "it")
        return UpstreamUnavailable(f"{self._asker.name} breaks off: {problem}", RETRY_AFTER)
