"""The ``quotas`` section: which repositories may have how much.

An organisation is what stands before a slash in the path of a repository: ``acme`` for
``acme/rocket``; ``acme`` and ``acme/team`` for ``acme/team/rocket``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from giftless.base.patterns import compile_pattern
from giftless.base.units import Duration, Share, Size
from giftless.errors import ConfigError
from giftless.interfaces import Bound
from giftless.lfs.objects import Repo

#: For how many repositories it is remembered which rules hold.
_REMEMBERED: Final = 10_000

#: The shortest and the longest period of budgets, in seconds.
_PERIODS: Final = (60.0, 366 * 86_400.0)

#: A pattern without these stands for one name alone.
_GLOBS: Final = re.compile(r"[*?]")


class QuotaRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What organisations or repositories may have, each by itself.

    :ivar match: a pattern of their names, such as ``acme/*``.
    :ivar limit: how many bytes their objects may have together; ``None`` for any number.
    :ivar warn: from which part of the limit on there is a warning.
    :ivar object_size: how many bytes each object may have; ``None`` for any number.
    :ivar downloads: how many bytes may be downloaded in a period; ``None`` for any number.
    """

    match: str
    limit: Size | None = None
    warn: Share = Share(0.8)
    object_size: Size | None = None
    downloads: Size | None = None


class QuotaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``quotas`` section.

    :ivar orgs: for organisations; the first rule that matches one holds.
    :ivar repositories: the same for repositories.
    :ivar contact: whom users are told to ask; empty for the administrator.
    :ivar period: how long the periods of download budgets are; they begin at the epoch.
    """

    orgs: list[QuotaRule] = []
    repositories: list[QuotaRule] = []
    contact: str = ""
    period: Duration = Duration(86_400)

    @property
    def given(self) -> bool:
        """Whether there is any rule."""
        return bool(self.orgs or self.repositories)


class Owner(msgspec.Struct, frozen=True):
    """An organisation or a repository, and what it may have.

    :ivar name: its path.
    :ivar org: whether it is an organisation.
    :ivar rule: the rule that holds for it.
    """

    name: str
    org: bool
    rule: QuotaRule

    @property
    def bound(self) -> Bound | None:
        """What it may store; ``None`` if that has no limit."""
        limit = self.rule.limit
        return None if limit is None else Bound(self.name, self.org, limit)

    def __str__(self) -> str:
        return f"the {'organisation' if self.org else 'repository'} {self.name}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one repository.

    :ivar bounded: whose storage has a limit: those that its objects are charged to.
    :ivar bounds: their limits, in the same order.
    :ivar ceiling: whose objects may be no larger than the least of all such sizes;
        ``None`` if none has one.
    :ivar budgeted: whose downloads have a budget.
    """

    bounded: tuple[Owner, ...] = ()
    bounds: tuple[Bound, ...] = ()
    ceiling: Owner | None = None
    budgeted: tuple[Owner, ...] = ()


class QuotaRules:
    """Finds what holds for a repository.

    :param options: the section.
    :raises ConfigError: if a pattern is none, or the period is too short or too long; its
        path begins with ``quotas``.
    :ivar budgeted: whether there is a budget for downloads.
    """

    def __init__(self, options: QuotaOptions) -> None:
        self._orgs = _compile(options.orgs, "quotas.orgs")
        self._repositories = _compile(options.repositories, "quotas.repositories")
        shortest, longest = _PERIODS
        if not shortest <= options.period <= longest:
            raise ConfigError(
                "quotas.period", f"found {options.period:.0f} seconds, allowed is 60s to 366d"
            )
        self.terms = lru_cache(_REMEMBERED)(self._terms)
        rules = (*options.orgs, *options.repositories)
        self.budgeted = any(rule.downloads is not None for rule in rules)

    def _terms(self, repo: Repo) -> Terms:
        owners = [*filter(None, map(self.org, _orgs_of(repo)))]
        if (owner := self.repository(repo.path)) is not None:
            owners.append(owner)
        bounded = tuple(owner for owner in owners if owner.bound is not None)
        ceilings = [owner for owner in owners if owner.rule.object_size is not None]
        return Terms(
            bounded,
            tuple(bound for owner in bounded if (bound := owner.bound) is not None),
            min(ceilings, key=lambda owner: owner.rule.object_size or 0, default=None),
            tuple(owner for owner in owners if owner.rule.downloads is not None),
        )

    def org(self, name: str) -> Owner | None:
        """Return an organisation, if a rule holds for it."""
        rule = _first(self._orgs, name)
        return None if rule is None else Owner(name, True, rule)

    def repository(self, path: str) -> Owner | None:
        """Return a repository, if a rule holds for it."""
        rule = _first(self._repositories, path)
        return None if rule is None else Owner(path, False, rule)

    def named(self) -> Sequence[Owner]:
        """Return those whose names the rules give, instead of a pattern."""
        names = ((self.org, self._orgs), (self.repository, self._repositories))
        return [
            owner
            for find, rules in names
            for _, rule in rules
            if not _GLOBS.search(rule.match) and (owner := find(rule.match)) is not None
        ]


_Compiled = Sequence[tuple[re.Pattern[str], QuotaRule]]


def _compile(rules: Sequence[QuotaRule], path: str) -> _Compiled:
    compiled = []
    for index, rule in enumerate(rules):
        try:
            compiled.append((compile_pattern(rule.match), rule))
        except ValueError as error:
            raise ConfigError(f"{path}.{index}.match", f"this is no pattern: {error}") from None
    return compiled


def _first(rules: _Compiled, name: str) -> QuotaRule | None:
    return next((rule for pattern, rule in rules if pattern.fullmatch(name)), None)


def _orgs_of(repo: Repo) -> Iterator[str]:
    """Yield the organisations of a repository; one whose path has one part is its own."""
    for end in range(1, max(2, len(repo.segments))):
        yield "/".join(repo.segments[:end])
