"""``giftless import database``: import what the database of lfs-test-server knows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.python import usage

from giftless.commands.arguments import repository
from giftless.commands.importing.choosing import ChoosingCommand
from giftless.commands.importing.objects import FLAGS
from giftless.commands.output import counted
from giftless.importing.assignments import Assignment
from giftless.importing.bolt import read_bolt
from giftless.importing.files import Directory
from giftless.importing.layouts import LAYOUTS, Walk
from giftless.importing.lfs_test_server import Contents, read_contents
from giftless.importing.offers import NoSource, in_pages
from giftless.importing.pool import count_others, offer_some
from giftless.interfaces import Environment
from giftless.lfs.objects import Repo

#: The directory of objects that lfs-test-server makes beside its database.
_CONTENT = "lfs-content"


class ImportDatabase(ChoosingCommand):
    """The command line of ``giftless import database``."""

    synopsis = (
        "[--config FILE] [--content PATH] [--list FILE | --from URL...] [--rate SIZE]"
        " [--jobs NUMBER] [--dry-run] [--json] FILE REPO"
    )
    longdesc = (
        "Store what the database FILE of lfs-test-server (LFS_METADB) knows into REPO, and"
        " verify each object.  All repositories share the objects there: tell which belong to"
        " REPO by its git repository (--from) or by a list.  The server must not run.  Exits"
        " with 2 if an object could not be imported."
    )
    optParameters: Any = [
        *ChoosingCommand.optParameters,
        ["content", None, None, f"LFS_CONTENTPATH; {_CONTENT} beside FILE if it is not given."],
    ]
    optFlags: Any = FLAGS

    def parseArgs(self, *arguments: str) -> None:
        """Take the database and the repository."""
        if len(arguments) != 2:
            raise usage.UsageError("say which database, and where its objects go: FILE REPO")
        self["file"] = arguments[0]
        self.repo = repository(arguments[1])

    async def work(self, environment: Environment) -> None:
        """Import what the database knows, or a part of it."""
        file, run = self["file"], environment.blocking.run
        content = self["content"] or os.path.join(os.path.dirname(file), _CONTENT)
        if not os.path.isdir(content):
            raise NoSource(f"{content} is no directory; name LFS_CONTENTPATH by --content")
        contents = await run(_read, file)
        assert self.repo is not None, "it is an argument"
        chosen = _all_of(contents, self.repo)
        if self.chooses:
            chosen = [
                Assignment(each.repo, each.oid, contents.objects.get(each.oid))
                for each in await self.chosen(environment)
            ]
        layout = LAYOUTS["lfs-test-server"]
        offers = partial(offer_some, content, layout, chosen)
        opener = Directory(content, environment.blocking).open
        notes = partial(_notes, Walk(content, layout), contents, chosen)
        await self.take_in(environment, lambda: in_pages(offers()), opener, notes)


def _read(path: str) -> Contents:
    database = read_bolt(path)
    try:
        return read_contents(database)
    except NoSource as error:
        raise NoSource(f"{path}: {error}") from None


def _all_of(contents: Contents, repo: Repo) -> Sequence[Assignment]:
    return [Assignment(repo, oid, size) for oid, size in sorted(contents.objects.items())]


def _notes(walk: Walk, contents: Contents, chosen: Sequence[Assignment]) -> Sequence[str]:
    """Tell what was not imported; blocks."""
    notes = []
    if others := count_others(walk, chosen):
        notes.append(f"{counted(others, 'object')} of the directory belong to nothing chosen.")
    if walk.strays:
        notes.append(f"{counted(walk.strays, 'file')} of the directory are no objects.")
    if contents.locks:
        notes.append(f"{counted(contents.locks, 'lock')} stay there: their owners lock again.")
    if contents.users:
        notes.append(f"{counted(contents.users, 'user')} stay there: see giftless htpasswd.")
    return [*notes, *walk.problems]
