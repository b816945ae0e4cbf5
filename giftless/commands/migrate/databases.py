"""Move locks, or the catalogue, from one database to another one."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from giftless.app.config import Config
from giftless.app.forwarding import refuse_forwarding
from giftless.app.plugins import PartBuilder
from giftless.commands import CommandError
from giftless.commands.harmless import harmless
from giftless.commands.migrate.places import Place, find_places, is_served
from giftless.commands.progress import Progress
from giftless.interfaces import ICatalogueFactory, ILockStoreFactory, IStorageFactory
from giftless.usecases.locks import LockPolicy
from giftless.usecases.migration.entries import copy_entries
from giftless.usecases.migration.locks import LockMigration
from giftless.usecases.rebuilding import Rebuilding


async def migrate_locks(
    names: tuple[str, str] | None, settings: Config, parts: PartBuilder, as_json: bool
) -> int:
    """Copy all locks, and say how many there were.

    :param names: ``FROM`` and ``TO``; ``None`` if they were not given.
    :returns: the status to exit with.
    :raises CommandError: if it cannot be done.
    """
    places = find_places("locks", names, settings)
    source, target = (
        _required(place, place.build(ILockStoreFactory, parts, LockPolicy.__struct_fields__))
        for place in places
    )
    parts.environment.services.startService()
    report = await LockMigration(source, target, is_served("locks", *places, settings)).run()
    if as_json:
        print(json.dumps({"summary": msgspec.to_builtins(report)}))
    else:
        for conflict in report.conflicts:
            print(harmless(f"not copied: {conflict}"))
        print(f"{report.locks:,} locks in {places[0].text}; copied now: {report.copied:,}.")
        if report.removed:
            print(f"Removed from {places[1].text}, because they are released: {report.removed:,}.")
        if not report.complete:
            print("Not every lock has moved: look at the ones above, and run this again.")
    return 0 if report.complete else 3


async def migrate_catalogue(
    names: tuple[str, str] | None, settings: Config, parts: PartBuilder, as_json: bool
) -> int:
    """Copy what one catalogue knows to another one, and correct that by the storage.

    :returns: the status to exit with.
    :raises CommandError: if it cannot be done.
    """
    places = find_places("catalogue", names, settings)
    source, target = (_required(place, place.build(ICatalogueFactory, parts)) for place in places)
    store = parts.build(IStorageFactory, settings.storage, "storage")
    refuse_forwarding(store)
    around = parts.environment
    progress = Progress(None, "objects", "copying", quiet=as_json)
    comparing = Progress(None, "objects", "comparing with the storage", quiet=as_json)
    rebuilding = Rebuilding(store, target, around.wall_clock, around.blocking, True, comparing.add)
    around.services.startService()
    with progress:
        report = await copy_entries(source, target, progress.add)
    with comparing:
        drift = await rebuilding.run()
    if as_json:
        both = {**msgspec.to_builtins(report), "drift": msgspec.to_builtins(drift)}
        print(json.dumps({"summary": both}))
    else:
        print(f"{report.entries:,} entries in {places[0].text}; copied now: {report.copied:,}.")
        print(f"Names that lead to other repositories, copied now: {report.aliases:,}.")
        print(
            f"Compared with {drift.listed:,} stored objects and {drift.trashed:,} in the trash:"
            f" {drift.missing:,} added, {drift.surplus:,} removed,"
            f" {drift.wrong_size + drift.wrong_place:,} corrected."
        )
    return 0


def _required(place: Place, part: Any) -> Any:
    if part is None:
        raise CommandError(f"{place.text} is of the type 'none': there is nothing to move")
    return part
