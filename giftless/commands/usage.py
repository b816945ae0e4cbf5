"""``giftless usage``: how much is stored, and whose it is."""

from __future__ import annotations

from typing import Any, get_args

from twisted.python import usage

from giftless.commands import CONFIG
from giftless.commands.arguments import repository
from giftless.commands.object_commands import JSON, ObjectsCommand
from giftless.commands.output import as_json_line, short, write_lines
from giftless.commands.units import size
from giftless.interfaces.catalogue import By, UsageRow
from giftless.usecases.reports import UsageReport

#: By what usage is told.
KINDS = get_args(By)


class UsageCommand(ObjectsCommand):
    """The command line of ``giftless usage``."""

    synopsis = "[--config FILE] [--by WHAT] [--limit NUMBER] [--json] [REPO]"
    longdesc = (
        "Print how much is stored and how much is in the trash, the largest first: of REPO and"
        " of the repositories below its path, or of all. The last lines are of everything in"
        " question, and say what that takes in the store, which may keep equal objects once."
    )
    optParameters: Any = [
        CONFIG,
        ["by", "b", "repo", f"One of {', '.join(KINDS)}; age is by month, name by extension."],
        ["limit", "l", 1000, "The most lines.", int],
    ]
    optFlags = [JSON]

    def parseArgs(self, path: str = "") -> None:
        """Take the repository."""
        self["repo"] = repository(path).path if path else ""

    def postOptions(self) -> None:
        """Check by what usage is to be told."""
        if self["by"] not in KINDS:
            raise usage.UsageError(f"--by is one of {', '.join(KINDS)}")
        if not 1 <= self["limit"] <= 10_000:
            raise usage.UsageError("--limit is from 1 to 10000")

    async def work(self) -> None:
        """Print what the catalogue adds up."""
        report = await self.administration.usage(self["by"], self["repo"], self["limit"], True)
        write_lines([as_json_line(report)] if self["json"] else _table(report))


def _table(report: UsageReport) -> list[str]:
    return [
        f"{'STORED':>8}  {'OBJECTS':>11}  {'TRASH':>8}  {'OBJECTS':>11}  {report.by.upper()}",
        *(_row(row, short(row.name)) for row in report.rows),
        _row(report.total, "in total"),
        f"{size(report.logical_size):>8}  have all objects together, the trash included",
        f"{size(report.physical_size):>8}  they take in the store",
    ]


def _row(row: UsageRow, name: str) -> str:
    stored = f"{size(row.size):>8}  {row.objects:>11,}"
    return f"{stored}  {size(row.trashed_size):>8}  {row.trashed:>11,}  {name}"
