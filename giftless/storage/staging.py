"""Name the keys under which wrappers stage uploads that they change before they are objects."""

from __future__ import annotations

import hashlib
from typing import Final

from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey, Oid, Repo

_STAGING: Final = (RESERVED_PREFIX, "staging")

#: The directory of all that is staged, below the store's own.
DIRECTORY: Final = _STAGING[1]

#: What is above all that is sealed bit by bit.  A store that takes objects bit by bit removes
#: what has not changed there for twice as long as it keeps uploads that nobody goes on with.
SEALING: Final = Repo((RESERVED_PREFIX, "sealing"))


def staged(key: ObjectKey) -> ObjectKey:
    """Return the key that an object has while it is staged; no list has it."""
    return ObjectKey(Repo((*_STAGING, *key.repo.segments)), key.oid)


def being_sealed(key: ObjectKey, size: int) -> ObjectKey:
    """Return the key that an object has while it is sealed bit by bit; no list has it.

    :param size: how many bytes the object will have; with another size it is another upload.
    """
    name = hashlib.sha256(f"giftless {size} {key.oid}".encode()).hexdigest()
    return ObjectKey(Repo((*SEALING.segments, *key.repo.segments)), Oid(name))


def unstaged(path: str) -> str:
    """Return the path of the object that something belongs to which may be staged.

    Of what is sealed bit by bit, only the repository is known.
    """
    for above in (_STAGING, SEALING.segments):
        path = path.removeprefix(f"{'/'.join(above)}/")
    return path
