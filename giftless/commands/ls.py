"""``giftless ls``: which objects are stored, how large, how old, whose, and called what."""

from __future__ import annotations

import sys
import time
from typing import Any

from twisted.python import usage

from giftless.commands import CONFIG
from giftless.commands.arguments import repository
from giftless.commands.object_commands import JSON_LINES, ObjectsCommand
from giftless.commands.output import age, as_json_line, short, write_lines
from giftless.commands.units import size
from giftless.interfaces.catalogue import Entry, EntryQuery
from giftless.lfs.objects import Repo
from giftless.usecases.administration import PAGE
from giftless.usecases.reports import ObjectReport

#: The orders of a list.
ORDERS = ("path", "size", "stored", "offered")

#: How wide a person's name is.
_WHO = 16


class LsCommand(ObjectsCommand):
    """The command line of ``giftless ls``."""

    synopsis = "[--config FILE] [--sort ORDER] [--limit NUMBER] [--json] [REPO]"
    longdesc = (
        "Print one line for each stored object, of REPO or of all repositories: its size, how"
        " long ago it was stored and last offered by a client that pushes, its oid, the"
        " repository unless REPO is given, who stored it, and a name that it has."
    )
    optParameters: Any = [
        CONFIG,
        ["sort", "s", "path", f"One of {', '.join(ORDERS)}: largest or oldest first."],
        ["limit", "l", None, "The most objects; all, if it is not given.", int],
    ]
    optFlags = [JSON_LINES]

    def parseArgs(self, path: str | None = None) -> None:
        """Take the repository."""
        self["repo"] = None if path is None else repository(path)

    def postOptions(self) -> None:
        """Check the order and the number."""
        if self["sort"] not in ORDERS:
            raise usage.UsageError(f"--sort is one of {', '.join(ORDERS)}")
        if self["limit"] is not None and self["limit"] < 1:
            raise usage.UsageError("--limit must be 1 or more")

    async def work(self) -> None:
        """Print the objects, page by page."""
        repo, left = self["repo"], self["limit"]
        limit = PAGE if left is None else min(left, PAGE)
        query = EntryQuery(repo=repo, order=self["sort"], limit=limit)
        if not self["json"] and sys.stdout.isatty():
            write_lines([_heading(repo)])
        async for entries in self.administration.every(query):
            shown = entries if left is None else entries[:left]
            now = time.time()
            write_lines(
                as_json_line(ObjectReport.of(entry)) if self["json"] else _line(entry, repo, now)
                for entry in shown
            )
            if left is not None and not (left := left - len(shown)):
                return


def _heading(repo: Repo | None) -> str:
    where = "" if repo else "REPOSITORY  "
    return f"{'SIZE':>8}  {'STORED':>12}  {'OFFERED':>12}  {'OID':<64}  {where}WHO  NAME"


def _line(entry: Entry, repo: Repo | None, now: float) -> str:
    key = entry.key
    where = "" if repo else f"{short(key.repo.path)}  "
    times = f"{age(entry.stored_at, now):>12}  {age(entry.offered_at, now):>12}"
    who = short(entry.who, _WHO)
    return f"{size(entry.size):>8}  {times}  {key.oid}  {where}{who}  {short(entry.filename)}"
