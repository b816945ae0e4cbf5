"""``giftless encrypt``: seal what was stored before the storage was encrypted."""

from __future__ import annotations

from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base.pace import Pace
from giftless.commands.harmless import harmless
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.output import counted
from giftless.commands.recoding.in_place import InPlaceCommand
from giftless.commands.recoding.running import Run, in_words
from giftless.commands.recoding.stores import build_encrypted, places_of
from giftless.interfaces import IEncryptedStore, Oddity
from giftless.usecases.migration.copier import Copier
from giftless.usecases.recoding.anew import Anew
from giftless.usecases.recoding.encrypting import Encrypting


class EncryptCommand(InPlaceCommand):
    """The command line of ``giftless encrypt``."""

    longdesc = (
        "Encrypt what is stored as it is, or only compressed, of REPO (paths, or patterns such"
        " as 'acme/*') or of all repositories, the trash included, while clients push and pull:"
        " each object is read, compared with its oid and stored again. Run it again after an"
        " interruption: what is encrypted is not read again. Exits with 0 if all is encrypted,"
        " with 2 if some objects could not be, which are named and stay as they are, with 3 if"
        " there are always more, and with 1 if it could not do its work."
    )
    optFlags = [
        ["dry-run", "n", "Change nothing; say how much is to be encrypted."],
        JSON_LINES,
    ]

    async def work(self, settings: Config, parts: PartBuilder) -> int:
        """See :meth:`InPlaceCommand.work`."""
        stores = build_encrypted(settings, parts)
        lent, dry = parts.environment, bool(self["dry-run"])
        pace = Pace(self["rate"], lent.reactor)
        lent.services.startService()

        def make(store: IEncryptedStore) -> Encrypting:
            if dry:
                return Encrypting(store, None)
            around = (lent.blocking, lent.reactor, pace, lambda _: None)
            return Encrypting(store, Anew(store, Copier(store.anyhow, store, *around)))

        doing = "looking" if dry else "encrypting"
        run = Run(parts, doing, self["jobs"], bool(self["json"]))
        report = await run.over(stores, make, self["patterns"], once=dry)
        lines = [
            f"{'To be encrypted' if dry else 'Encrypted now'}: {in_words(report.done)}.",
            f"Encrypted before: {in_words(report.before)}.",
        ]
        if not self["json"]:
            lines += await self._beside(stores, lent.wall_clock())
        return run.summarise(report, lines)

    async def _beside(self, stores: list[IEncryptedStore], now: float) -> list[str]:
        """Say what is stored beside objects, and may be plaintext."""
        found: list[Oddity] = []
        for store in stores:
            found += await places_of(store, self["patterns"]).leftovers(now)
        if not found:
            return []
        return [
            f"Beside the objects there may be plaintext in {counted(len(found), 'place')}:",
            *(harmless(f"  {oddity.path}: {oddity.problem}") for oddity in found),
        ]
