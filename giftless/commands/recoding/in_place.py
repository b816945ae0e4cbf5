"""The command line of what codes stored objects anew where they are."""

from __future__ import annotations

from typing import Any

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.commands import CONFIG, Command
from giftless.commands.amounts import read_amounts
from giftless.commands.recoding.running import run_to_status


class InPlaceCommand(Command):
    """What ``giftless encrypt`` and ``giftless compress`` are given."""

    synopsis = "[--config FILE] [--dry-run] [--jobs NUMBER] [--rate RATE] [--json] [REPO...]"
    optParameters: Any = [
        CONFIG,
        ["jobs", "j", 4, "How many objects are worked on at once.", int],
        ["rate", "r", None, "Read at most so many bytes a second, such as 50M."],
    ]

    def parseArgs(self, *patterns: str) -> None:
        """Take the repositories."""
        self["patterns"] = patterns

    def postOptions(self) -> None:
        """Check the numbers."""
        read_amounts(self)

    def run(self) -> None:
        """Do the work.

        :raises SystemExit: with another status than 0 if some objects are left.
        """
        run_to_status(self, self.work)

    async def work(self, settings: Config, parts: PartBuilder) -> int:
        """Go through what is stored.

        :param settings: the configuration.
        :param parts: builds what it names.
        :returns: the status to exit with.
        """
        raise NotImplementedError
