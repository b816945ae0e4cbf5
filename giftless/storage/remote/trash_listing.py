"""List the trash of all repositories, without listing what is not in it.

The trash of an organisation is in one place of a container's list.  Where a list may begin
after any name, what lies before that place and behind it is passed over.
"""

from __future__ import annotations

from giftless.lfs.objects import TRASH
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.listing import EntryPage, wrong_cursor


async def list_trash(container: Container, after: str | None, limit: int) -> EntryPage:
    """List a page of what is in a container, in which the trash has its share.

    :param container: lists after names.
    :param after: the marker of the page before: a name.
    :param limit: the most entries of the page.
    :raises BadRequest: if the marker is none.
    :raises StoreError: if the page cannot be had.
    """
    top = container.layout.below("")
    if after is not None and not after.startswith(top):
        raise wrong_cursor()
    page = await container.list_entries(top, True, None, limit, after or "")
    while not page.entries and page.marker is not None:
        page = await container.list_entries(top, True, page.marker, limit)
    if not page.entries or page.marker is None:
        return page
    if after is not None and page.entries[0].name <= after:
        raise StoreError("the store's list does not begin where it was asked to")
    return EntryPage(page.entries, _next(top, page.entries[-1].name))


def _next(top: str, last: str) -> str:
    """Return the name after which something may be in the trash.

    :param top: what all names begin with.
    :param last: the last name that was listed.
    """
    organisation, slash, _ = last[len(top) :].partition("/")
    trash = f"{top}{organisation}/{TRASH}/"
    if not slash or last.startswith(trash):
        return last
    # "0" follows "/".
    return trash if last < trash else f"{top}{organisation}0"
