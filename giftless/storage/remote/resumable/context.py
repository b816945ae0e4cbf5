"""Hold the parts that resumable uploads to one store share."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Final

from giftless.base.holds import Holds
from giftless.interfaces import Environment, IBlocking, WallClock
from giftless.storage.remote.resumable.staging import PART_SIZE

#: The folder of the state directory.
_FOLDER: Final = "uploads"


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that resumable uploads to one store share.

    :ivar holds: tell who goes on with which.
    :ivar directory: where bytes of a part wait for more.
    :ivar blocking: does what blocks.
    :ivar wall_clock: tells the date.
    :ivar expiry: after how many seconds without a new byte an upload is given up.
    :ivar part_size: how large parts should be, in bytes.
    """

    holds: Holds
    directory: str
    blocking: IBlocking
    wall_clock: WallClock
    expiry: int
    part_size: int = PART_SIZE


def context_of(environment: Environment, place: str, expiry: int) -> Context:
    """Return the parts that resumable uploads to the store at a place share.

    :param place: where objects are: uploads to other places have nothing to do with it.
    :param expiry: after how many seconds without a new byte an upload is given up.
    """
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()
    directory = os.path.join(os.path.abspath(environment.state_dir), _FOLDER, digest[:16])
    claims = os.path.join(directory, "claims")

    def open_claims() -> int:
        os.makedirs(claims, mode=0o700, exist_ok=True)
        return os.open(claims, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    holds = Holds(open_claims, environment.blocking, environment.reactor)
    return Context(holds, directory, environment.blocking, environment.wall_clock, expiry)
