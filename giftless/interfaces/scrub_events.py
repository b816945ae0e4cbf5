"""Events about damaged or missing objects, and about the scrub that looks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from giftless.lfs.objects import ObjectKey


@dataclass(frozen=True, slots=True)
class ObjectFaulty:
    """Somebody has looked at an object that is stored, and found that it is not well.

    :ivar size: in bytes, as it is listed.
    :ivar outcome: what is wrong, in fixed words: ``wrong bytes``, ``unreadable``, …
    :ivar reason: what was found, in words.
    """

    key: ObjectKey
    size: int
    outcome: str
    reason: str
    who: str
    principal: str = ""


@dataclass(frozen=True, slots=True)
class ScrubEnded:
    """The scrub has examined everything that is stored once.

    :ivar objects: how many objects were examined.
    :ivar size: how many bytes these have.
    :ivar read: how many bytes were read: the store vouches for the others.
    :ivar findings: how many objects were not well, by outcome.
    :ivar seconds: how long it took.
    """

    objects: int
    size: int
    read: int
    findings: Mapping[str, int]
    seconds: float
    who: str
    principal: str = ""
