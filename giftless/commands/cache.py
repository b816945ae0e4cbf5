"""``giftless cache``: what a cache holds; fill it before somebody asks, and empty it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from twisted.python import usage

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base.concurrency import settle
from giftless.client.credentials import Credentials
from giftless.commands import CONFIG, Command, CommandError
from giftless.commands.amounts import MOST_JOBS
from giftless.commands.arguments import oids, repository
from giftless.commands.harmless import harmless
from giftless.commands.mirror_warming import MirrorWarming
from giftless.commands.object_commands import JSON, GroupCommand
from giftless.commands.output import as_json_line, counted
from giftless.commands.parts import use_parts
from giftless.commands.pointers import pointers_of
from giftless.commands.progress import Progress
from giftless.commands.units import size
from giftless.errors import LFSError
from giftless.interfaces import (
    CacheHoldings,
    ICaching,
    IForwarding,
    IListing,
    IStorageFactory,
    IWarming,
    ObjectPage,
)
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.references.errors import NoReferences
from giftless.references.gathering import Gathering
from giftless.references.git import Git
from giftless.references.sources import Source, parse_source

#: How long one run of git may take, in seconds.
_GIT_TIMEOUT: Final = 2 * 3600

#: How many threads there are for disks and digests.
_THREADS: Final = 4


class Warmed(msgspec.Struct):
    """What ``warm`` has done.

    :ivar copied: objects that are in the cache now, and were not before.
    :ivar bytes: how many bytes these have.
    :ivar present: objects that were there.
    :ivar absent: objects that the store does not have.
    :ivar failed: objects that could not be copied.
    """

    copied: int = 0
    bytes: int = 0
    present: int = 0
    absent: int = 0
    failed: int = 0


class _CacheCommand(Command):
    """A command on the caches of a configuration."""

    optParameters: Any = [CONFIG]
    optFlags: Any = [JSON]

    def run(self) -> None:
        """Build the storage, and work with its caches."""
        parent: Any = self.parent
        file = self["config"] or parent.get("config")

        async def use(settings: Config, parts: PartBuilder) -> None:
            parts.build(IStorageFactory, settings.storage, "storage")
            parts.environment.services.startService()
            caches = [part for part in parts.built.values() if ICaching.providedBy(part)]
            if not caches:
                raise CommandError(
                    "this storage has no cache; one stands in front of it with storage: {type:"
                    " cache, path: …, limit: …, store: …}"
                )
            await self.work(caches, parts)

        use_parts(config.load(file, os.environ), use, _THREADS)

    async def work(self, caches: Sequence[Any], parts: PartBuilder) -> None:
        """Do the command's work.

        :param caches: at least one part that provides :class:`giftless.interfaces.ICaching`.
        :param parts: has built them.
        """
        raise NotImplementedError


class StatsCommand(_CacheCommand):
    """The command line of ``giftless cache stats``."""

    synopsis = "[--config FILE] [--json]"
    longdesc = "Look at all that is in the cache, and print how much it is and how much it may be."

    async def work(self, caches: Sequence[Any], parts: PartBuilder) -> None:
        """See :meth:`_CacheCommand.work`."""
        found: list[CacheHoldings] = [await cache.recount() for cache in caches]
        if self["json"]:
            print(as_json_line(_Caches(found)))
            return
        for each in found:
            objects = counted(each.entries, "object")
            print(f"{each.path}: {size(each.bytes)} of {size(each.limit)} in {objects}")


class _Caches(msgspec.Struct):
    caches: Sequence[CacheHoldings]


class DropCommand(_CacheCommand):
    """The command line of ``giftless cache drop``."""

    synopsis = "[--config FILE] [--json] REPO [OID...] | --all"
    longdesc = (
        "Remove the copies of REPO's objects, or of some of these, or of all objects.  Nothing"
        " happens to the objects themselves; whoever asks for one gets it from the store.  An"
        " OID may be '-': they are read from stdin then."
    )
    optFlags: Any = [JSON, ["all", "a", "Remove the copies of all objects."]]

    def parseArgs(self, path: str | None = None, *texts: str) -> None:
        """Take the repository and its objects."""
        self["repo"] = None if path is None else repository(path)
        self["oids"] = texts

    def postOptions(self) -> None:
        """Insist on saying what goes."""
        if bool(self["all"]) == (self["repo"] is not None):
            raise usage.UsageError("say what to remove: REPO [OID...], or --all")

    async def work(self, caches: Sequence[Any], parts: PartBuilder) -> None:
        """See :meth:`_CacheCommand.work`."""
        wanted = list(dict.fromkeys(oids(self["oids"])))
        removed = 0
        # An empty list on stdin is none of the objects, and not all.
        if wanted or not self["oids"]:
            removed = sum([await cache.drop(self["repo"], wanted) for cache in caches])
        print(
            as_json_line(_Dropped(removed))
            if self["json"]
            else f"removed {counted(removed, 'object')}"
        )


class _Dropped(msgspec.Struct):
    removed: int


class WarmCommand(_CacheCommand):
    """The command line of ``giftless cache warm``."""

    synopsis = "[--config FILE] [--from URL]... [--jobs N] [--json] REPO [OID...]"
    longdesc = (
        "Copy objects of REPO into the cache before somebody asks for them: all that are stored,"
        " those of the given oids ('-' reads them from stdin), or those that the refs of git"
        " repositories lead to (--from).  What is there already stays."
    )
    optParameters: Any = [
        CONFIG,
        ["jobs", None, 4, "How many objects are copied at the same time.", int],
    ]

    def __init__(self) -> None:
        super().__init__()
        self._sources: list[Source] = []

    def opt_from(self, url: str) -> None:
        """A git repository whose objects are copied: a URL, or a directory (repeatable)."""
        try:
            self._sources.append(parse_source(url))
        except NoReferences as error:
            raise usage.UsageError(str(error)) from None

    def parseArgs(self, path: str, *texts: str) -> None:  # type: ignore[override]
        """Take the repository and its objects."""
        self["repo"] = repository(path)
        self["oids"] = texts

    def postOptions(self) -> None:
        """Check what belongs together."""
        if self._sources and self["oids"]:
            raise usage.UsageError("give OIDs or --from, not both")
        if not 1 <= self["jobs"] <= MOST_JOBS:
            raise usage.UsageError(f"--jobs is from 1 to {MOST_JOBS}")

    async def work(self, caches: Sequence[Any], parts: PartBuilder) -> None:
        """See :meth:`_CacheCommand.work`."""
        warmers = [
            cache for cache in caches if IWarming.providedBy(cache) or IForwarding.providedBy(cache)
        ]
        if not warmers:
            raise CommandError("this cache is filled by its clients alone")
        done = Warmed()
        quiet = bool(self["json"])
        for cache in warmers:
            warmer: Any = cache
            total: int | None
            if IForwarding.providedBy(cache):
                warmer, total, pages = await self._asked(cache, parts)
            else:
                total, pages = await self._keys(cache, parts)
            with Progress(total, "objects", "copying", quiet=quiet, summary=False) as progress:
                async for page in pages:
                    keys = iter(page)
                    jobs = (_warm(warmer, keys, done, progress) for _ in range(self["jobs"]))
                    await settle(jobs)
        if quiet:
            print(as_json_line(done))
        else:
            print(_told(done))
        if done.failed:
            raise CommandError(f"{counted(done.failed, 'object')} could not be copied")

    async def _keys(
        self, cache: Any, parts: PartBuilder
    ) -> tuple[int | None, AsyncIterator[Sequence[ObjectKey]]]:
        """Find what is to be copied, page by page, and how much that is, if it is known."""
        repo: Repo = self["repo"]
        if self._sources:
            found = await parts.environment.blocking.run(self._named, parts.environment.reactor)
            return len(found), _each(repo, found)
        if self["oids"]:
            given = list(dict.fromkeys(oids(self["oids"])))
            return len(given), _each(repo, given)
        if not IListing.providedBy(cache):
            raise CommandError("this storage cannot list objects; give OIDs, or --from")
        return None, _listed(cache, repo)

    async def _asked(
        self, mirror: Any, parts: PartBuilder
    ) -> tuple[MirrorWarming, int, AsyncIterator[Sequence[ObjectKey]]]:
        """Find what a mirror is to ask another server for, and what asks."""
        repo, lent = self["repo"], parts.environment
        sizes: dict[Oid, int] = {}
        if self._sources:
            sizes = await lent.blocking.run(self._sized, lent.reactor)
        elif self["oids"]:
            sizes = dict.fromkeys(oids(self["oids"]), 0)
        else:
            raise CommandError("another server cannot list its objects; give OIDs, or --from")
        keys = [ObjectKey(repo, oid) for oid in sizes]
        credentials = Credentials(lent.blocking, ask=sys.stdin.isatty())
        warming = MirrorWarming(mirror, credentials, keys, sizes)
        return warming, len(keys), _each(repo, list(sizes))

    def _sized(self, reactor: Any) -> dict[Oid, int]:
        """Return what git repositories name, and its sizes, 0 where one is not told; blocks."""
        git = self._git(reactor)
        try:
            return {
                pointer.oid: pointer.size or 0
                for source in self._sources
                for pointer in pointers_of(git, source)
            }
        except NoReferences as error:
            raise CommandError(str(error)) from None

    def _git(self, reactor: Any) -> Git:
        git = Git(_GIT_TIMEOUT)
        reactor.callFromThread(reactor.addSystemEventTrigger, "before", "shutdown", git.stop)
        return git

    def _named(self, reactor: Any) -> list[Oid]:
        """Return what git repositories need; blocks."""
        git = self._git(reactor)
        with TemporaryDirectory(prefix="giftless-") as directory:
            gathering = Gathering(git, self._sources, (), Path(directory))
            try:
                gathering.gather()
            except NoReferences as error:
                raise CommandError(str(error)) from None
            return [Oid(digest.hex()) for digest in gathering.keep]


async def _each(repo: Repo, found: Sequence[Oid]) -> AsyncIterator[Sequence[ObjectKey]]:
    yield [ObjectKey(repo, oid) for oid in found]


async def _listed(store: Any, repo: Repo) -> AsyncIterator[Sequence[ObjectKey]]:
    cursor: str | None = None
    while True:
        page: ObjectPage = await store.list(repo, cursor)
        yield [item.key for item in page.objects]
        cursor = page.next_cursor
        if cursor is None:
            return


async def _warm(cache: Any, keys: Iterator[ObjectKey], done: Warmed, progress: Progress) -> None:
    """Copy objects, one after the other, until there are no more."""
    for key in keys:
        try:
            copied = await cache.warm(key)
        except LFSError as error:
            done.failed += 1
            progress.clear()
            print(f"giftless: {key.oid}: {harmless(error.message)}", file=sys.stderr)
        else:
            if copied is None:
                done.absent += 1
            elif copied:
                done.copied += 1
                done.bytes += copied
            else:
                done.present += 1
        progress.add(1)


def _told(done: Warmed) -> str:
    """Say what was done, for people."""
    words = [f"copied {counted(done.copied, 'object')} ({size(done.bytes)})"]
    for count, what in (
        (done.present, "were there"),
        (done.absent, "are not in the store"),
        (done.failed, "could not be copied"),
    ):
        if count:
            words.append(f"{count:,} {what}")
    return ", ".join(words)


class CacheCommand(GroupCommand):
    """The command line of ``giftless cache``."""

    synopsis = "[--config FILE] COMMAND"
    longdesc = "Tell what the cache of objects holds, fill it, and empty it."
    subCommands: Any = [
        ["stats", None, StatsCommand, "Tell how much it holds."],
        ["warm", None, WarmCommand, "Copy objects before somebody asks for them."],
        ["drop", None, DropCommand, "Remove copies."],
    ]
