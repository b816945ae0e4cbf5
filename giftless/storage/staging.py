"""Where a wrapper keeps the parts of objects that it has to change before they are objects."""

from __future__ import annotations

from typing import Final

from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey, Repo

_STAGING: Final = (RESERVED_PREFIX, "staging")

#: The directory of all that is staged, below the store's own.
DIRECTORY: Final = _STAGING[1]


def staged(key: ObjectKey) -> ObjectKey:
    """Return the key that an object has while it is staged; no list has it."""
    return ObjectKey(Repo((*_STAGING, *key.repo.segments)), key.oid)


def unstaged(path: str) -> str:
    """Return the path of the object that something belongs to which may be staged."""
    return path.removeprefix(f"{'/'.join(_STAGING)}/")
