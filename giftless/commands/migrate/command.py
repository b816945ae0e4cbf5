"""The command line of ``giftless migrate``."""

from __future__ import annotations

import os
from typing import Any

from twisted.python import usage

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base.units import Size
from giftless.commands import CONFIG, Command, who
from giftless.commands.migrate.databases import migrate_catalogue, migrate_locks
from giftless.commands.migrate.objects import Choices, ObjectMigration
from giftless.commands.migrate.problems import told_problems
from giftless.commands.parts import use_parts
from giftless.usecases.locks import By

#: How many threads hash and use disks.
_THREADS = 4


class MigrateCommand(Command):
    """Moves objects."""

    synopsis = (
        "[--config FILE] [--locks | --catalogue] [--jobs NUMBER] [--rate RATE] [--no-trash]"
        " [--verify-only] [--json] [FROM TO]"
    )
    longdesc = (
        "Copy all objects of the storage FROM to the storage TO, while clients push and pull,"
        " and verify the bytes of each. FROM and TO are sections of the configuration, such as"
        " storage.from and storage.to (which is what they are if they are not given), or other"
        " configuration files. Nothing is removed from FROM. Run it again after an"
        " interruption: it goes on. Exits with 0 if TO has everything, with 2 if objects of"
        " FROM are damaged and were left, with 3 if something else is missing in TO, and with"
        " 1 if it could not do its work."
    )
    optParameters: Any = [
        CONFIG,
        ["jobs", "j", 8, "How many objects are copied at once.", int],
        ["rate", "r", None, "How many bytes a second are read at most, such as 50M.", Size.of],
    ]
    optFlags = [
        ["locks", None, "Copy locks instead: of locks.from to locks.to, or of FROM to TO."],
        ["catalogue", None, "Copy the catalogue instead, and compare it with the storage."],
        ["no-trash", None, "Leave the trash where it is."],
        ["verify-only", None, "Copy nothing; compare TO with FROM, and read what is in TO."],
        ["json", None, "Print JSON lines: one for each object that is left, and a summary."],
    ]

    def parseArgs(self, *names: str) -> None:
        """Take the two places."""
        if len(names) not in (0, 2):
            raise usage.UsageError("say both, FROM and TO, or none")
        self["names"] = names or None

    def postOptions(self) -> None:
        """Check the numbers."""
        if self["locks"] and self["catalogue"]:
            raise usage.UsageError("move locks first, and then the catalogue")
        if not 1 <= self["jobs"] <= 1000:
            raise usage.UsageError("--jobs is a number from 1 to 1000")
        if self["rate"] is not None and self["rate"] < 1:
            raise usage.UsageError("--rate must be 1 or more")

    def run(self) -> None:
        """Move the objects.

        :raises SystemExit: with another status than 0 if not everything has moved.
        """
        parent: Any = self.parent
        file = self["config"] or parent.get("config")
        status = 0
        choices = Choices(
            names=self["names"],
            jobs=self["jobs"],
            rate=self["rate"],
            trash=not self["no-trash"],
            verify_only=bool(self["verify-only"]),
            as_json=bool(self["json"]),
        )

        async def migrate(settings: Config, parts: PartBuilder) -> None:
            nonlocal status
            for option, move in (("locks", migrate_locks), ("catalogue", migrate_catalogue)):
                if self[option]:
                    status = await move(choices.names, settings, parts, choices.as_json)
                    return
            by = By(who("giftless migrate"))
            with told_problems():
                status = await ObjectMigration(choices, settings, parts, by).run()

        use_parts(config.load(file, os.environ), migrate, _THREADS)
        if status:
            raise SystemExit(status)
