"""``giftless keys rotate``: wrap the keys of all objects with the primary key."""

from __future__ import annotations

from typing import Any

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base.pace import Pace
from giftless.commands import CONFIG, Command
from giftless.commands.amounts import read_amounts
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.recoding.running import Run, in_words, run_to_status
from giftless.commands.recoding.stores import build_encrypted
from giftless.usecases.recoding.rotation import Rotation


class RotateKeys(Command):
    """The command line of ``giftless keys rotate``."""

    synopsis = "[--config FILE] [--jobs NUMBER] [--rate RATE] [--json]"
    longdesc = (
        "Wrap the data key of every object, the trash included, with the primary key, while"
        " clients push and pull. On a local disk 512 bytes of each object are written; in a"
        " bucket each object is copied through this machine, sealed. Run it again after an"
        " interruption: what is done is not done again. Exits with 0 if all objects have the"
        " primary key, with 2 if some could not be done, which are named, with 3 if there are"
        " always more, and with 1 if it could not do its work."
    )
    optParameters: Any = [
        CONFIG,
        ["jobs", "j", 8, "How many objects are worked on at once.", int],
        ["rate", "r", None, "Copy at most so many bytes a second in a bucket, such as 50M."],
    ]
    optFlags = [JSON_LINES]

    def postOptions(self) -> None:
        """Check the numbers."""
        read_amounts(self)

    def run(self) -> None:
        """Rotate the keys.

        :raises SystemExit: with another status than 0 if some objects are left.
        """
        run_to_status(self, self._rotate)

    async def _rotate(self, settings: Config, parts: PartBuilder) -> int:
        stores = build_encrypted(settings, parts)
        pace = Pace(self["rate"], parts.environment.reactor)
        parts.environment.services.startService()
        run = Run(parts, "rotating", self["jobs"], bool(self["json"]))
        report = await run.over(stores, lambda store: Rotation(store, pace))
        lines = [
            f"Wrapped with the primary key now: {in_words(report.done)}.",
            f"Wrapped with it before: {in_words(report.before)}.",
        ]
        if report.other.objects:
            lines.append(f"Not encrypted: {in_words(report.other)}; 'giftless encrypt' does that.")
        return run.summarise(report, lines)
