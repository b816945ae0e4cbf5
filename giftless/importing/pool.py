"""Offer the objects of a directory: all of them, or those that are assigned to repositories."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from giftless.importing.assignments import Assignment
from giftless.importing.layouts import Layout, Walk
from giftless.importing.offers import NoSource, Offer
from giftless.lfs.objects import ObjectKey, Oid, Repo


def offer_all(root: str, layout: Layout, repo: Repo | None) -> Iterator[Offer]:
    """Offer all objects of a directory; blocks.

    :param repo: where they go; ``None`` for the repositories that their paths name.
    :raises NoSource: if a path names none, or the directory cannot be read.
    """
    for found, oid, size, place in Walk(root, layout).objects():
        target = repo or found
        if target is None:
            raise NoSource(
                "all repositories share these objects, so it must be said where they belong:"
                " by REPO, --list, --from or --database"
            )
        yield Offer(ObjectKey(target, oid), size, place)


def offer_some(root: str, layout: Layout, chosen: Iterable[Assignment]) -> Iterator[Offer]:
    """Offer the objects that are assigned to repositories; blocks.

    What is not there is offered as well, to be told of.
    """
    for each in chosen:
        place = layout.place(each.oid)
        try:
            size = os.stat(os.path.join(root, place), follow_symlinks=False).st_size
        except OSError:
            size = None
        yield Offer(ObjectKey(each.repo, each.oid), each.size or size, place)


def count_others(walk: Walk, chosen: Sequence[Assignment]) -> int:
    """Count the objects of a pool that are assigned to no repository; blocks."""
    known: set[Oid] = {each.oid for each in chosen}
    return sum(1 for _, oid, _, _ in walk.objects() if oid not in known)
