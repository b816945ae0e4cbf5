"""``giftless repo``: rename, copy and remove whole repositories, and give them other names."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.python import usage

from giftless.commands import CONFIG, CommandError
from giftless.commands.arguments import repository
from giftless.commands.harmless import harmless
from giftless.commands.object_commands import JSON, JSON_LINES, REALLY, GroupCommand, ObjectsCommand
from giftless.commands.output import as_json_line, counted, write_lines
from giftless.commands.units import size
from giftless.interfaces.catalogue import EntryQuery
from giftless.usecases.administration import PAGE
from giftless.usecases.reports import MoveReport


class Done(msgspec.Struct, frozen=True):
    """What was done, as JSON.

    :ivar to: where the objects are now; empty if nowhere.
    :ivar objects: how many objects that was done with.
    :ivar left: how many stay where they were, because they are damaged or in use.
    :ivar locks: how many locks were moved or removed.
    """

    operation: str
    repo: str
    to: str
    objects: int
    left: int
    locks: int


class Alias(msgspec.Struct, frozen=True):
    """A name of a repository, as JSON.

    :ivar repo: the path that it is kept under; ``None`` if the name was ended.
    """

    name: str
    repo: str | None


class _RepoCommand(ObjectsCommand):
    """What the subcommands have.

    :cvar operation: what it is called in JSON.
    """

    name = "giftless repo"
    publishes = True
    operation = ""

    def show(self, words: str, to: str, done: MoveReport) -> None:
        """Print what was done.

        :raises CommandError: if something is left.
        """
        if self["json"]:
            fields = msgspec.structs.astuple(done)
            write_lines([as_json_line(Done(self.operation, self["repo"].path, to, *fields))])
        else:
            locks = f", {counted(done.locks, 'lock')}" if done.locks else ""
            write_lines([harmless(f"{words}: {counted(done.objects, 'object')}{locks}")])
        if done.left:
            raise CommandError(
                f"{counted(done.left, 'object')} stayed where they were, because they are damaged"
                " or in use; see the log"
            )


class _MoveCommand(_RepoCommand):
    """A command with a source and a target."""

    synopsis = "[--config FILE] [--json] REPO NEW"
    optFlags = [JSON]

    def parseArgs(self, *paths: str) -> None:
        """Take both repositories."""
        if len(paths) != 2:
            raise usage.UsageError("say which repository, and the path that it gets: REPO NEW")
        self["repo"], self["to"] = map(repository, paths)
        if self["repo"] == self["to"]:
            raise usage.UsageError("the repository has this path already")


class RenameRepo(_MoveCommand):
    """The command line of ``giftless repo rename``."""

    longdesc = (
        "Give a repository another path, with its objects, trash and locks. Clients that use"
        " the old one are led to the new one. If the command is interrupted, repeat it."
    )
    operation = "rename"

    async def work(self) -> None:
        """Rename the repository."""
        source, target = self["repo"], self["to"]
        with self.progress(None, f"renaming {source}") as progress:
            done = await self.administration.rename(source, target, self.by, progress.add)
        self.show(f"renamed {source} to {target}", target.path, done)


class CopyRepo(_MoveCommand):
    """The command line of ``giftless repo copy``."""

    longdesc = (
        "Copy the objects of a repository to another path. On a disk both share their bytes."
        " If the command is interrupted, repeat it."
    )
    operation = "copy"

    async def work(self) -> None:
        """Copy the repository."""
        source, target = self["repo"], self["to"]
        with self.progress(None, f"copying {source}") as progress:
            done = await self.administration.copy(source, target, self.by, progress.add)
        self.show(f"copied {source} to {target}", target.path, done)


class RemoveRepo(_RepoCommand):
    """The command line of ``giftless repo rm``."""

    synopsis = "[--config FILE] [--json] --really REPO"
    longdesc = (
        "Move all objects of a repository into the trash, and remove its locks. Without"
        " --really, only say how much that is, with status 1."
    )
    optFlags = [REALLY, JSON]
    operation = "remove"

    def parseArgs(self, *paths: str) -> None:
        """Take the repository."""
        if len(paths) != 1:
            raise usage.UsageError("say which repository: REPO")
        self["repo"] = repository(paths[0])

    async def work(self) -> None:
        """Remove the repository, or count its objects."""
        repo, work = self["repo"], self.administration
        if not self["really"]:
            count = total = 0
            async for entries in work.every(EntryQuery(repo=repo, limit=PAGE)):
                count += len(entries)
                total += sum(entry.size for entry in entries)
            raise CommandError(
                f"would move {counted(count, 'object')} of {harmless(repo.path)}, {size(total)},"
                " into the trash and remove its locks: say --really"
            )
        with self.progress(None, f"removing {repo}") as progress:
            done = await work.remove_repository(repo, self.by, progress.add)
        self.show(f"moved {repo} into the trash", "", done)


class AliasRepo(_RepoCommand):
    """The command line of ``giftless repo alias``."""

    synopsis = "[--config FILE] [--json] [NAME REPO | --remove NAME]"
    longdesc = (
        "Let NAME lead to REPO, or end that; without arguments, print one line for each name"
        " that leads to another repository. Names in the configuration (aliases) are not"
        " among them, and win."
    )
    optFlags = [["remove", "r", "End the name."], JSON_LINES]

    def parseArgs(self, *paths: str) -> None:
        """Take the name and the repository."""
        if len(paths) not in ((1,) if self["remove"] else (0, 2)):
            raise usage.UsageError("say NAME REPO, or --remove NAME, or nothing")
        self["paths"] = [repository(path) for path in paths]

    async def work(self) -> None:
        """Change a name, or print all."""
        work = self.administration
        if not self["paths"]:
            found = await work.aliases()
            write_lines(self._line(Alias(*pair)) for pair in sorted(found.items()))
            return
        name, kept = self["paths"][0], None if self["remove"] else self["paths"][1]
        await work.alias(name, kept, self.by)
        write_lines([self._line(Alias(name.path, None if kept is None else kept.path))])

    def _line(self, alias: Alias) -> str:
        if self["json"]:
            return as_json_line(alias)
        return harmless(f"{alias.name} -> {alias.repo or 'itself'}")


class RepoCommand(GroupCommand):
    """The command line of ``giftless repo``."""

    longdesc = "The daemon may run meanwhile."
    optParameters: Any = [CONFIG]
    subCommands = [
        ["rename", None, RenameRepo, "Give a repository another path."],
        ["copy", None, CopyRepo, "Copy the objects of a repository to another one."],
        ["rm", None, RemoveRepo, "Move a repository into the trash."],
        ["alias", None, AliasRepo, "List, make and end other names of repositories."],
    ]
