"""List the organisations and repositories that come nearest to their limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from giftless.interfaces import Bound, ICatalogue, Level
from giftless.lfs.objects import Repo
from giftless.usecases.quotas.budgets import Budgets
from giftless.usecases.quotas.level import QuotaLevel, part_of
from giftless.usecases.quotas.rules import Owner, QuotaRules

#: How many of the largest organisations and repositories are looked at.
_LARGEST: Final = 1000

#: How many are told to Prometheus: each is three time series.
_TOLD: Final = 20

#: How many times as many as are wanted are asked for what is promised to them.
_SPARE: Final = 2


class QuotaLevels:
    """Finds out who has how much.

    :param rules: what may be stored and downloaded.
    :param catalogue: knows what is.
    :param budgets: know what was downloaded.
    """

    def __init__(self, rules: QuotaRules, catalogue: ICatalogue, budgets: Budgets) -> None:
        self._rules = rules
        self._catalogue = catalogue
        self._budgets = budgets

    async def fullest(self, limit: int, name: str = "") -> Sequence[QuotaLevel]:
        """Return the owners that have taken most of what they may have, the fullest first.

        Those that rules name are looked at, and of all others the largest.

        :param limit: the most owners.
        :param name: only those that this repository is charged to, or this organisation and
            its repositories; empty for all.
        :raises ServiceUnavailable: if the catalogue fails.
        """
        found = await self._found(name)
        named = [owner for owner in self._rules.named() if _concerns(owner, name)]
        if name:
            named += [owner for owner in self._owners(name) if owner.org]
        # Those that are almost empty need not be asked for.
        fullest = sorted(found, key=lambda owner: _fullness(owner, found[owner]), reverse=True)
        levels = await self._levels([*dict.fromkeys([*named, *fullest[: _SPARE * limit]])])
        return sorted(levels, key=lambda level: level.fullness, reverse=True)[:limit]

    async def filled(self) -> Sequence[Level]:
        """Return how the fullest are filled that have a limit, for metrics.

        :raises ServiceUnavailable: if the catalogue fails.
        """
        return [
            Level(Bound(level.name, level.org, level.limit), level.used, level.reserved)
            for level in await self.fullest(_TOLD)
            if level.limit is not None
        ]

    async def _found(self, name: str) -> Mapping[Owner, int]:
        """Return those that have something, and about how many bytes that are."""
        orgs = await self._catalogue.usage("org", name, _LARGEST)
        repos = await self._catalogue.usage("repo", name, _LARGEST)
        found: dict[Owner, int] = {}
        for row in repos.rows:
            for owner in self._owners(row.name):
                if _concerns(owner, name):
                    found[owner] = found.get(owner, 0) + row.size
        for row in orgs.rows:
            org = self._rules.org(row.name)
            if org is not None and _concerns(org, name):
                found[org] = max(found.get(org, 0), row.size)
        return found

    def _owners(self, path: str) -> Iterable[Owner]:
        terms = self._rules.terms(Repo(tuple(path.split("/"))))
        return dict.fromkeys([*terms.bounded, *terms.budgeted])

    async def _levels(self, owners: Sequence[Owner]) -> list[QuotaLevel]:
        bounds = {owner: bound for owner in owners if (bound := owner.bound) is not None}
        found = await self._catalogue.levels(list(bounds.values())) if bounds else ()
        stored = dict(zip(bounds, found, strict=True))
        budgeted = [owner for owner in owners if owner.rule.downloads is not None]
        downloaded = await self._budgets.downloaded(budgeted) if budgeted else {}
        return [
            QuotaLevel(
                owner.name,
                owner.org,
                _plain(owner.rule.limit),
                0 if owner not in stored else stored[owner].used,
                0 if owner not in stored else stored[owner].reserved,
                None if owner.rule.limit is None else int(owner.rule.limit * owner.rule.warn),
                _plain(owner.rule.downloads),
                downloaded.get(owner, 0),
            )
            for owner in owners
            if owner.rule.limit is not None or owner.rule.downloads is not None
        ]


def _plain(size: int | None) -> int | None:
    """Return a size of the configuration as a number that JSON can have."""
    return None if size is None else int(size)


def _fullness(owner: Owner, used: int) -> float:
    return part_of(used, owner.rule.limit)


def _concerns(owner: Owner, name: str) -> bool:
    return not name or _below(owner.name, name) or _below(name, owner.name)


def _below(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}/")
