"""Check what every store that lists objects is asked for."""

from __future__ import annotations

from giftless.errors import BadRequest
from giftless.interfaces import MAX_PAGE


def check_limit(limit: int) -> None:
    """Check how many objects a page of a list may have.

    :raises BadRequest: if that is none or too many: an empty page would look like
        the end of the list.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"a page of a list has 1 to {MAX_PAGE} objects, not {limit}")
