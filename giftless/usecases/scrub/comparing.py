"""Find what the catalogue knows and the store has not."""

from __future__ import annotations

from collections.abc import Sequence

from giftless.interfaces import Entry, ICatalogue, IObjectStore
from giftless.lfs.objects import ObjectKey
from giftless.usecases.fsck.findings import Finding, Outcome


async def lost_of(
    entries: Sequence[Entry], store: IObjectStore, catalogue: ICatalogue
) -> Sequence[Entry]:
    """Return the entries without an object.

    What somebody moves or deletes meanwhile is none of them: they are looked up twice.

    :param entries: as the catalogue had them a moment ago.
    :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
    """
    for _ in range(2):
        absent = await _absent(entries, store)
        if not absent:
            return ()
        known = await catalogue.look([entry.key for entry in absent])
        entries = [
            entry
            for entry, now in zip(absent, known, strict=True)
            if now is not None and (now.state, now.stored_at) == (entry.state, entry.stored_at)
        ]
    return entries


def missing(key: ObjectKey) -> Finding:
    """Make the finding for such an entry."""
    return Finding(Outcome.MISSING, "the catalogue knows it, but the store does not have it", key)


async def _absent(entries: Sequence[Entry], store: IObjectStore) -> Sequence[Entry]:
    if not entries:
        return ()
    sizes = await store.sizes([entry.key for entry in entries])
    return [entry for entry, size in zip(entries, sizes, strict=True) if size is None]
