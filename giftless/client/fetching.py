"""Open the objects that a server offers, for an import: in order, and again where it breaks off.

Objects are asked for by the hundred; an action that has expired meanwhile is asked for anew.
A transfer that breaks off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from giftless.client.asking import said
from giftless.client.errors import ServerError
from giftless.client.server import BATCH, LFSServerClient
from giftless.importing.offers import NoSource, NotThere, Offer, Unreadable
from giftless.interfaces import IBody
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.streaming import Download

#: How often a transfer may break off without a byte in between.
_TRIES: Final = 4

#: The pause before it goes on, in seconds; twice as long each time.
_PAUSE: Final = 1.0

#: After how many objects in succession that the server does not give the import ends.
_GIVE_UP: Final = 10

#: The statuses that another action may mend: its token has expired.
_STALE: Final = frozenset({401, 403, 404, 410})

#: The statuses of what is not there.
_GONE: Final = frozenset({404, 410})


class Remote:
    """The objects of a server's repository.

    :param server: speaks to it.
    :param clock: waits.
    """

    def __init__(self, server: LFSServerClient, clock: IReactorTime) -> None:
        self._server = server
        self._clock = clock
        self._page: Sequence[Offer] = ()
        #: Where each object stands in the page.
        self._places: dict[str, int] = {}
        self._answers: dict[str, Answered] = {}
        #: Held while objects are asked for.
        self._asking = DeferredLock()
        self._failures = 0

    def pages(self, pages: Iterator[Sequence[Offer]]) -> Iterator[Sequence[Offer]]:
        """Pass pages of offers on, and remember what comes after which object."""
        for page in pages:
            self._page = page
            self._places = {str(offer.key.oid): place for place, offer in enumerate(page)}
            self._answers = {}
            yield page

    async def open(self, offer: Offer) -> RemoteBody:
        """Open an object; whoever does closes it.

        :raises NotThere: if the server does not have it.
        :raises Unreadable: if it does not give it.
        :raises NoSource: if the server cannot be asked, or gives nothing any more.
        """
        answered = await self._answer(offer)
        if answered.code:
            problem = answered.message
            if offer.size is None and answered.code not in _GONE:
                problem += "; it may want to know the size: give it behind the oid in the list"
            raise (NotThere if answered.code in _GONE else Unreadable)(problem)
        if "download" not in answered.actions:
            raise NotThere("the server names no way to download it")
        body = RemoteBody(self._server, self, offer, answered, self._clock)
        try:
            await body.begin()
        except ServerError as error:
            self._failures += 1
            if self._failures >= _GIVE_UP:
                raise NoSource(f"{error.problem}; it gives nothing any more") from None
            kind = NotThere if error.status in _GONE else Unreadable
            raise kind(error.problem) from None
        self._failures = 0
        return body

    async def ask_anew(self, offer: Offer) -> Answered:
        """Ask again what to do with an object."""
        self._answers.pop(offer.key.oid, None)
        return await self._answer(offer)

    def is_fresh(self, answered: Answered) -> bool:
        """Whether an answer can still be used."""
        action = answered.actions.get("download")
        return action is None or self._server.is_fresh(action)

    async def _answer(self, offer: Offer) -> Answered:
        """Return what the server says of an object: from the last batch, or from a new one."""
        await self._asking.acquire()
        try:
            found = self._answers.pop(offer.key.oid, None)
            if found is None or not self.is_fresh(found):
                start = self._places.get(offer.key.oid, 0)
                some = [offer, *self._page[start + 1 : start + BATCH]]
                wanted = {str(each.key.oid): each.size or 0 for each in some}
                reply = await self._server.batch(Operation.DOWNLOAD, wanted)
                self._answers |= {each.oid: each for each in reply.objects}
                found = self._answers.pop(str(offer.key.oid))
            return found
        except ServerError as error:
            raise NoSource(error.problem) from None
        finally:
            self._asking.release()


@implementer(IBody)
class RemoteBody:
    """The bytes of an object, as the server sends them.

    :ivar hint: why they may be wrong, in words; empty if nothing is known.
    """

    hint = ""

    def __init__(
        self,
        server: LFSServerClient,
        remote: Remote,
        offer: Offer,
        answered: Answered,
        clock: IReactorTime,
    ) -> None:
        self._server = server
        self._remote = remote
        self._offer = offer
        self._answered = answered
        self._clock = clock
        self._body: Download | None = None
        self._taken = 0
        #: How many bytes come again that were taken before.
        self._skipped = 0
        self._limit = offer.size
        self._failures = 0

    async def begin(self) -> None:
        """Send the request, or the one for the rest of the bytes.

        :raises ServerError: if the server does not give them.
        """
        if not self._remote.is_fresh(self._answered):
            await self._renew()
        try:
            await self._request()
        except ServerError as error:
            if error.status not in _STALE:
                raise
            await self._renew()
            await self._request()

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`.

        :raises Unreadable: if they break off for good, or do not end.
        """
        while True:
            assert self._body is not None, "it has begun"
            try:
                chunks = self._wanted(await self._body.read())
            except StoreError as error:
                await self._go_on(said(error.problem))
                continue
            if chunks is not None:
                return chunks

    def close(self) -> None:
        """Cut the connection, if the body has not ended.  Harmless when repeated."""
        if self._body is not None:
            self._body.close()

    async def _request(self) -> None:
        headers = {"Range": f"bytes={self._taken}-"} if self._taken else {}
        answer, self._body = await self._server.download(self._answered, headers)
        partial = answer.status == 206
        if partial and not answer.headers.get("content-range", "").startswith(
            f"bytes {self._taken}-"
        ):
            self._body.close()
            raise ServerError("the server sends other bytes than were asked for", answer.status)
        self._skipped = 0 if partial else self._taken
        if self._limit is None:
            length = answer.headers.get("content-length", "")
            if not (length.isascii() and length.isdecimal() and len(length) < 20):
                self._body.close()
                raise ServerError("the server does not say how long the object is")
            self._limit = int(length)

    def _wanted(self, chunks: Sequence[bytes]) -> Sequence[bytes] | None:
        """Leave out what was taken before; ``None`` if nothing is left.

        :raises Unreadable: if there are more bytes than the object has.
        """
        if not chunks:
            return chunks
        left = []
        for chunk in chunks:
            again = min(self._skipped, len(chunk))
            self._skipped -= again
            if again < len(chunk):
                left.append(chunk[again:])
        count = sum(map(len, left))
        self._taken += count
        if count:
            self._failures = 0
        if self._limit is not None and self._taken > self._limit:
            self.close()
            raise Unreadable(f"the server sends more than the {self._limit:,} bytes of the object")
        return left or None

    async def _go_on(self, problem: str) -> None:
        """Go on behind a failure.

        :raises Unreadable: if there were too many.
        """
        while True:
            self.close()
            self._failures += 1
            if self._failures >= _TRIES:
                raise Unreadable(problem)
            await deferLater(self._clock, _PAUSE * 2 ** (self._failures - 1))
            try:
                await self.begin()
                return
            except ServerError as error:
                problem = error.problem

    async def _renew(self) -> None:
        found = await self._remote.ask_anew(self._offer)
        if "download" not in found.actions:
            raise ServerError(found.message or "the server gives it no longer", found.code)
        self._answered = found
