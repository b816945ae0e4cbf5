"""What the parent asks workers about stored objects and the trash, and what they answer.

After an upgrade one side may be older than the other: a new member needs a default, and
one that is not known is passed over.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from giftless.interfaces.catalogue import By, UsageRow
from giftless.usecases.quotas.level import QuotaLevel

#: The names of the questions.
USAGE: Final = "usage"
OBJECTS: Final = "objects"
QUOTAS: Final = "quotas"
RESTORE: Final = "restore"
PURGE: Final = "purge"

#: In which order objects are listed: the largest, oldest, longest not offered first, or
#: those that were moved into the trash last.
Order = Literal["size", "stored", "offered", "moved"]


class UsageOf(msgspec.Struct, frozen=True):
    """Asks how much is stored; see :meth:`giftless.interfaces.ICatalogue.usage`."""

    by: By
    repo: str = ""
    limit: int = 500
    trashed: bool = False
    below: bool = True


class UsageFacts(msgspec.Struct, frozen=True):
    """Tells how much is stored; see :class:`giftless.interfaces.catalogue.Usage`.

    :ivar shares: whether the store keeps equal objects once.
    """

    rows: list[UsageRow] = []
    total: UsageRow = UsageRow("")
    distinct_size: int = 0
    shares: bool = False
    status: int = 200
    problem: str = ""


class ObjectsOf(msgspec.Struct, frozen=True):
    """Asks for objects; see :class:`giftless.interfaces.catalogue.EntryQuery`.

    :ivar repo: only of exactly this repository; empty for all.
    :ivar oid: only this object of it; empty for all.
    :ivar trashed: whether those in the trash are meant, or those that are stored.
    :ivar cursor: where an earlier page ended; empty to begin.
    """

    limit: int
    repo: str = ""
    oid: str = ""
    trashed: bool = False
    order: Order = "size"
    cursor: str = ""


class ObjectFacts(msgspec.Struct, frozen=True):
    """An object; see :class:`giftless.interfaces.catalogue.Entry`.

    :ivar kept_until: when it leaves the trash for good, in seconds since the epoch; 0 if
        it is not there.
    """

    repo: str
    oid: str
    size: int
    stored_at: float
    offered_at: float
    who: str = ""
    principal: str = ""
    filename: str = ""
    moved_at: float = 0.0
    reason: str = ""
    moved_by: str = ""
    kept_until: float = 0.0


class ObjectsFacts(msgspec.Struct, frozen=True):
    """Tells objects.

    :ivar next_cursor: where the next page begins; empty if this is the last.
    """

    objects: list[ObjectFacts] = []
    next_cursor: str = ""
    status: int = 200
    problem: str = ""


class QuotasOf(msgspec.Struct, frozen=True):
    """Asks how much of quotas is taken.

    :ivar repo: only of what counts for this repository, or organisation; empty for all.
    :ivar limit: the most quotas.
    """

    repo: str = ""
    limit: int = 50


class QuotasFacts(msgspec.Struct, frozen=True):
    """Tells how much of quotas is taken, the fullest first."""

    quotas: list[QuotaLevel] = []
    status: int = 200
    problem: str = ""


class TrashOrder(msgspec.Struct, frozen=True):
    """Asks to restore what is in the trash, or to delete it for good.

    Who asks for it, see :class:`giftless.usecases.locks.By`.

    :ivar repo: of this repository; empty for all.
    :ivar oid: this object; empty for all.
    :ivar before: what was moved into the trash at or before this, in seconds since the
        epoch: nobody has seen on the page what came later.
    """

    name: str
    principal: str = ""
    address: str = ""
    request_id: str = ""
    repo: str = ""
    oid: str = ""
    before: float = 0.0


class TrashFacts(msgspec.Struct, frozen=True):
    """Tells what was done.

    :ivar done: how many objects were restored or deleted.
    :ivar missing: how many were not found in the trash.
    :ivar more: whether some are left, for which there was no time.
    """

    done: int = 0
    missing: int = 0
    more: bool = False
    status: int = 200
    problem: str = ""
