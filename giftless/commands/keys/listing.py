"""``giftless keys list``: which keys there are, and how many objects need each."""

from __future__ import annotations

import os
from contextlib import aclosing
from typing import Any

import msgspec

from giftless.app import config
from giftless.app.config import Config
from giftless.app.plugins import PartBuilder
from giftless.base.units import size_in_words
from giftless.commands import CONFIG, Command
from giftless.commands.harmless import harmless
from giftless.commands.object_commands import JSON_LINES
from giftless.commands.output import as_json_line, counted, write_lines
from giftless.commands.parts import use_parts
from giftless.commands.progress import Progress
from giftless.commands.recoding.stores import build_encrypted, places_of
from giftless.errors import LFSError
from giftless.interfaces import IEncryptedStore


class KeyReport(msgspec.Struct, kw_only=True):
    """A key; members as in ``docs/storage/encrypted.rst``."""

    key: str
    primary: bool
    available: bool
    objects: int | None = None
    size: int | None = None

    def line(self) -> str:
        """Write it for people."""
        words = ["primary" if self.primary else "", "" if self.available else "MISSING"]
        if self.objects is not None and self.size is not None:
            words.append(f"{counted(self.objects, 'object')} ({size_in_words(self.size)})")
        name = harmless(self.key) or "(not encrypted)"
        return "  ".join([name, *filter(None, words)])


class ListKeys(Command):
    """The command line of ``giftless keys list``."""

    synopsis = "[--config FILE] [--count] [--json]"
    longdesc = (
        "Print one line for each key, never the key itself. With --count, look at the head of"
        " every object, the trash included, and say how many need each key: one that no object"
        " needs can be removed, when 'giftless keys rotate' has found nothing to do for as long as"
        " uploads take."
    )
    optParameters = [CONFIG]
    optFlags = [["count", None, "Count the objects that need each key."], JSON_LINES]

    def run(self) -> None:
        """Print the keys."""
        parent: Any = self.parent
        use_parts(config.load(self["config"] or parent["config"], os.environ), self._list)

    async def _list(self, settings: Config, parts: PartBuilder) -> None:
        stores = build_encrypted(settings, parts)
        parts.environment.services.startService()
        for store in stores:
            reports = await self._reports(store)
            write_lines(as_json_line(each) if self["json"] else each.line() for each in reports)

    async def _reports(self, store: IEncryptedStore) -> list[KeyReport]:
        primary, ids = await store.keys.primary(), await store.keys.ids()
        reports = {
            name: KeyReport(key=name, primary=name == primary, available=True) for name in ids
        }
        if self["count"]:
            for report in reports.values():
                report.objects = report.size = 0
            with Progress(
                None, "objects", "looking", quiet=self["json"], summary=False
            ) as progress:
                await _count(store, reports, progress)
        return list(reports.values())


async def _count(store: IEncryptedStore, reports: dict[str, KeyReport], progress: Progress) -> None:
    """Count the objects that need each key."""
    places = places_of(store)
    for place in places.all:
        async with aclosing(places.pages(place)) as pages:
            async for page in pages:
                keys = [listed.key for listed in page.objects]
                seals = await store.seals(keys) if keys else ()
                for listed, seal in zip(page.objects, seals, strict=True):
                    if seal is None or isinstance(seal, LFSError):
                        continue
                    report = reports.setdefault(
                        seal,
                        KeyReport(key=seal, primary=False, available=not seal, objects=0, size=0),
                    )
                    assert report.objects is not None and report.size is not None
                    report.objects += 1
                    report.size += listed.size
                progress.add(len(keys))
