"""Base classes and options of commands on stored objects, which work beside a daemon."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar, Final

from twisted.python import usage

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.app.space import build_space
from giftless.commands import CONFIG, Command, who
from giftless.commands.parts import use_parts
from giftless.commands.progress import Progress
from giftless.usecases.administration import Administration
from giftless.usecases.locks import By

#: The option of commands that print one object of JSON for each line.
JSON_LINES: Final = ["json", "j", "Print one JSON object a line."]

#: The option of commands that print one object of JSON.
JSON: Final = ["json", "j", "Print one JSON object."]

#: The option of commands that cannot be undone.
REALLY: Final = ["really", None, "Do it; without this, only say what would be done."]


class ObjectsCommand(Command):
    """A command on stored objects.

    :cvar publishes: whether observers are told what it does.
    :cvar name: what it is called for observers.
    :ivar administration: does the work; set when :meth:`work` is called.
    """

    administration: Administration

    optParameters: Any = [CONFIG]
    publishes: ClassVar = False
    name: ClassVar = "giftless"

    def run(self) -> None:
        """Open the store and the catalogue, and work with them."""
        parent: Any = self.parent
        file = self["config"] or parent.get("config")

        async def use(settings: Config, parts: PartBuilder) -> None:
            space = build_space(settings, parts, self.publishes)
            self.administration = Administration(space, time.time)
            parts.environment.services.startService()
            await self.work()

        use_parts(config.load(file, os.environ), use)

    async def work(self) -> None:
        """Do the command's work, once everything is open."""
        raise NotImplementedError

    @property
    def by(self) -> By:
        """Who does it."""
        return By(who(self.name))

    def progress(self, total: int | None, what: str) -> Progress:
        """Make what shows the progress; the command says itself how much was done."""
        quiet = bool(self.get("json"))
        return Progress(total, "objects", what, quiet=quiet, summary=False)


class GroupCommand(Command):
    """A command that has subcommands and does nothing itself."""

    optParameters: Any = [CONFIG]
    subCommands: Any = []

    def postOptions(self) -> None:
        """Insist on a subcommand."""
        if self.subCommand is None:
            names = ", ".join(name for name, *_ in self.subCommands)
            raise usage.UsageError(f"say what to do: {names} (see --help)")

    def run(self) -> None:
        """Run the subcommand."""
        self.subOptions.run()
