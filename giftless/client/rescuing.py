"""Push back what a server lacks and clones have.

What is pushed is what the refs of any of the clones lead to.  Each file is compared with its
oid before a byte of it is sent, and again while it is sent; afterwards the server is asked
whether it has the object.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from giftless.base.bodies import VerifiedBody
from giftless.base.concurrency import settle
from giftless.base.pace import Pace
from giftless.client.clone import Clone
from giftless.client.errors import ServerError
from giftless.client.files import FileBody, Unreadable, matches
from giftless.client.server import BATCH, LFSServerClient
from giftless.errors import WrongBody
from giftless.interfaces import IBlocking
from giftless.lfs.objects import Oid, Operation
from giftless.lfs.replies import Answered
from giftless.references.git import Git

_Item = TypeVar("_Item")

#: After how many failed uploads in succession the rescue ends.
_GIVE_UP: Final = 10

#: The statuses of an upload that another action may mend: its token has expired.
_STALE: Final = frozenset({401, 403, 404, 410})

#: What has become of an object: ``wanted`` if nothing is sent this time, ``lost`` if no clone
#: has it, ``refused`` by the server, ``failed`` on its way.  ``rotten`` is no object but one
#: copy of it, whose bytes are wrong.
Result = Literal["sent", "wanted", "lost", "refused", "failed", "rotten"]

#: The results that leave something undone.
PROBLEMS: Final[frozenset[Result]] = frozenset({"lost", "refused", "failed"})


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has become of an object that the server lacks.

    :ivar server: the server's URL.
    :ivar size: in bytes; ``None`` if nobody knows.
    :ivar path: the file that it was read from, or that is rotten.
    :ivar problem: what is wrong, in words.
    """

    server: str
    oid: str
    result: Result
    size: int | None = None
    path: str = ""
    problem: str = ""


class Totals(msgspec.Struct):
    """What has become of everything.

    :ivar present: how many objects the server has.
    :ivar objects: how many of the others had each result.
    :ivar size: how many bytes were sent, or would be.
    """

    present: int = 0
    objects: Counter[str] = msgspec.field(default_factory=Counter)
    size: int = 0

    @property
    def problems(self) -> int:
        """How many objects the server still lacks."""
        return sum(self.objects[result] for result in PROBLEMS)


@dataclass(slots=True)
class Holdings:
    """What the clones of one repository need and have; looked up in a thread.

    :ivar needed: sizes in bytes by oid; ``None`` where nobody knows.
    """

    clones: Sequence[Clone]
    needed: dict[Oid, int | None] = field(default_factory=dict)
    _storages: list[list[Path]] = field(default_factory=list)

    def gather(self, git: Git, everything: bool) -> None:
        """Find what the clones need.

        :param everything: whether what no ref leads to counts as well.
        :raises ServerError: if a clone cannot be read.
        """
        for clone in self.clones:
            self._storages.append(clone.storages())
            for pointer in clone.needed(git):
                if self.needed.get(pointer.oid) is None:
                    self.needed[pointer.oid] = pointer.size
            if everything:
                for oid in clone.stored():
                    self.needed.setdefault(oid, None)
        for oid, size in list(self.needed.items()):
            if size is None:
                self.needed[oid] = self._file_size(oid)

    def copies(self, oid: Oid) -> list[Path]:
        """Return the files that may hold an object, one of each clone at most."""
        found = [
            path
            for clone, storages in zip(self.clones, self._storages, strict=True)
            if (path := clone.object_path(oid, storages)) is not None
        ]
        # Clones that share a storage have one copy.
        return list(dict.fromkeys(found))

    def _file_size(self, oid: Oid) -> int | None:
        for path in self.copies(oid):
            try:
                return path.stat().st_size
            except OSError:
                continue
        return None


