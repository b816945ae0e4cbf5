"""``giftless compress``: compress what was stored before the storage compressed."""

from __future__ import annotations

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base.pace import Pace
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.recoding.in_place import InPlaceCommand
from giftless.commands.recoding.running import Run, in_words
from giftless.commands.recoding.stores import build_compressing
from giftless.interfaces import ICompressingStore
from giftless.usecases.migration.copier import Copier
from giftless.usecases.recoding.anew import Anew
from giftless.usecases.recoding.compressing import Compressing


class CompressCommand(InPlaceCommand):
    """The command line of ``giftless compress``."""

    longdesc = (
        "Compress what is stored as it is, of REPO (paths, or patterns such as 'acme/*') or of"
        " all repositories, the trash included, while clients push and pull: of each object the"
        " beginning is tried, and if compressing it saves enough, the object is read, compared"
        " with its oid and stored again. Run it again after an interruption: what is compressed"
        " is not read again. Exits with 0 if all was gone through, with 2 if some objects could"
        " not be compressed, which are named and stay as they are, and with 1 if it could not do"
        " its work."
    )
    optFlags = [
        ["dry-run", "n", "Change nothing; say how much is to be compressed."],
        JSON_LINES,
    ]

    async def work(self, settings: Config, parts: PartBuilder) -> int:
        """See :meth:`InPlaceCommand.work`."""
        stores = build_compressing(settings, parts)
        lent, dry = parts.environment, bool(self["dry-run"])
        pace = Pace(self["rate"], lent.reactor)
        lent.services.startService()

        def make(store: ICompressingStore) -> Compressing:
            if dry:
                return Compressing(store, pace, None)
            around = (lent.blocking, lent.reactor, pace, lambda _: None)
            return Compressing(store, pace, Anew(store, Copier(store, store, *around)))

        run = Run(parts, "looking" if dry else "compressing", self["jobs"], bool(self["json"]))
        # What arrives meanwhile is compressed as it comes, so one pass finds all.
        report = await run.over(stores, make, self["patterns"], once=True)
        lines = [
            f"{'To be compressed' if dry else 'Compressed now'}: {in_words(report.done)}.",
            f"Compressed before: {in_words(report.before)}.",
            f"Not worth it: {in_words(report.other)}.",
        ]
        return run.summarise(report, lines)
