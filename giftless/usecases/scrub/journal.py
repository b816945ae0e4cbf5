"""What the scrub has to remember: a file that outlasts the process, and its only writer.

All of the journal blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from enum import Enum
from typing import Final

import msgspec
from twisted.logger import Logger

from giftless.base.exclusive import Exclusive, Held
from giftless.base.files import sync_directory
from giftless.lfs.objects import ObjectKey
from giftless.monitoring.scrubbing import ScrubFacts

_log = Logger()

#: The directory below ``state_dir``, and the file in it.
_DIRECTORY: Final = "scrub"
_FILE: Final = "state.json"

#: The name that the only process has which scrubs.
_NAME: Final = "scrub"


class Phase(Enum):
    """What a pass goes through, in this order.

    :cvar STORED: what is stored.
    :cvar TRASHED: what is in the trash.
    :cvar KNOWN: what the catalogue knows, which must be there.
    :cvar ENDED: nothing, until it is time for the next pass.
    """

    STORED = "stored"
    TRASHED = "trashed"
    KNOWN = "known"
    ENDED = "ended"


class ScrubState(msgspec.Struct):
    """Where a pass is.

    :ivar store: which store it goes through; another one begins a new pass.
    :ivar facts: what is told of it.
    :ivar phase: what it goes through just now.
    :ivar cursor: where the page of that begins which is being examined; ``None`` at the
        beginning.
    :ivar done: the objects of that page that were examined: see :func:`mark_of`.
    """

    store: str
    facts: ScrubFacts
    phase: Phase = Phase.STORED
    cursor: str | None = None
    done: list[str] = []


def mark_of(key: ObjectKey) -> str:
    """Return a short text that stands for an object among those of a page."""
    return hashlib.blake2b(key.path.encode(), digest_size=8).hexdigest()


class Journal:
    """The file.

    :param state_dir: where the daemon keeps its own state.
    """

    def __init__(self, state_dir: str) -> None:
        self._directory = os.path.join(state_dir, _DIRECTORY)
        self._path = os.path.join(self._directory, _FILE)

    def take(self) -> Held | None:
        """Become its only writer, of all processes of the machine; ``None`` if another one is."""
        held = Exclusive(self._directory).take([_NAME], b"")
        return held if isinstance(held, Held) else None

    def read(self) -> ScrubState | None:
        """Return what was written last; ``None`` if there is nothing, or nothing of use.

        :raises OSError: if it cannot be read.
        """
        try:
            with open(self._path, "rb") as file:
                return msgspec.json.decode(file.read(), type=ScrubState)
        except FileNotFoundError:
            return None
        except ValueError:
            _log.warn("{path} says nothing of use: the scrub begins anew", path=self._path)
            return None

    def write(self, text: bytes) -> None:
        """Replace what was written, durably and at once.

        :param text: a :class:`ScrubState` in JSON, made where nobody changes it meanwhile.
        :raises OSError: if it cannot be written; what was written before stays.
        """
        new = f"{self._path}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(new, flags, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            os.rename(new, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        sync_directory(self._directory)
