"""Copy what a catalogue knows to another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from giftless.interfaces import Entry, EntryQuery, ICatalogue, State

#: How many entries are copied at once.
PAGE: Final = 1000


class EntryReport(msgspec.Struct):
    """What was copied.

    :ivar entries: how many entries the old catalogue has.
    :ivar copied: how many of them the new one did not know, or only as they were before.
    :ivar aliases: how many names that lead to another one were copied.
    """

    entries: int = 0
    copied: int = 0
    aliases: int = 0


async def copy_entries(
    source: ICatalogue, target: ICatalogue, done: Callable[[int], object]
) -> EntryReport:
    """Copy all entries, and the names that lead to other ones.

    What the new catalogue knows better stays: so it can be done again when the new one is
    used already, for what came to the old one at last.

    :param done: is told how many more entries were looked at.
    :raises ServiceUnavailable: if one of the catalogues fails.
    """
    report = EntryReport()
    known = await target.aliases()
    for name, kept in (await source.aliases()).items():
        if name not in known:
            await target.alias(name, kept)
            report.aliases += 1
    query = EntryQuery(states=frozenset(State), limit=PAGE)
    while True:
        page = await source.page(query)
        entries = page.entries
        there = await target.look([entry.key for entry in entries])
        newer = [
            entry
            for entry, other in zip(entries, there, strict=True)
            if other is None or _changed_at(entry) > _changed_at(other)
        ]
        if newer:
            report.copied += await target.merge(newer)
        report.entries += len(entries)
        done(len(entries))
        if page.next_cursor is None:
            return report
        query = msgspec.structs.replace(query, cursor=page.next_cursor)


def _changed_at(entry: Entry) -> float:
    return max(entry.stored_at, entry.offered_at, entry.moved_at)
