"""Keep what repositories and organisations have within their limits.

Room is promised before it is used: the catalogue counts what is stored and what is promised
in one transaction, so clients that race for the last bytes cannot both have them.  A batch
promises room to each object that it lets a client upload; an upload that begins is promised
it anew, which costs nothing if it has it still.  When an object is recorded as stored, its
promise ends; what never comes is found when its promise has expired
(:mod:`giftless.usecases.quotas.keeping`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from giftless.base.units import size_in_words
from giftless.errors import LengthRequired, LFSError, OverQuota, PayloadTooLarge
from giftless.interfaces import ICatalogue, IObjectStore, Level, Transfer, WallClock, Wanted
from giftless.interfaces.catalogue import MAX_ENTRIES
from giftless.lfs.objects import ObjectKey, Repo
from giftless.usecases.quotas.rules import Owner, QuotaRules
from giftless.usecases.quotas.warnings import QuotaWarnings

#: For how many seconds room is promised to an upload that has begun, and how much longer
#: than its action is good to one that has not.
MARGIN: Final = 600.0

#: To whole multiples of this promises last, in seconds: who asks for the same again within
#: a minute, as git-lfs does, has it already, and nothing needs to be written.
_STEP: Final = 60.0

#: How slowly a client may send an object to a cloud, in bytes a second: an upload that has
#: begun before its URL expired ends after that, and nobody sees it on its way.
_SLOWEST: Final = 125_000

#: What the sizes in messages mean.
_UNIT: Final = "1 GB = 1,000,000,000 bytes"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """For how long room is promised by a batch.

    :ivar whole: how many seconds the actions are good that send objects whole.
    :ivar parts: the same for parts.
    :ivar direct: whether objects are sent to a cloud.
    """

    whole: float
    parts: float
    direct: bool

    def of(self, size: int, in_parts: bool) -> float:
        """Return for how many seconds room is promised to an object.

        :param size: its size in bytes.
        """
        good = self.parts if in_parts else self.whole
        return good + MARGIN + (size / _SLOWEST if self.direct else 0.0)


class Quotas:
    """Promises room, or says why there is none.

    :param rules: what may be stored.
    :param contact: whom users are told to ask; empty for the administrator.
    :param catalogue: keeps the promises.
    :param store: tells what is there after all.
    :param warnings: is told how full everything is.
    :param lifetimes: for how long room is promised.
    :param wall_clock: tells the time.
    :ivar holding: the uploads that run.
    """

    def __init__(
        self,
        rules: QuotaRules,
        contact: str,
        catalogue: ICatalogue,
        store: IObjectStore,
        warnings: QuotaWarnings,
        lifetimes: Lifetimes,
        wall_clock: WallClock,
    ) -> None:
        self._rules = rules
        self._contact = contact or "the administrator of this server"
        self._catalogue = catalogue
        self._store = store
        self._warnings = warnings
        self._lifetimes = lifetimes
        self._wall_clock = wall_clock
        self.holding: set[Hold] = set()

    async def admit(
        self, transfers: Sequence[Transfer], refused: dict[str, LFSError], in_parts: bool
    ) -> list[Transfer]:
        """Promise room to the objects of a batch, all of one repository.

        :param transfers: what is to be uploaded; at least one.
        :param refused: takes those for which there is no room.
        :param in_parts: whether objects may be uploaded in parts.
        :returns: the others.
        :raises ServiceUnavailable: if the catalogue fails.
        """
        terms = self._rules.terms(transfers[0].key.repo)
        if not terms.bounds and terms.ceiling is None:
            return list(transfers)
        wanted = [Wanted(transfer.key, transfer.size) for transfer in transfers]
        lifetime = self._lifetimes.of(max(each.size for each in wanted), in_parts)
        problems = await self.take(transfers[0].key.repo, wanted, lifetime)
        if not problems:
            return list(transfers)
        refused.update({key.oid: problem for key, problem in problems.items()})
        return [transfer for transfer in transfers if transfer.key not in problems]

    async def take(
        self, repo: Repo, wanted: Sequence[Wanted], lifetime: float
    ) -> Mapping[ObjectKey, LFSError]:
        """Promise room to objects that are to be stored.

        :param wanted: all of the repository.
        :param lifetime: for how many seconds.
        :returns: why there is none for some.
        :raises ServiceUnavailable: if the catalogue fails.
        """
        terms = self._rules.terms(repo)
        sizes = {each.key: each.size for each in wanted}
        problems: dict[ObjectKey, LFSError] = {}
        ceiling = terms.ceiling
        if ceiling is not None:
            most = ceiling.rule.object_size or 0
            problems = {
                each.key: _too_large(each.size, most, ceiling)
                for each in wanted
                if each.size > most
            }
            wanted = [each for each in wanted if each.key not in problems]
        if terms.bounds:
            expires_at = math.ceil((self._wall_clock() + lifetime) / _STEP) * _STEP
            for start in range(0, len(wanted), MAX_ENTRIES):
                some = wanted[start : start + MAX_ENTRIES]
                outcome = await self._catalogue.reserve(some, terms.bounds, expires_at)
                self._warnings.see(terms.bounded, outcome.levels)
                for key, level in outcome.refused.items():
                    problems[key] = self._full(sizes[key], level)
        return problems and await self._really(problems, sizes)

    async def require(self, key: ObjectKey, size: int, in_parts: bool) -> None:
        """Promise room to an object.

        :raises LFSError: if there is none.
        """
        wanted = [Wanted(key, size)]
        problems = await self.take(key.repo, wanted, self._lifetimes.of(size, in_parts))
        for problem in problems.values():
            raise problem

    async def hold(self, key: ObjectKey, size: int | None) -> Hold:
        """Promise room to an object that is being stored, for as long as that lasts.

        :param size: its size in bytes; ``None`` if that is not known.
        :returns: what ends the promise's renewal when it is left.
        :raises LengthRequired: if the size must be known.
        :raises LFSError: if there is no room.
        """
        terms = self._rules.terms(key.repo)
        if size is None:
            if terms.bounds or terms.ceiling is not None:
                raise LengthRequired(
                    "there is a limit on what this repository may have: send the object with a"
                    " Content-Length, or ask for a batch first"
                )
            return Hold(self.holding, Wanted(key, 0))
        problems = await self.take(key.repo, [Wanted(key, size)], MARGIN)
        for problem in problems.values():
            raise problem
        hold = Hold(self.holding, Wanted(key, size))
        if terms.bounds:
            self.holding.add(hold)
        return hold

    async def renew(self) -> None:
        """Promise room anew to the uploads that run.

        :raises ServiceUnavailable: if the catalogue fails.
        """
        running: dict[Repo, dict[ObjectKey, Wanted]] = {}
        for hold in self.holding:
            wanted = hold.wanted
            running.setdefault(wanted.key.repo, {})[wanted.key] = wanted
        expires_at = self._wall_clock() + MARGIN
        for repo, uploads in running.items():
            bounds = self._rules.terms(repo).bounds
            await self._catalogue.reserve(list(uploads.values()), bounds, expires_at)

    async def _really(
        self, problems: Mapping[ObjectKey, LFSError], sizes: Mapping[ObjectKey, int]
    ) -> Mapping[ObjectKey, LFSError]:
        """Leave out what is stored: it takes no room, and may be sent again.

        Somebody else may have stored it since this client's batch, or this client itself,
        which did not get the answer.

        :param sizes: what has been asked for, in bytes.
        """
        keys = list(problems)
        found = await self._store.sizes(keys)
        return {
            key: problems[key] for key, size in zip(keys, found, strict=True) if size != sizes[key]
        }

    def _full(self, size: int, level: Level) -> OverQuota:
        bound = level.bound
        kind = "organisation" if bound.org else "repository"
        promised = (
            f", {size_in_words(level.reserved)} more promised to uploads under way"
            if level.reserved
            else ""
        )
        return OverQuota(
            f"the {kind} {bound.name} has no room for this object of {size_in_words(size)}:"
            f" {size_in_words(level.used)} of its {size_in_words(bound.limit)} are used{promised}"
            f" ({_UNIT}); delete what is not needed any more, or ask {self._contact}"
        )


class Hold:
    """An upload that runs, and the room that it needs.

    :param holding: where it is kept meanwhile.
    :ivar wanted: the object and its size.
    """

    def __init__(self, holding: set[Hold], wanted: Wanted) -> None:
        self._holding = holding
        self.wanted = wanted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._holding.discard(self)


def _too_large(size: int, most: int, owner: Owner) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the object has {size_in_words(size)}; those of {owner} may have up to"
        f" {size_in_words(most)} ({_UNIT})"
    )
