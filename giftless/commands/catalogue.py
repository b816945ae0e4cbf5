"""``giftless catalogue``: compare the catalogue with the store, and make it anew.

Works beside a daemon that runs, on the parts that its configuration names.
"""

from __future__ import annotations

import os
import time

import msgspec
from twisted.python import usage

from giftless.app import config
from giftless.app.backends import build_catalogue
from giftless.app.config import Config
from giftless.app.forwarding import refuse_forwarding
from giftless.app.plugins import PartBuilder
from giftless.commands import CONFIG, Command, CommandError
from giftless.commands.parts import use_parts
from giftless.commands.progress import Progress
from giftless.interfaces import IStorageFactory
from giftless.usecases.rebuilding import Drift, Rebuilding


class RebuildCatalogue(Command):
    """The command line of ``giftless catalogue rebuild``."""

    synopsis = "[--config FILE] [--dry-run] [--json]"
    longdesc = (
        "List what the store has, and let the catalogue agree with it: what it lacks is added,"
        " sizes and places are corrected, and what is nowhere is removed.  Nothing in the store"
        " changes, and the daemon may serve meanwhile.  Exits with 0 if all was compared, and"
        " with 1 if something failed; to run it again does no harm."
    )
    optParameters = [CONFIG]
    optFlags = [
        ["dry-run", "n", "Compare only, and leave the catalogue as it is."],
        ["json", "j", "Print one JSON document."],
    ]

    def run(self) -> None:
        """Compare, and say what differed."""
        assert self.parent is not None, "it is a subcommand"
        file = self["config"] or self.parent["config"]
        use_parts(config.load(file, os.environ), self._rebuild)

    async def _rebuild(self, settings: Config, parts: PartBuilder) -> None:
        catalogue = build_catalogue(settings, parts)
        if catalogue is None:
            raise CommandError("the configuration says that there is no catalogue (catalogue.type)")
        store = parts.build(IStorageFactory, settings.storage, "storage")
        refuse_forwarding(store)
        around = parts.environment
        corrects, began = not self["dry-run"], time.monotonic()
        progress = Progress(None, "objects", "comparing", quiet=self["json"])
        rebuilding = Rebuilding(
            store, catalogue, around.wall_clock, around.blocking, corrects, progress.add
        )
        around.services.startService()
        with progress:
            drift = await rebuilding.run()
        seconds = time.monotonic() - began
        print(_json(drift, corrects, seconds) if self["json"] else _words(drift, corrects))


class CatalogueCommand(Command):
    """The command line of ``giftless catalogue``."""

    longdesc = "The daemon may run meanwhile."
    optParameters = [CONFIG]
    subCommands = [
        ["rebuild", None, RebuildCatalogue, "Let the catalogue agree with the store."],
    ]

    def postOptions(self) -> None:
        """Insist on a subcommand."""
        if self.subCommand is None:
            raise usage.UsageError("what about the catalogue? There is: rebuild")

    def run(self) -> None:
        """Run the subcommand."""
        self.subOptions.run()


def _words(drift: Drift, corrected: bool) -> str:
    added, changed, removed = (
        ("added", "corrected", "removed") if corrected else ("not added", "not corrected", "kept")
    )
    return "\n".join(
        (
            f"{drift.listed} objects are stored, {drift.trashed} are in the trash.",
            f"{drift.missing} were missing in the catalogue: {added}.",
            f"{drift.surplus} were in the catalogue alone: {removed}.",
            f"{drift.wrong_size} had another size there: {changed}.",
            f"{drift.wrong_place} were said to be in the trash or not, wrongly: {changed}.",
        )
    )


def _json(drift: Drift, corrected: bool, seconds: float) -> str:
    found = {**msgspec.structs.asdict(drift), "corrected": corrected, "seconds": round(seconds, 3)}
    return msgspec.json.encode(found).decode()
