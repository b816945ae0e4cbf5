"""Bound how many bytes are downloaded in a period.

What the daemon sends is counted when it has been sent; what a store gives out itself, when a
batch allows it.  Each worker tells the catalogue once a second what it has counted, and
learns what all have counted.  So a budget can be passed by what is sent meanwhile.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.units import duration_in_words, size_in_words
from giftless.errors import ServiceUnavailable, TooManyDownloads
from giftless.interfaces import Event, ICatalogue, IObserver, ObjectServed, WallClock
from giftless.lfs.objects import Repo
from giftless.usecases.quotas.rules import Owner, QuotaRules

_log = Logger()

#: How often the catalogue is told what has been counted, in seconds.
TOLD: Final = 1.0

#: For how many seconds it is believed what the catalogue has said.
_FRESH: Final = 2.0

#: How many owners are remembered.
_MOST: Final = 10_000

#: The longest that git-lfs waits at once, in seconds; and how often it does that before it
#: gives up.  If that is too short, waiting is of no use, and it had better give up soon.
_LONGEST: Final = 300
_TIMES: Final = 8
_IN_VAIN: Final = 30

#: How long the name of a counter may be.
_NAME: Final = 200


class _Counted:
    """The downloads that are counted for one owner.

    :ivar period: in which period it was counted.
    :ivar total: how many bytes, as the catalogue has said.
    :ivar pending: how many more, as it has not been told.
    :ivar asked_at: when the catalogue has said so.
    """

    __slots__ = ("asked_at", "pending", "period", "total")

    def __init__(self) -> None:
        self.period = 0
        self.total = 0
        self.pending = 0
        self.asked_at = float("-inf")


@implementer(IObserver)
class Budgets:
    """Counts downloads, and refuses those that are too many.

    :param rules: what may be downloaded.
    :param period: how long periods are, in seconds.
    :param contact: whom users are told to ask; empty for the administrator.
    :param catalogue: keeps the counts.
    :param clock: tells how old an answer is.
    :param wall_clock: tells which period it is.
    """

    def __init__(
        self,
        rules: QuotaRules,
        period: float,
        contact: str,
        catalogue: ICatalogue,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._rules = rules
        self._length = period
        self._contact = contact or "the administrator of this server"
        self._catalogue = catalogue
        self._clock = clock
        self._wall_clock = wall_clock
        self._counted: dict[str, _Counted] = {}

    def observe(self, event: Event) -> None:
        """See :meth:`giftless.interfaces.IObserver.observe`."""
        if isinstance(event, ObjectServed) and event.sent:
            self.add(event.key.repo, event.sent)

    def add(self, repo: Repo, count: int) -> None:
        """Count bytes that were downloaded, or are going to be."""
        for owner in self._rules.terms(repo).budgeted:
            self._of(owner).pending += count

    async def require(self, repo: Repo) -> None:
        """Raise an error if a budget of a repository is used up.

        If the catalogue fails, downloads go on, and are counted when it is back.

        :raises TooManyDownloads: if one is.
        """
        owners = self._rules.terms(repo).budgeted
        if not owners:
            return
        period, now = self._period, self._clock.seconds()
        stale = [
            owner
            for owner in owners
            if (known := self._of(owner)).period != period
            # What is too much stays that.
            or (now - known.asked_at > _FRESH and not _is_over(owner, known))
        ]
        if stale:
            await self._ask(stale)
        for owner in owners:
            known = self._of(owner)
            if _is_over(owner, known) and known.period == period:
                raise self._used_up(owner, known.total + known.pending)

    async def tell(self) -> None:
        """Tell the catalogue what has been counted.

        :raises ServiceUnavailable: if it fails; what was counted is kept.
        """
        amounts = {name: known.pending for name, known in self._counted.items() if known.pending}
        if amounts:
            await self._count(amounts)
            for name, amount in amounts.items():
                self._counted[name].pending -= amount

    async def downloaded(self, owners: Iterable[Owner]) -> dict[Owner, int]:
        """Return how many bytes have been downloaded in this period.

        :raises ServiceUnavailable: if the catalogue fails.
        """
        names = {owner: _name(owner) for owner in owners}
        sums = await self._catalogue.count(dict.fromkeys(names.values(), 0), self._period)
        return {owner: sums.get(name, 0) for owner, name in names.items()}

    @property
    def _period(self) -> int:
        return int(self._wall_clock() // self._length)

    def _of(self, owner: Owner) -> _Counted:
        name = _name(owner)
        known = self._counted.get(name)
        if known is None:
            if len(self._counted) >= _MOST:
                idle = next((key for key, each in self._counted.items() if not each.pending), name)
                self._counted.pop(idle, None)
            known = self._counted[name] = _Counted()
        return known

    async def _ask(self, owners: Iterable[Owner]) -> None:
        try:
            await self._count({_name(owner): 0 for owner in owners})
        except ServiceUnavailable as error:
            _log.warn("downloads go on, whatever was downloaded before: {error}", error=error)

    async def _count(self, amounts: dict[str, int]) -> None:
        period = self._period
        sums = await self._catalogue.count(amounts, period)
        now = self._clock.seconds()
        for name, total in sums.items():
            known = self._counted.setdefault(name, _Counted())
            known.period, known.total, known.asked_at = period, total, now

    def _used_up(self, owner: Owner, count: int) -> TooManyDownloads:
        left = self._length - self._wall_clock() % self._length
        wait = max(1, math.ceil(left))
        if wait > _LONGEST:
            wait = _LONGEST if wait <= _LONGEST * _TIMES else _IN_VAIN
        limit = size_in_words(owner.rule.downloads or 0)
        return TooManyDownloads(
            f"{owner} may download {limit} in {duration_in_words(self._length)}, and has"
            f" downloaded {size_in_words(count)} (1 GB = 1,000,000,000 bytes); go on in"
            f" {duration_in_words(left)}, or ask {self._contact}",
            wait,
        )


def _is_over(owner: Owner, known: _Counted) -> bool:
    return known.total + known.pending >= (owner.rule.downloads or 0)


def _name(owner: Owner) -> str:
    """Return the name of an owner's counter."""
    name = f"downloads of {owner}"
    if len(name) > _NAME:
        name = f"downloads of {hashlib.sha256(name.encode()).hexdigest()}"
    return name
