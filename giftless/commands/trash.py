"""``giftless trash``: what was deleted, bring it back, or delete it for good."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.python import usage

from giftless.base.units import Duration
from giftless.commands import CONFIG, CommandError
from giftless.commands.arguments import in_pages, oids, repository
from giftless.commands.object_commands import JSON, JSON_LINES, REALLY, GroupCommand, ObjectsCommand
from giftless.commands.output import (
    age,
    as_json_line,
    counted,
    must_be_complete,
    report_results,
    short,
    write_lines,
)
from giftless.commands.units import size, span
from giftless.interfaces.catalogue import Entry
from giftless.lfs.objects import Repo
from giftless.usecases.reports import TrashReport


class _TrashCommand(ObjectsCommand):
    """What the subcommands have."""

    name = "giftless trash"

    def parseArgs(self, path: str | None = None) -> None:
        """Take the repository, if there is one."""
        self["repo"] = None if path is None else repository(path)


class ListTrash(_TrashCommand):
    """The command line of ``giftless trash list``."""

    synopsis = "[--config FILE] [--json] [REPO]"
    longdesc = (
        "Print one line for each object in the trash, of REPO or of all repositories: its size,"
        " how long ago it was moved there, how long it is kept yet, its oid, the repository"
        " unless REPO is given, who moved it, a name that it had, and why it was moved."
    )
    optFlags = [JSON_LINES]

    async def work(self) -> None:
        """Print the objects, page by page."""
        repo, trash = self["repo"], self.administration
        if not self["json"] and sys.stdout.isatty():
            write_lines([_heading(repo)])
        async for entries in trash.trashed(repo):
            now = time.time()
            write_lines(
                as_json_line(TrashReport.of(entry, trash.keep))
                if self["json"]
                else _line(entry, repo, trash.keep, now)
                for entry in entries
            )


class RestoreTrash(ObjectsCommand):
    """The command line of ``giftless trash restore``."""

    synopsis = "[--config FILE] [--json] REPO OID... | --all REPO"
    longdesc = (
        "Bring objects of REPO back from the trash, and print what became of each. An OID may"
        " be -, for those on stdin, one a line."
    )
    optFlags = [["all", "a", "Bring everything of REPO back."], JSON_LINES]
    name = "giftless trash"
    publishes = True

    def parseArgs(self, *arguments: str) -> None:
        """Take the repository and the oids."""
        if not arguments or (len(arguments) > 1) == bool(self["all"]):
            raise usage.UsageError("say REPO OID..., or --all REPO")
        self["repo"] = repository(arguments[0])
        self["oids"] = arguments[1:]
        list(oids([text for text in arguments[1:] if text != "-"]))

    async def work(self) -> None:
        """Bring the objects back, page by page."""
        left = []
        if self["all"]:
            with self.progress(None, f"restoring {self['repo']}") as progress:
                async for entries in self.administration.trashed(self["repo"]):
                    keys = [entry.key for entry in entries]
                    done = await self.administration.restore(keys, self.by)
                    progress.add(len(keys))
                    left += [report for report in done if report.result != "restored"]
                    if self["json"]:
                        report_results(done, True)
            if not self["json"]:
                write_lines([f"restored {counted(progress.count - len(left), 'object')}"])
        else:
            for keys in in_pages(self["repo"], oids(self["oids"])):
                done = await self.administration.restore(keys, self.by)
                report_results(done, self["json"])
                left += [report for report in done if report.result != "restored"]
        must_be_complete(left, "restored")


class EmptyTrash(_TrashCommand):
    """The command line of ``giftless trash empty``."""

    synopsis = "[--config FILE] [--older-than DURATION] [--json] --really [REPO]"
    longdesc = (
        "Delete what is in the trash for good, of REPO or of all repositories. Without"
        " --really, only say how much that is, with status 1."
    )
    optParameters: Any = [
        CONFIG,
        ["older-than", "o", 0.0, "Only what has been there for so long, such as 7d.", Duration.of],
    ]
    optFlags = [REALLY, JSON]
    publishes = True

    async def work(self) -> None:
        """Delete the objects, or count them."""
        repo, older_than = self["repo"], self["older-than"]
        trash = self.administration
        count = total = 0
        async for entries in trash.trashed(repo, older_than):
            count += len(entries)
            total += sum(entry.size for entry in entries)
        if not self["really"]:
            if self["json"]:
                write_lines([as_json_line(_Emptied(False, count, total))])
            raise CommandError(
                f"would delete {counted(count, 'object')}, {size(total)}, for good: say --really"
            )
        with self.progress(count, "emptying the trash") as progress:
            deleted = await trash.empty(repo, older_than, self.by, progress.add)
        if self["json"]:
            write_lines([as_json_line(_Emptied(True, deleted, total))])
        else:
            write_lines([f"deleted {counted(deleted, 'object')} for good"])


class TrashCommand(GroupCommand):
    """The command line of ``giftless trash``."""

    longdesc = "The daemon may run meanwhile."
    subCommands = [
        ["list", None, ListTrash, "Show what was deleted."],
        ["restore", None, RestoreTrash, "Bring objects back."],
        ["empty", None, EmptyTrash, "Delete objects for good."],
    ]


class _Emptied(msgspec.Struct, frozen=True):
    """What was deleted, or would have been.

    :ivar size: how many bytes were found in the trash before.
    """

    deleted: bool
    objects: int
    size: int


def _heading(repo: Repo | None) -> str:
    where = "" if repo else "REPOSITORY  "
    return f"{'SIZE':>8}  {'MOVED':>12}  {'KEPT YET':>12}  {'OID':<64}  {where}WHO  NAME  REASON"


def _line(entry: Entry, repo: Repo | None, keep: float, now: float) -> str:
    where = "" if repo else f"{short(entry.key.repo.path)}  "
    left = span(max(0.0, entry.moved_at + keep - now))
    times = f"{age(entry.moved_at, now):>12}  {left:>12}"
    words: Sequence[str] = (short(entry.moved_by, 24), short(entry.filename), short(entry.reason))
    return f"{size(entry.size):>8}  {times}  {entry.key.oid}  {where}{'  '.join(words)}"
