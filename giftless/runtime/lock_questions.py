"""What the parent asks workers about locks, and what they answer.

After an upgrade one side may be older than the other: a new member needs a default, and
one that is not known is passed over.
"""

from __future__ import annotations

from typing import Final

import msgspec

#: The names of the questions.
LOCKS: Final = "locks"
RELEASE: Final = "release"


class Search(msgspec.Struct, frozen=True):
    """Asks which locks there are; see :class:`giftless.lfs.locks.LockQuery`.

    :ivar text: only locks with this text in them; empty for all.
    :ivar id: only the lock of this id; empty for all.
    :ivar cursor: where an earlier page ended; empty to begin.
    """

    limit: int
    text: str = ""
    id: str = ""
    cursor: str = ""


class Release(msgspec.Struct, frozen=True):
    """Asks to remove a lock by force; who does it, see :class:`giftless.usecases.locks.By`."""

    id: str
    name: str
    principal: str = ""
    address: str = ""
    request_id: str = ""


class LockFacts(msgspec.Struct, frozen=True):
    """A lock; see :class:`giftless.lfs.locks.Lock`."""

    id: str
    repo: str
    path: str
    owner: str
    principal: str
    locked_at: int


class Answer(msgspec.Struct, frozen=True):
    """What a worker answers to both questions.

    :ivar locks: the locks that were found; the one that was removed.
    :ivar next_cursor: where the next page begins; empty if this is the last.
    :ivar status: the HTTP status that stands for how it went.
    :ivar problem: why nothing was found or done; empty if all is well.
    """

    locks: list[LockFacts] = []
    next_cursor: str = ""
    status: int = 200
    problem: str = ""
