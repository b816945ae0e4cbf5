"""Import many objects: find out which are missing, and take them in, several at a time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Literal, Protocol

import msgspec
from zope.interface import implementer

from giftless.base.concurrency import settle
from giftless.base.pace import Pace
from giftless.errors import InsufficientStorage, LFSError, WrongBody
from giftless.importing.offers import NotThere, Offer, Unreadable
from giftless.interfaces import IBlocking, IBody
from giftless.lfs.objects import ObjectKey
from giftless.usecases.intake import Intake

#: After how many failures of the store in succession the import ends.
_GIVE_UP: Final = 10

#: What has become of an object: ``wanted`` if nothing is stored this time, ``wrong`` if its
#: bytes are not those of its oid, ``missing`` if it is not where it should be, ``failed`` if
#: the store has not taken it.
Result = Literal["stored", "present", "wanted", "wrong", "missing", "unreadable", "failed"]

#: The results that leave something undone.
PROBLEMS: Final[frozenset[Result]] = frozenset({"wrong", "missing", "unreadable", "failed"})


class Outcome(msgspec.Struct, frozen=True):
    """What has become of an object.

    :ivar place: where it was to be read.
    :ivar problem: why it is not stored, in words; empty if it is.
    """

    repo: str
    oid: str
    result: Result
    place: str = ""
    problem: str = ""


class Totals(msgspec.Struct):
    """What has become of all objects.

    :ivar objects: how many had each result.
    :ivar size: how many bytes those have that were stored.
    """

    objects: Counter[str] = msgspec.field(default_factory=Counter)
    size: int = 0

    @property
    def problems(self) -> int:
        """How many objects are not here that should be."""
        return sum(self.objects[result] for result in PROBLEMS)


class IOpened(Protocol):
    """An object that is being read.

    :ivar hint: why its bytes may be wrong, in words; empty if nothing is known.
    """

    hint: str

    def read(self) -> Awaitable[Sequence[bytes]]:
        """See :meth:`giftless.interfaces.IBody.read`."""

    def close(self) -> None:
        """Free what it holds."""


#: Opens an object that is offered.
Opener = Callable[[Offer], Awaitable[IOpened]]


class Importing:
    """Takes in what is offered and not here.

    :param intake: writes.
    :param opener: opens what is offered; raises
        :class:`~giftless.importing.offers.Unreadable`.
    :param pace: holds up reading.
    :param blocking: where offers are made.
    :param jobs: how many objects are taken in at once; at least 1.
    :param told: is told what has become of each object.
    :param done: is told of bytes that need not be read any more.
    :param really: whether anything is stored.
    """

    def __init__(
        self,
        intake: Intake,
        opener: Opener,
        pace: Pace,
        blocking: IBlocking,
        jobs: int,
        told: Callable[[Outcome], None],
        done: Callable[[int], None],
        really: bool = True,
    ) -> None:
        self._intake = intake
        self._open = opener
        self._pace = pace
        self._blocking = blocking
        self._jobs = jobs
        self._told = told
        self._done = done
        self._really = really
        self._failures = 0
        self._totals = Totals()

    async def run(self, pages: Iterator[Sequence[Offer]]) -> Totals:
        """Take in all that is missing.

        :param pages: up to 1000 offers each, all of one repository; made in a thread.
        :raises LFSError: if the store has no room, or fails again and again.  What was taken
            in before stays, and need not be taken in again.
        """
        while (page := await self._blocking.run(next, pages, None)) is not None:
            await self._take_page(page)
        return self._totals

    async def _take_page(self, page: Sequence[Offer]) -> None:
        repo = await self._intake.kept(page[0].key.repo)
        offers = {ObjectKey(repo, offer.key.oid): offer for offer in page}
        sizes = [offer.size for offer in offers.values()]
        missing = frozenset(await self._intake.missing(list(offers), sizes))
        waiting: deque[tuple[ObjectKey, Offer]] = deque()
        for key, offer in offers.items():
            if key in missing and self._really:
                waiting.append((key, offer))
            else:
                self._tell(offer, "wanted" if key in missing else "present", offer.size or 0)

        async def work() -> None:
            try:
                while waiting:
                    await self._take(*waiting.popleft())
            except BaseException:
                # The others end, too.
                waiting.clear()
                raise

        await settle(work() for _ in range(min(self._jobs, len(waiting))))

    async def _take(self, key: ObjectKey, offer: Offer) -> None:
        read, hint = 0, ""
        try:
            opened = await self._open(offer)
            body = _Watched(opened, self._pace, self._done)
            try:
                await self._intake.take(key, offer.size, body, offer.filename or None, replace=True)
            finally:
                read, hint = body.read_bytes, opened.hint
                opened.close()
        except NotThere as error:
            self._tell(offer, "missing", 0, str(error))
        except Unreadable as error:
            self._tell(offer, "unreadable", (offer.size or read) - read, str(error))
        except WrongBody as error:
            words = f"{error.message} ({hint})" if hint else error.message
            self._tell(offer, "wrong", max(0, (offer.size or read) - read), words)
        except InsufficientStorage:
            raise
        except LFSError as error:
            self._tell(offer, "failed", max(0, (offer.size or read) - read), error.message)
            self._failures += 1
            if self._failures >= _GIVE_UP:
                raise
        else:
            self._failures = 0
            self._totals.size += read
            self._tell(offer, "stored", 0)

    def _tell(self, offer: Offer, result: Result, left: int, problem: str = "") -> None:
        """Count an object that is done with.

        :param left: how many of its bytes were not read.
        """
        self._totals.objects[result] += 1
        if result == "wanted":
            self._totals.size += offer.size or 0
        self._done(left)
        key = offer.key
        self._told(Outcome(key.repo.path, str(key.oid), result, offer.place, problem))


@implementer(IBody)
class _Watched:
    """A body that keeps pace, and tells how far it has come.

    :ivar read_bytes: how many bytes were read.
    """

    def __init__(self, body: IOpened, pace: Pace, done: Callable[[int], None]) -> None:
        self._body = body
        self._pace = pace
        self._done = done
        self.read_bytes = 0

    async def read(self) -> Sequence[bytes]:
        """See :meth:`giftless.interfaces.IBody.read`."""
        chunks = await self._body.read()
        count = sum(map(len, chunks))
        self.read_bytes += count
        if count:
            await self._pace.take(count)
            self._done(count)
        return chunks
