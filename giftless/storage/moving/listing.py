"""One list of what two stores have, without a place to remember what was listed.

First comes all of the old store, then what the new one has alone.  In this order an
object that moves meanwhile is listed once: it stays in the old store, and nothing comes
there that the new one has.
"""

from __future__ import annotations

from typing import Final

from giftless.errors import BadRequest
from giftless.interfaces import IListing, ObjectPage
from giftless.lfs.objects import Repo

#: What cursors begin with, in the list of the old store and of the new one.
_OLD, _NEW = "from:", "to:"

#: The cursor of the first page of the new store's list.
_TURN: Final = _NEW


async def list_both(
    new: IListing, old: IListing, repo: Repo | None, cursor: str | None, limit: int, trash: bool
) -> ObjectPage:
    """List what is in either store; see :meth:`giftless.interfaces.IListing.list`.

    A page of the new store's list asks the old one for the sizes of what is on it.
    """
    if cursor is None or cursor.startswith(_OLD):
        inner = None if cursor is None else cursor.removeprefix(_OLD)
        page: ObjectPage = await old.list(repo, inner, limit, trash)
        following = _TURN if page.next_cursor is None else _OLD + page.next_cursor
        return ObjectPage(page.objects, following)
    if not cursor.startswith(_NEW):
        raise BadRequest("the cursor is not one that this server gave; list from the beginning")
    page = await new.list(repo, cursor.removeprefix(_NEW) or None, limit, trash)
    listed = await old.sizes([item.key for item in page.objects]) if page.objects else ()
    alone = [
        item for item, size in zip(page.objects, listed, strict=True) if not isinstance(size, int)
    ]
    return ObjectPage(alone, None if page.next_cursor is None else _NEW + page.next_cursor)
