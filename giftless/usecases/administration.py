"""What owners and operators do with what is stored: look, remove, bring back, rename.

Whoever calls has made sure that they may: no permission is asked here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec
from twisted.logger import Logger

from giftless.errors import BadRequest, NotFound
from giftless.interfaces import AliasChanged, ISharing, RepositoryCopied, WallClock
from giftless.interfaces.catalogue import By as Kind
from giftless.interfaces.catalogue import Entry, EntryPage, EntryQuery, ICatalogue, State
from giftless.lfs.objects import ObjectKey, Repo
from giftless.usecases.locks import By
from giftless.usecases.reports import MoveReport, ResultReport, UsageReport, results
from giftless.usecases.repositories import Repositories
from giftless.usecases.space import Space
from giftless.usecases.trash import Trash

_log = Logger()

#: How long a reason may be, in characters.
MAX_REASON: Final = 200

#: How many objects are moved at once.
PAGE: Final = 1000

#: Is told of objects that are done.
Progress = Callable[[int], None]

#: The states of what is in the trash.
_TRASHED: Final = frozenset({State.TRASHED})


class Administration:
    """Looks at stored objects and changes which there are.

    :param space: what is stored.
    :param wall_clock: tells what is older than something.
    """

    def __init__(self, space: Space, wall_clock: WallClock) -> None:
        self._space = space
        self._wall_clock = wall_clock
        self._shares = ISharing.providedBy(space.store)

    @property
    def keep(self) -> float:
        """For how many seconds objects stay in the trash."""
        return self._trash.keep

    @property
    def _catalogue(self) -> ICatalogue:
        if self._space.catalogue is None:
            raise NotFound("this server has no catalogue of what is stored (catalogue.type)")
        return self._space.catalogue

    @property
    def _trash(self) -> Trash:
        if self._space.trash is None:
            raise NotFound(f"this server has no trash: {self._space.problem}")
        return self._space.trash

    @property
    def _repositories(self) -> Repositories:
        if self._space.repositories is None:
            raise NotFound(f"this server moves no objects: {self._space.problem}")
        return self._space.repositories

    # -- looking

    async def page(self, query: EntryQuery) -> EntryPage:
        """Return a page of the catalogue.

        :raises BadRequest: if the cursor is none of such a list.
        """
        page: EntryPage = await self._catalogue.page(query)
        return page

    async def every(self, query: EntryQuery) -> AsyncIterator[Sequence[Entry]]:
        """Yield the entries of all pages, page by page."""
        while True:
            page = await self.page(query)
            if page.entries:
                yield page.entries
            if page.next_cursor is None:
                return
            query = msgspec.structs.replace(query, cursor=page.next_cursor)

    async def usage(self, by: Kind, repo: str, limit: int, below: bool) -> UsageReport:
        """Tell how much is stored.

        :param repo: only in this repository; empty for all.
        :param below: whether in those below its path, too.
        """
        usage = await self._catalogue.usage(by, repo, limit, below=below)
        return UsageReport.of(usage, by, repo, self._shares)

    # -- single objects

    async def remove(self, keys: Sequence[ObjectKey], reason: str, by: By) -> list[ResultReport]:
        """Move objects into the trash.

        :param keys: up to :data:`PAGE`.
        :raises BadRequest: if the reason is too long.
        """
        if len(reason) > MAX_REASON:
            raise BadRequest(f"a reason has at most {MAX_REASON} characters")
        done = await self._trash.discard(keys, reason, by)
        _log_change(by, f"moved {len(done.moved)} objects into the trash", keys[0].repo)
        return results(done.failed, moved=done.moved, spared=done.spared, absent=done.absent)

    async def restore(self, keys: Sequence[ObjectKey], by: By) -> list[ResultReport]:
        """Bring objects back from the trash.

        :param keys: up to :data:`PAGE`.
        """
        done = await self._trash.restore(keys, by)
        _log_change(by, f"restored {len(done.restored)} objects", keys[0].repo)
        return results(restored=done.restored, absent=done.missing)

    # -- what may take long

    async def trashed(
        self, repo: Repo | None, older_than: float = 0.0
    ) -> AsyncIterator[Sequence[Entry]]:
        """Yield what is in the trash, page by page.

        :param repo: only of this repository; ``None`` for all.
        :param older_than: only what has been there for so many seconds.
        """
        until = self._wall_clock() - older_than
        query = EntryQuery(repo=repo, states=_TRASHED, order="path", limit=PAGE)
        async for entries in self.every(query):
            yield [entry for entry in entries if entry.moved_at <= until]

    async def empty(self, repo: Repo | None, older_than: float, by: By, progress: Progress) -> int:
        """Delete what is in the trash, for good.

        :returns: how many objects were deleted.
        """
        deleted = 0
        async for entries in self.trashed(repo, older_than):
            if entries:
                deleted += await self._trash.purge([entry.key for entry in entries], by)
                progress(len(entries))
        _log_change(by, f"deleted {deleted} objects in the trash for good", repo)
        return deleted

    async def rename(self, source: Repo, target: Repo, by: By, progress: Progress) -> MoveReport:
        """Give a repository another path, with all that it has.

        See :meth:`giftless.usecases.repositories.Repositories.rename`.
        """
        done = await self._repositories.rename(source, target, by, progress)
        _log_change(by, f"renamed it to {target}", source)
        return MoveReport(done.objects, done.left, done.locks)

    async def copy(self, source: Repo, target: Repo, by: By, progress: Progress) -> MoveReport:
        """Copy the objects of a repository.

        See :meth:`giftless.usecases.repositories.Repositories.copy`.
        """
        count = await self._repositories.copy(source, target, progress)
        self._space.events.publish(RepositoryCopied(source, target, count, *_fields(by)))
        _log_change(by, f"copied {count} objects to {target}", source)
        return MoveReport(count)

    async def remove_repository(self, repo: Repo, by: By, progress: Progress) -> MoveReport:
        """Move a repository into the trash, and remove its locks and names.

        See :meth:`giftless.usecases.repositories.Repositories.remove`.
        """
        done = await self._repositories.remove(repo, by, progress)
        _log_change(by, f"removed it: {done.objects} objects, {done.locks} locks", repo)
        return MoveReport(done.objects, len(done.failed), done.locks)

    # -- names

    async def aliases(self) -> Mapping[str, str]:
        """Return under what paths repositories are kept, by their other names."""
        return await self._repositories.aliases()

    async def alias(self, name: Repo, kept: Repo | None, by: By) -> None:
        """Let a name lead to a repository, or end that.

        See :meth:`giftless.usecases.repositories.Repositories.alias`.
        """
        await self._repositories.alias(name, kept)
        self._space.events.publish(AliasChanged(name, kept, *_fields(by)))
        _log_change(by, "ended this name" if kept is None else f"let it lead to {kept}", name)


def _fields(by: By) -> tuple[str, str, str, str]:
    """Return who does something, as events tell it."""
    return by.name, by.principal, by.address, by.request_id


def _log_change(by: By, what: str, repo: Repo | None) -> None:
    """Log what somebody has done.

    :param repo: to which repository; ``None`` if to all.
    """
    _log.info(
        "{by} at {repo}: {what}",
        by=by,
        name=by.name,
        principal=by.principal,
        what=what,
        repo=repo or "all repositories",
        request_id=by.request_id,
    )
