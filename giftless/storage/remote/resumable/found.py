"""Find out what a store has of an upload, which nobody but the store knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from giftless.base.concurrency import settle
from giftless.interfaces import PartUpload
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import Oid
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container, FoundPart
from giftless.storage.remote.listing import PAGE, Entry
from giftless.storage.remote.multipart import MAX_UPLOADS
from giftless.storage.remote.resumable.staging import Piece, Staging


@dataclass(slots=True)
class Found:
    """What has come.

    :ivar plan: how the object is divided.  One of a single part is never an upload in
        parts: it is kept in pieces until it is stored.
    :ivar pieces: those that count, or whose bytes are in others that do.
    :ivar others: the names of what lies there and does not count.
    :ivar changed: when something came last, in seconds since the epoch; 0 for nothing.
    :ivar whole: whether all parts have become one object.
    :ivar upload: the upload in parts; ``None`` if there is none yet.
    :ivar parts: its parts, from the first one to the first that is missing.
    """

    plan: PartPlan
    pieces: set[Piece] = field(default_factory=set)
    others: set[Oid] = field(default_factory=set)
    changed: float = 0.0
    whole: bool = False
    upload: PartUpload | None = None
    parts: dict[int, FoundPart] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether the upload has begun."""
        return bool(self.pieces or self.parts) or self.whole

    @property
    def in_parts(self) -> int:
        """How many bytes the parts have."""
        return min(len(self.parts) * self.plan.part_size, self.plan.size)

    @property
    def row(self) -> Sequence[Piece]:
        """The pieces that lead farthest behind the parts, one behind the other."""
        return row_of(self.pieces, self.in_parts)

    @property
    def offset(self) -> int:
        """How many bytes have come without a gap."""
        if self.whole:
            return self.plan.size
        return self.in_parts + sum(piece.length for piece in self.row)


def row_of(pieces: Iterable[Piece], start: int) -> Sequence[Piece]:
    """Return the pieces that lead farthest, one behind the other; few rather than many.

    Two daemons may have gone on from the same place, so pieces may overlap.

    :param start: where the first one begins.
    """
    rows: dict[int, tuple[Piece, ...]] = {start: ()}
    for piece in sorted(pieces):
        if piece.start not in rows:
            continue
        row = (*rows[piece.start], piece)
        if piece.end not in rows or len(row) < len(rows[piece.end]):
            rows[piece.end] = row
    return rows[max(rows)]


async def find(container: Container, staging: Staging, plan: PartPlan) -> Found:
    """Ask a store what has come of an upload.

    :raises StoreError: if it does not say.
    """
    found = Found(plan)
    for entry in await list_all(container, f"{staging.folder.path}/"):
        here = Staging.of_path(entry.name.removeprefix(container.layout.below("")))
        if here is None:
            continue
        name = here[1]
        piece = Piece.of_name(name)
        if name == staging.name and plan.count > 1:
            found.whole = entry.size == plan.size
        elif piece is not None and _fits(piece, plan) and entry.size == piece.length:
            found.pieces.add(piece)
        else:
            found.others.add(name)
        found.changed = max(found.changed, entry.modified)
    if plan.count > 1 and not found.whole:
        await _find_parts(container, staging, found)
    # What is behind a gap must not count when the gap is closed: nobody knows by whom.
    behind = {piece for piece in found.pieces if piece.end > found.offset}
    found.pieces -= behind
    found.others |= {piece.name for piece in behind}
    return found


def _fits(piece: Piece, plan: PartPlan) -> bool:
    """Whether a piece is within one part."""
    part = plan.part(piece.start // plan.part_size + 1)
    return part is not None and piece.end <= part.pos + part.size


async def _find_parts(container: Container, staging: Staging, found: Found) -> None:
    """Find the upload in parts of which most has come.

    Two daemons that do not know of each other may have begun one each.
    """
    names = await container.find_uploads(staging.whole)
    uploads = [PartUpload(name, found.plan) for name in names[:MAX_UPLOADS]]
    looks = await settle(_parts_of(container, staging, upload) for upload in uploads)
    for upload, parts in zip(uploads, looks, strict=True):
        if found.upload is None or len(parts) > len(found.parts):
            found.upload, found.parts = upload, parts
    if found.pieces and not found.parts:
        # Another daemon may have made one object of them since they were listed.
        version = await container.version(staging.whole)
        found.whole = version is not None and version.size == found.plan.size


async def _parts_of(
    container: Container, staging: Staging, upload: PartUpload
) -> dict[int, FoundPart]:
    """Return the parts of an upload, up to the first one that is missing."""
    listed = await container.find_parts(staging.whole, upload) or {}
    parts: dict[int, FoundPart] = {}
    for part in upload.plan:
        if part.number not in listed or listed[part.number].size != part.size:
            break
        parts[part.number] = listed[part.number]
    return parts


async def list_all(container: Container, path: str, nested: bool = False) -> Sequence[Entry]:
    """List what lies below a path.

    :param path: below the store's prefix; it ends in ``/``.
    :param nested: whether what is in folders below it is wanted as well.
    :raises StoreError: if the list cannot be had.
    """
    prefix = container.layout.below(path)
    entries: list[Entry] = []
    marker: str | None = None
    while True:
        page = await container.list_entries(prefix, nested, marker, PAGE)
        entries += page.entries
        if page.marker is None:
            return entries
        if page.marker == marker:
            raise StoreError("the store's list does not end")
        marker = page.marker