class Rescue:
    """Gives one server back what it lacks.

    :param server: speaks to it.
    :param holdings: what the clones have.
    :param blocking: reads and hashes.
    :param pace: holds up reading.
    :param jobs: how many objects are sent at once.
    :param told: is told what has become of each object that the server lacks.
    :param totals: where it is counted.
    """

    def __init__(
        self,
        server: LFSServerClient,
        holdings: Holdings,
        blocking: IBlocking,
        pace: Pace,
        jobs: int,
        told: Callable[[Finding], None],
        totals: Totals,
    ) -> None:
        self._server = server
        self._holdings = holdings
        self._blocking = blocking
        self._pace = pace
        self._jobs = jobs
        self._told = told
        self._totals = totals
        self._failures = 0

    async def survey(self, done: Callable[[int], None]) -> Mapping[Oid, int]:
        """Ask which objects the server lacks, and tell of those that no clone has.

        :param done: is told how many objects were asked about.
        :returns: the sizes of those that can be sent, in bytes, by oid.
        :raises ServerError: if the server cannot be asked.
        """
        lacking: dict[Oid, int] = {}
        known = {oid: size for oid, size in self._holdings.needed.items() if size is not None}

        async def ask(some: Mapping[Oid, int]) -> None:
            reply = await self._server.batch(Operation.UPLOAD, some)
            for answered in reply.objects:
                oid = Oid(answered.oid)
                if answered.code:
                    self._tell(oid, "refused", some[oid], "", answered.message)
                elif "upload" not in answered.actions:
                    self._totals.present += 1
                elif await self._blocking.run(self._holdings.copies, oid):
                    lacking[oid] = some[oid]
                else:
                    self._tell(oid, "lost", some[oid], "", "no clone has it")
            done(len(some))

        await _at_once(ask, _pages(known), self._jobs)
        return lacking

    def tell_wanted(self, lacking: Mapping[Oid, int]) -> None:
        """Tell what would be sent."""
        for oid, size in lacking.items():
            self._tell(oid, "wanted", size)

    async def send(self, lacking: Mapping[Oid, int], done: Callable[[int], None]) -> None:
        """Send objects, and ask the server whether it has them then.

        :param lacking: as :meth:`survey` has returned it.
        :param done: is told how many bytes were sent.
        :raises ServerError: if the server cannot be asked, or takes nothing any more.
        """
        for some in _pages(lacking):
            reply = await self._server.batch(Operation.UPLOAD, some)
            sent: dict[Oid, tuple[int, Path]] = {}

            async def give(
                answered: Answered,
                some: Mapping[Oid, int] = some,
                sent: dict[Oid, tuple[int, Path]] = sent,
            ) -> None:
                oid = Oid(answered.oid)
                path = await self._give(answered, oid, some[oid], done)
                if path is not None:
                    sent[oid] = some[oid], path

            await _at_once(give, reply.objects, self._jobs)
            await self._confirm(sent)

    async def _give(
        self, answered: Answered, oid: Oid, size: int, done: Callable[[int], None]
    ) -> Path | None:
        """Send one object; returns the file that was sent, if one was."""
        if answered.code:
            done(size)
            self._tell(oid, "refused", size, "", answered.message)
            return None
        if "upload" not in answered.actions:
            # Somebody else has been quicker.
            done(size)
            self._totals.present += 1
            return None
        problems = []
        for path in await self._blocking.run(self._holdings.copies, oid):
            counted = _Counted(done)
            try:
                if not await matches(path, oid, self._blocking):
                    raise WrongBody("its bytes are not those that its name says")
                await self._upload(answered, path, oid, size, counted)
            except ServerError as error:
                counted.forget(size)
                self._tell(oid, "failed", size, str(path), error.problem)
                self._failures += 1
                if self._failures >= _GIVE_UP:
                    raise
                return None
            except (WrongBody, Unreadable) as error:
                counted.forget()
                problems.append(str(error))
                self._tell(oid, "rotten", None, str(path), str(error))
                continue
            self._failures = 0
            return path
        done(size)
        words = "no clone has it" if not problems else "all copies of the clones are rotten"
        self._tell(oid, "lost", size, "", words)
        return None

    async def _upload(
        self, answered: Answered, path: Path, oid: Oid, size: int, counted: _Counted
    ) -> None:
        opened: list[FileBody] = []

        def body() -> VerifiedBody:
            for each in opened:
                each.close()
            counted.forget()
            opened[:] = [FileBody(path, self._blocking, self._pace, counted.add)]
            return VerifiedBody(opened[0], oid, size, size, self._blocking)

        try:
            if not self._server.is_fresh(answered.actions["upload"]):
                answered = await self._ask_anew(oid, size)
            try:
                await self._server.upload(answered, body, size)
            except ServerError as error:
                if error.status not in _STALE:
                    raise
                answered = await self._ask_anew(oid, size)
                await self._server.upload(answered, body, size)
        finally:
            for each in opened:
                each.close()
        await self._server.verify(answered)

    async def _ask_anew(self, oid: Oid, size: int) -> Answered:
        [answered] = (await self._server.batch(Operation.UPLOAD, {oid: size})).objects
        if "upload" not in answered.actions:
            raise ServerError(answered.message or "the server has it by now", answered.code)
        return answered

    async def _confirm(self, sent: Mapping[Oid, tuple[int, Path]]) -> None:
        """Ask the server whether it has what was sent."""
        if not sent:
            return
        sizes = {str(oid): size for oid, (size, _) in sent.items()}
        for answered in (await self._server.batch(Operation.UPLOAD, sizes)).objects:
            oid = Oid(answered.oid)
            size, path = sent[oid]
            if answered.code or "upload" in answered.actions:
                words = answered.message or "the server has taken it, and lacks it still"
                self._tell(oid, "failed", size, str(path), words)
            else:
                self._tell(oid, "sent", size, str(path))

    def _tell(
        self, oid: Oid, result: Result, size: int | None, path: str = "", problem: str = ""
    ) -> None:
        self._totals.objects[result] += 1
        if result in ("sent", "wanted"):
            self._totals.size += size or 0
        self._told(Finding(self._server.endpoint.name, str(oid), result, size, path, problem))


class _Counted:
    """Counts bytes that are sent, and takes them back if they have to be sent again."""

    def __init__(self, done: Callable[[int], None]) -> None:
        self._done = done
        self._count = 0

    def add(self, count: int) -> None:
        self._count += count
        self._done(count)

    def forget(self, instead: int = 0) -> None:
        """Take back what was counted, and count something else instead."""
        self._done(instead - self._count)
        self._count = instead


def _pages(sizes: Mapping[Oid, int]) -> Iterator[Mapping[Oid, int]]:
    rest = iter(sizes.items())
    while some := dict(islice(rest, BATCH)):
        yield some


async def _at_once(
    work: Callable[[_Item], Awaitable[None]], items: Iterable[_Item], jobs: int
) -> None:
    """Work on items, some of them at the same time; the first error ends it all."""
    waiting = deque(items)

    async def worker() -> None:
        try:
            while waiting:
                await work(waiting.popleft())
        except BaseException:
            waiting.clear()
            raise

    await settle(worker() for _ in range(min(jobs, len(waiting))))
