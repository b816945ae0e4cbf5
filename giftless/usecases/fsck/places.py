"""Go through what a store has, page by page: all of it, or some repositories."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from giftless.base.patterns import compile_pattern
from giftless.errors import ConfigError
from giftless.interfaces import IListing, IObjectStore, ISurveying, Oddity, SurveyPage
from giftless.lfs.objects import ObjectKey, Repo, owner_of

#: How many objects a page has at most.
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a store.

    :ivar repo: only this repository; ``None`` for all.
    :ivar trash: whether it is what was deleted from there.
    """

    repo: Repo | None
    trash: bool


class Places:
    """The parts of a store that are looked at.

    :param store: where the objects are.
    :param patterns: which repositories: paths, or patterns such as ``acme/*``; empty for all.
    :raises ConfigError: if the store cannot list its objects.
    :raises ValueError: if something is no pattern.
    :ivar whole: whether all of the store is looked at.
    :ivar all: the parts, in order.
    """

    def __init__(self, store: IObjectStore, patterns: Sequence[str]) -> None:
        if not IListing.providedBy(store):
            raise ConfigError("storage", "it cannot list its objects, so nothing can be examined")
        self._listing: IListing = store
        self._surveying: ISurveying | None = store if ISurveying.providedBy(store) else None
        self._patterns: Sequence[re.Pattern[str]] = [*map(compile_pattern, patterns)]
        self.whole = not patterns
        repos: Sequence[Repo | None] = (None,)
        if patterns and not any("*" in pattern or "?" in pattern for pattern in patterns):
            repos = [Repo.parse(path.split("/")) for path in dict.fromkeys(patterns)]
        self.all = [Place(repo, trash) for repo in repos for trash in (False, True)]

    def __contains__(self, key: ObjectKey) -> bool:
        """Whether an object is in one of the repositories, or was deleted from there."""
        if self.whole:
            return True
        path = (owner_of(key.repo) or key.repo).path
        return any(pattern.fullmatch(path) for pattern in self._patterns)

    async def pages(
        self, place: Place, cursor: str | None = None
    ) -> AsyncGenerator[SurveyPage, None]:
        """Yield all pages of a part of the store, with nothing that is not looked at.

        :param cursor: where to begin.
        :raises LFSError: if the store cannot be listed.
        """
        while True:
            page = await self._page(place, cursor)
            cursor = page.next_cursor
            objects = [each for each in page.objects if each.key in self]
            oddities = page.oddities if place.repo else self._concerning(page.oddities)
            yield SurveyPage(objects, oddities, cursor)
            if cursor is None:
                return

    async def _page(self, place: Place, cursor: str | None) -> SurveyPage:
        if self._surveying is not None:
            page: SurveyPage = await self._surveying.survey(place.repo, cursor, PAGE, place.trash)
            return page
        listed = await self._listing.list(place.repo, cursor, PAGE, place.trash)
        return SurveyPage(listed.objects, (), listed.next_cursor)

    async def leftovers(self, before: float) -> Sequence[Oddity]:
        """Return what nobody needs, and what is marked as damaged.

        :param before: what has changed since may still be needed.
        :raises LFSError: if that cannot be told.
        """
        if self._surveying is None:
            return ()
        found: Sequence[Oddity] = await self._surveying.leftovers(before)
        return self._concerning(found)

    def _concerning(self, oddities: Sequence[Oddity]) -> Sequence[Oddity]:
        """Return those that are about what is looked at."""
        return [
            each for each in oddities if self.whole or (each.key is not None and each.key in self)
        ]
