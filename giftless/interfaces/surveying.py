"""Interfaces by which ``giftless fsck`` asks a store what is in it that should not be."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Literal

import msgspec

from giftless.interfaces.storage import IListing, ListedObject
from giftless.lfs.objects import ObjectKey, Repo


class Oddity(msgspec.Struct, frozen=True):
    """Something in a store that is not as it should be, as is seen without reading objects.

    :ivar path: where it is, as the store calls it.
    :ivar problem: what was found, in words for operators.
    :ivar key: the object that it is about; ``None`` if it is about none.
    :ivar kind: ``wrong`` if the object is marked as damaged; ``unreadable`` if the server
        cannot read it, or what is below a directory; ``odd`` if no object is affected.
    """

    path: str
    problem: str
    key: ObjectKey | None = None
    kind: Literal["odd", "unreadable", "wrong"] = "odd"


class SurveyPage(msgspec.Struct, frozen=True):
    """A page of a survey.

    :ivar objects: as on a page of a list.
    :ivar oddities: what else was seen on the way; some may be on the next page again.
    :ivar next_cursor: where the next page begins; ``None`` after the last one.
    """

    objects: Sequence[ListedObject] = ()
    oddities: Sequence[Oddity] = ()
    next_cursor: str | None = None


class ISurveying(IListing):
    """A store that can tell what it has that is not as it should be.  Nothing is changed."""

    def survey(
        repo: Repo | None, cursor: str | None = None, limit: int = 1000, trash: bool = False
    ) -> Awaitable[SurveyPage]:
        """List objects as :meth:`IListing.list` does, and tell what is odd on the way.

        What the server may not enter is an oddity here, and ends no list.  Cursors of a list
        and of a survey are the same.

        :raises giftless.errors.BadRequest: as :meth:`IListing.list` does.
        :raises giftless.errors.ServiceUnavailable: if the list cannot be had.
        """

    def leftovers(before: float) -> Awaitable[Sequence[Oddity]]:
        """Tell what is beside the objects: damaged ones, and what nobody needs any more.

        :param before: what has changed since may still be needed by somebody; in seconds
            since the epoch.
        :raises giftless.errors.ServiceUnavailable: if that cannot be told.
        """
