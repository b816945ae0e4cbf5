"""``giftless rm``: move objects into the trash, from which they can be brought back."""

from __future__ import annotations

from typing import Any

from twisted.python import usage

from giftless.commands import CONFIG
from giftless.commands.arguments import in_pages, oids, repository
from giftless.commands.object_commands import JSON_LINES, ObjectsCommand
from giftless.commands.output import must_be_complete, report_results
from giftless.usecases.administration import MAX_REASON


class RmCommand(ObjectsCommand):
    """The command line of ``giftless rm``."""

    synopsis = "[--config FILE] [--reason WORDS] [--json] REPO OID..."
    longdesc = (
        "Move objects of REPO into the trash, and print what became of each. An OID may be -,"
        " for those on stdin, one a line. 'giftless trash restore' undoes it, as long as the"
        " trash keeps them. What somebody else is moving just now is spared."
    )
    optParameters: Any = [
        CONFIG,
        ["reason", "r", "", "Why; clients that ask for the objects are told."],
    ]
    optFlags = [JSON_LINES]
    name = "giftless rm"
    publishes = True

    def parseArgs(self, *arguments: str) -> None:
        """Take the repository and the oids."""
        if len(arguments) < 2:
            raise usage.UsageError("say of which repository, and which objects: REPO OID...")
        self["repo"] = repository(arguments[0])
        self["oids"] = arguments[1:]
        # A wrong one is found before anything is moved.
        list(oids([text for text in arguments[1:] if text != "-"]))

    def postOptions(self) -> None:
        """Check the reason."""
        if len(self["reason"]) > MAX_REASON:
            raise usage.UsageError(f"--reason has at most {MAX_REASON} characters")

    async def work(self) -> None:
        """Move the objects, page by page."""
        reports = []
        for keys in in_pages(self["repo"], oids(self["oids"])):
            done = await self.administration.remove(keys, self["reason"], self.by)
            report_results(done, self["json"])
            reports += [report for report in done if report.result != "moved"]
        must_be_complete(reports, "moved")
