"""The findings of ``giftless fsck``."""

from __future__ import annotations

from enum import Enum

import msgspec

from giftless.lfs.objects import ObjectKey


class Outcome(Enum):
    """What kind of finding it is, from the worst to the mildest.

    :cvar WRONG: the object has other bytes than its oid says, or is marked as damaged.
    :cvar MISSING: the catalogue knows the object, and the store says that it is absent.
    :cvar UNREADABLE: the object is there, and its bytes cannot be had.
    :cvar UNKNOWN: nobody could look: the store does not answer, or not as it should.
    :cvar ODD: no object is affected; something is there that should not be, or has a mode
        that it should not have.
    """

    WRONG = "wrong"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"
    ODD = "odd"


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be.

    :ivar problem: what was found, in words for operators.
    :ivar key: the object that it is about, in the trash with the key that it has there;
        ``None`` if it is about none.
    :ivar path: where it is, as the store calls it; empty for an object.
    :ivar marked: whether it is marked as damaged already.
    """

    outcome: Outcome
    problem: str
    key: ObjectKey | None = None
    path: str = ""
    marked: bool = False
