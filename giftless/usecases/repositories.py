"""What is done with whole repositories: rename, copy, remove, and give another name.

Whoever calls has made sure that it is an operator, or administers every repository that
it names: requests for an alias reach whatever is kept under it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from twisted.internet.task import deferLater

from giftless.base.concurrency import settle
from giftless.errors import Conflict, LFSError, NotFound, StorageUnavailable
from giftless.interfaces import ILockStore, ListedObject, RepositoryMoved, State
from giftless.lfs.locks import MAX_LIMIT, LockQuery
from giftless.lfs.objects import ObjectKey, Repo, in_trash, owner_of
from giftless.usecases.claims import CLAIMED
from giftless.usecases.emptying import PAGE
from giftless.usecases.listing import listed
from giftless.usecases.locks import By, remove_by_force
from giftless.usecases.trash import Trash

T = TypeVar("T")

#: How often each worker asks for aliases, in seconds.
REFRESHED: Final = 5.0

#: How long it takes until all workers know of an alias, in seconds.
KNOWN_AFTER: Final = REFRESHED + 2.0

#: Why objects are in the trash whose repository was removed.
_REMOVED: Final = "its repository was removed"

#: Is told how many more objects are done.
Progress = Callable[[int], object]

#: Does something with some objects; returns how many of them that was done with.
_Work = Callable[[Sequence[ListedObject]], Awaitable[int]]


def _tell_nobody(_: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """What was moved with a repository.

    :ivar objects: how many objects.
    :ivar locks: how many locks.
    :ivar left: how many objects stay under the old name, because they are damaged.
    """

    objects: int
    locks: int
    left: int = 0


@dataclass(frozen=True, slots=True)
class Removed:
    """What has become of a repository that was to be removed.

    :ivar objects: how many objects are in the trash now.
    :ivar failed: objects that are left where they are, and why.
    :ivar locks: how many locks were removed.
    :ivar aliases: the names that led to it; they lead nowhere now.
    """

    objects: int
    failed: Mapping[ObjectKey, LFSError] = field(default_factory=dict)
    locks: int = 0
    aliases: Sequence[str] = ()


class Repositories:
    """Works on whole repositories.

    :param trash: moves objects.
    :param locks: where locks are; ``None`` if there are none.
    :param configured: the names that the configuration leads elsewhere.
    """

    def __init__(
        self, trash: Trash, locks: ILockStore | None, configured: Collection[str] = ()
    ) -> None:
        self._trash = trash
        self._copying = trash.copying
        self._deleting = trash.deleting
        self._catalogue = trash.catalogue
        self._locks = locks
        self._configured = configured

    async def aliases(self) -> Mapping[str, str]:
        """Return under what paths repositories are kept, by the names that lead there.

        :raises ServiceUnavailable: if that cannot be told now.
        """
        return await self._catalogue.aliases()

    async def alias(self, name: Repo, kept: Repo | None) -> None:
        """Let requests for a name reach a repository, or end that.

        What comes under the name until all workers know the alias is moved to the repository.

        :param name: the path that requests give.
        :param kept: the repository; ``None`` to end an alias.
        :raises Conflict: if the name has objects of its own, which nobody could reach any
            more, or cannot be an alias.
        :raises ServiceUnavailable: if something fails.
        """
        if kept is not None:
            self._require_free(name)
            await self._require_no_alias(kept)
            if name == kept:
                raise Conflict(f"{name} is the repository itself, and needs no alias")
            known = (await self._catalogue.aliases()).get(name.path) == kept.path
            if not known and await self._for_all(name, _count):
                raise Conflict(
                    f"{name} has objects, which nobody could reach any more; rename or remove it"
                )
        await self._catalogue.alias(name.path, None if kept is None else kept.path)
        if kept is not None:
            await self._follow(name, kept)

    async def _follow(self, name: Repo, kept: Repo) -> None:
        """Wait until all workers know an alias, and move what they have stored meanwhile."""

        async def move(some: Sequence[ListedObject]) -> int:
            copied = await self._copy(some, kept)
            keys = [item.key for item in copied]
            await self._enter(keys, kept)
            await _succeed(map(self._deleting.delete, keys))
            await self._catalogue.forget(keys, frozenset({State.STORED}))
            return len(copied)

        await deferLater(self._trash.clock, KNOWN_AFTER)
        await self._move_locks(name, kept)
        await self._for_all(name, move)

    async def copy(self, source: Repo, target: Repo, progress: Progress = _tell_nobody) -> int:
        """Copy the objects of a repository; locks stay with the repository.

        What was not finished is finished when it is asked for again.

        :returns: how many objects were copied; damaged ones are left out.
        :raises NotFound: if there is nothing of the source.
        :raises Conflict: if the target has objects that the source has not, or one of the
            names is an alias.
        :raises ServiceUnavailable: if something fails.
        """
        await self._require_repository(source)
        await self._require_no_alias(target)
        await self._require_target(source, target)

        async def copy(some: Sequence[ListedObject]) -> int:
            copied = await self._copy(some, target)
            await self._enter([item.key for item in copied], target)
            progress(len(some))
            return len(copied)

        return await self._for_all(source, copy)

    async def rename(
        self, source: Repo, target: Repo, by: By, progress: Progress = _tell_nobody
    ) -> Renamed:
        """Keep a repository under another path, to which its own leads from then on.

        It is used meanwhile.  What was not finished is finished when it is asked for again.

        :raises NotFound: if there is nothing of the source.
        :raises Conflict: if the target has objects that the source has not, or one of the
            names cannot be used.
        :raises ServiceUnavailable: if something fails.
        """
        aliases = await self._catalogue.aliases()
        if aliases.get(source.path) != target.path:
            await self._require_repository(source)
            if aliases.get(target.path) != source.path:
                await self._require_no_alias(target)
            await self._require_target(source, target)

        async def copy(some: Sequence[ListedObject]) -> int:
            progress(len(some))
            return len(await self._copy(some, target))

        async def move(some: Sequence[ListedObject]) -> int:
            copied = await self._copy(some, target)
            await _succeed(self._deleting.delete(item.key) for item in copied)
            return len(copied)

        await self._for_all(source, copy)
        await self._for_all(source, copy, trash=True)
        await self._catalogue.alias(source.path, target.path)
        locks = await self._move_locks(source, target)
        # Until every worker knows it, some store objects and locks under the old name.
        await deferLater(self._trash.clock, KNOWN_AFTER)
        locks += await self._move_locks(source, target)
        await self._for_all(source, copy)
        await self._catalogue.rename(source, target, self._trash.wall_clock())
        objects = await self._for_all(source, move)
        await self._for_all(source, move, trash=True)
        left = await self._for_all(source, _count)
        self._trash.events.publish(
            RepositoryMoved(source, target, by.name, by.principal, by.address, by.request_id)
        )
        return Renamed(objects, locks, left)

    async def remove(self, repo: Repo, by: By, progress: Progress = _tell_nobody) -> Removed:
        """Move all objects of a repository into the trash, and remove its locks and names.

        :raises NotFound: if there is nothing of it.
        :raises Conflict: if the name is an alias.
        :raises ServiceUnavailable: if something fails; what was removed stays so.
        """
        await self._require_repository(repo)
        aliases = await self._catalogue.aliases()
        names = [name for name, kept in aliases.items() if kept == repo.path]
        for name in names:
            # They must not lead to what somebody else stores under this path one day.
            await self._catalogue.alias(name, None)
        failed: dict[ObjectKey, LFSError] = {}

        async def discard(some: Sequence[ListedObject]) -> int:
            outcome = await self._trash.discard([item.key for item in some], _REMOVED, by)
            failed.update(outcome.failed)
            failed.update((key, _is_moved()) for key in outcome.spared)
            progress(len(some))
            return len(outcome.moved)

        objects = await self._for_all(repo, discard)
        return Removed(objects, failed, await self._remove_locks(repo, by), names)

    # -- conditions

    def _require_free(self, name: Repo) -> None:
        if name.path in self._configured:
            raise Conflict(f"the configuration leads {name} elsewhere (aliases)")

    async def _require_no_alias(self, name: Repo) -> None:
        kept = (await self._catalogue.aliases()).get(name.path)
        if kept is not None:
            raise Conflict(f"{name} is an alias of {kept}; name that, or end the alias first")

    async def _require_repository(self, repo: Repo) -> None:
        """Make sure that there is something of a repository: a name may be mistyped."""
        await self._require_no_alias(repo)
        for trash in (False, True):
            if await self._for_all(repo, _count, trash):
                return
        locks = self._locks
        if locks is None or not (await locks.page(LockQuery(1, repo))).locks:
            raise NotFound(f"there is no repository {repo}: it has neither objects nor locks")

    async def _require_target(self, source: Repo, target: Repo) -> None:
        """Make sure that a path can take a repository, or has taken a part of it."""
        if source == target:
            raise Conflict(f"{source} is what there is, and what is to be; choose another path")
        self._require_free(target)

        async def compare(some: Sequence[ListedObject]) -> int:
            there = [ObjectKey(source, item.key.oid) for item in some]
            if None in await self._copying.sizes(there):
                raise Conflict(f"{target} has objects that {source} has not; choose another path")
            return 0

        await self._for_all(target, compare)

    # -- objects

    async def _for_all(self, repo: Repo, work: _Work, trash: bool = False) -> int:
        """Do something with all objects of a repository, or of its trash.

        :returns: how many it was done with.
        """
        count = 0
        async for objects in listed(self._trash.listing, repo, PAGE, trash):
            for start in range(0, len(objects), CLAIMED):
                count += await work(objects[start : start + CLAIMED])
        return count

    async def _copy(self, some: Sequence[ListedObject], target: Repo) -> Sequence[ListedObject]:
        """Copy objects to a repository, from a trash to its trash; returns what is there."""

        async def copy(item: ListedObject) -> bool:
            there = ObjectKey(target, item.key.oid)
            is_trash = owner_of(item.key.repo) is not None
            return await self._copying.copy(item.key, in_trash(there) if is_trash else there)

        done = await _succeed(map(copy, some))
        return [item for item, copied in zip(some, done, strict=True) if copied]

    async def _enter(self, keys: Sequence[ObjectKey], target: Repo) -> None:
        """Let the catalogue know the copies of objects as it knows these."""
        now = self._trash.wall_clock()
        known = [entry for entry in await self._catalogue.look(keys) if entry is not None]
        await self._catalogue.merge(
            [
                msgspec.structs.replace(
                    entry,
                    key=ObjectKey(target, entry.key.oid),
                    offered_at=now,
                    state=State.STORED,
                    moved_at=0.0,
                    reason="",
                    moved_by="",
                )
                for entry in known
            ]
        )

    # -- locks

    async def _move_locks(self, source: Repo, target: Repo) -> int:
        return 0 if self._locks is None else await self._locks.rename(source, target)

    async def _remove_locks(self, repo: Repo, by: By) -> int:
        count = 0
        while self._locks is not None:
            page = await self._locks.page(LockQuery(MAX_LIMIT, repo))
            if not page.locks:
                break
            for lock in page.locks:
                count += await remove_by_force(self._locks, lock, by, self._trash.events)
        return count


async def _count(some: Sequence[ListedObject]) -> int:
    return len(some)


async def _succeed(work: Iterable[Awaitable[T]]) -> list[T]:
    """Do things at the same time, all to their ends.

    :raises LFSError: the first, if one fails.
    """

    async def wait(awaitable: Awaitable[T]) -> T:
        return await awaitable

    return await settle(map(wait, work))


def _is_moved() -> StorageUnavailable:
    return StorageUnavailable("somebody else is moving it", 5)
