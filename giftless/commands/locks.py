"""``giftless locks``: what is locked, and how to release it.

Works beside a daemon that runs, on the store that its configuration names.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import msgspec
from twisted.python import usage

from giftless.app import config
from giftless.app.backends import build_lock_store, build_observers
from giftless.app.config import Config
from giftless.app.forwarding import refuse_mirror
from giftless.app.plugins import PartBuilder
from giftless.commands import CONFIG, Command, CommandError, who
from giftless.commands.parts import use_parts
from giftless.errors import LFSError
from giftless.interfaces import ILockStore
from giftless.lfs.locks import MAX_LIMIT, Lock, LockQuery
from giftless.lfs.objects import Repo
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.locks import By, remove_by_force

#: What is done with the store; publishes what it changes.
Job = Callable[[ILockStore, Events], Awaitable[None]]


class _LockCommand(Command):
    """What both subcommands have.

    :cvar publishes: whether observers are told what it does.
    """

    publishes = False

    def __init__(self) -> None:
        super().__init__()
        self["repo"] = None

    def opt_repo(self, path: str) -> None:
        """Only locks of this repository: its path in URLs, without .git."""
        try:
            self["repo"] = Repo.parse(path.split("/"))
        except LFSError as error:
            raise usage.UsageError(f"{path!r} is no repository: {error.message}") from None

    def run(self) -> None:
        """Open the lock store and work with it."""
        assert self.parent is not None, "it is a subcommand"
        _use_store(self["config"] or self.parent["config"], self.work, self.publishes)

    async def work(self, store: ILockStore, events: Events) -> None:
        """Do the subcommand's work with the open store."""
        raise NotImplementedError


class ListLocks(_LockCommand):
    """The command line of ``giftless locks list``."""

    synopsis = "[--config FILE] [--repo ORG/REPO] [--json]"
    longdesc = (
        "Print one line for each lock, the newest first: repository, path, owner, time and id,"
        " separated by tabs."
    )
    optParameters = [CONFIG]
    optFlags = [["json", "j", "Print one JSON object a line."]]

    async def work(self, store: ILockStore, events: Events) -> None:
        """Print the locks, page by page."""
        show = _json if self["json"] else _line
        async for lock in _every(store, LockQuery(MAX_LIMIT, self["repo"])):
            print(show(lock))


class ReleaseLocks(_LockCommand):
    """The command line of ``giftless locks release``."""

    synopsis = "[--config FILE] ID... | --repo ORG/REPO PATH..."
    longdesc = (
        "Remove locks, whoever holds them, and print each: by ID, or by PATH in the repository"
        " that --repo names. Nothing is removed if one of them is not there."
    )
    optParameters = [CONFIG]
    publishes = True

    def parseArgs(self, *arguments: str) -> None:
        """Take the ids or the paths."""
        if not arguments:
            raise usage.UsageError("say which locks: their ids, or --repo and their paths")
        self["names"] = arguments

    async def work(self, store: ILockStore, events: Events) -> None:
        """Find all of them, then remove them."""
        locks = [await self._find(store, name) for name in self["names"]]
        for lock in locks:
            if await remove_by_force(store, lock, By(who("giftless locks")), events):
                print(_line(lock))

    async def _find(self, store: ILockStore, name: str) -> Lock:
        repo = self["repo"]
        query = LockQuery(1, repo, path=name) if repo else LockQuery(1, id=name)
        page = await store.page(query) if query.satisfiable else None
        if page is None or not page.locks:
            place = f"lock on {name!r} in {repo}" if repo else f"lock {name!r}"
            raise CommandError(f"there is no {place}; nothing was released")
        return page.locks[0]


class LocksCommand(Command):
    """The command line of ``giftless locks``."""

    longdesc = "The daemon may run meanwhile."
    optParameters = [CONFIG]
    subCommands = [
        ["list", None, ListLocks, "Show what is locked."],
        ["release", None, ReleaseLocks, "Remove locks, whoever holds them."],
    ]

    def postOptions(self) -> None:
        """Insist on a subcommand."""
        if self.subCommand is None:
            raise usage.UsageError("what about the locks? There are: list, release")

    def run(self) -> None:
        """Run the subcommand."""
        self.subOptions.run()


def _use_store(file: str | None, job: Job, publishes: bool) -> None:
    """Build the store that a configuration describes, and use it.

    :param file: the configuration's file.
    :param publishes: whether its observers are told of events.
    :raises CommandError: if there is no store, or it fails.
    :raises ConfigError: if the configuration cannot be used.
    """

    async def use(settings: Config, parts: PartBuilder) -> None:
        refuse_mirror(settings, "the locks")
        store = build_lock_store(settings, parts)
        if store is None:
            raise CommandError("the configuration says that there are no locks (locks.type)")
        events = Events(build_observers(settings, parts)) if publishes else NO_EVENTS
        parts.environment.services.startService()
        await job(store, events)

    use_parts(config.load(file, os.environ), use)


async def _every(store: ILockStore, query: LockQuery) -> AsyncIterator[Lock]:
    while True:
        page = await store.page(query)
        for lock in page.locks:
            yield lock
        if page.next_cursor is None:
            return
        query = replace(query, cursor=page.next_cursor)


def _line(lock: Lock) -> str:
    return "\t".join((lock.repo.path, lock.path, lock.owner, lock.time, lock.id))


def _json(lock: Lock) -> str:
    fields = {
        "repo": lock.repo.path,
        "path": lock.path,
        "owner": lock.owner,
        "principal": lock.principal,
        "locked_at": lock.time,
        "id": lock.id,
    }
    return msgspec.json.encode(fields).decode()
