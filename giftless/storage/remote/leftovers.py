"""Find what is in a container that no object needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from giftless.base.units import duration_in_words
from giftless.interfaces import Oddity, PartUpload
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey
from giftless.storage.gaps import problem_of_parts
from giftless.storage.remote.container import Container, Layout, RunningUpload
from giftless.storage.remote.resumable.staging import UPLOADS

#: Of how many uploads in parts it is told, at most: each takes two questions.
MOST: Final = 1000

#: Asks for the parts of an upload; its sizes do not matter for that.
_ANY_PLAN: Final = PartPlan(0, 1)


def is_stray(layout: Layout, name: str) -> bool:
    """Whether nothing of the server's can have a name that is no object's."""
    own = name.startswith(layout.below(f"{RESERVED_PREFIX}/"))
    return not own and layout.key_of(name, True) is None


async def find_leftovers(container: Container, before: float) -> Sequence[Oddity]:
    """Return the uploads in parts that nobody has ended.

    :param before: only those that began before, in seconds since the epoch.
    :raises StoreError: if they cannot be listed.
    """
    # Those to which objects come bit by bit are removed when they expire.
    own = container.layout.below(f"{UPLOADS.path}/")
    old = [
        each
        for each in await container.running_uploads()
        if each.began < before and not each.name.startswith(own)
    ]
    return [
        found
        for upload in sorted(old, key=lambda each: each.began)[:MOST]
        if (found := await _look_at(container, upload, before)) is not None
    ]


async def _look_at(container: Container, upload: RunningUpload, before: float) -> Oddity | None:
    """Tell of an upload; ``None`` if it has ended meanwhile."""
    age = duration_in_words(before - upload.began)
    words = f"an upload in parts that nobody has ended, {age} too old"
    key = container.layout.key_of(upload.name) or container.layout.key_of(upload.name, True)
    if key is None:
        return Oddity(upload.name, f"{words}: no repository can have its object")
    problem = await _problem(container, key, upload)
    if problem is None:
        return None
    return Oddity(upload.name, f"{words}: {problem}" if problem else words, key)


async def _problem(container: Container, key: ObjectKey, upload: RunningUpload) -> str | None:
    if await container.facts(key, False) is not None:
        return "the object is there; nobody needs the parts"
    parts = await container.find_parts(key, PartUpload(upload.id, _ANY_PLAN))
    if parts is None:
        return None
    sizes = {number: part.size for number, part in parts.items()}
    # All but the last one have the same size.
    return problem_of_parts(sizes, max(sizes.values(), default=0))
