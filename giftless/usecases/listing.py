"""List all objects of a store, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from giftless.interfaces import IListing, ListedObject
from giftless.lfs.objects import Repo


async def listed(
    store: IListing, repo: Repo | None, limit: int, trash: bool = False
) -> AsyncGenerator[Sequence[ListedObject], None]:
    """List all objects of a repository, or of its trash.

    Whoever ends before closes what this returns (``contextlib.aclosing``).

    :param repo: ``None`` for those of all repositories.
    :param limit: the most objects of a page.
    :param trash: whether to list what is in the trash instead.
    :returns: the pages; there may be empty ones.
    :raises giftless.errors.ServiceUnavailable: if the store does not say what it has.
    """
    cursor = None
    while True:
        page = await store.list(repo, cursor, limit, trash)
        yield page.objects
        cursor = page.next_cursor
        if cursor is None:
            return
