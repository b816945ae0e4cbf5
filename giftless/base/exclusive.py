"""Names that one holder at a time has, among all processes of a machine.

The kernel takes a name from a process that dies.  Whoever comes in vain can read the note
that the holder has left, and so can whoever comes after it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

#: The longest note that is read, in bytes.
_MAX_NOTE = 64 * 1024


@dataclass(slots=True)
class Held:
    """Names that are held.

    :ivar before: the note that the last holder of the first name has left; empty if there
        is none.
    """

    _files: list[tuple[int, str]] = field(default_factory=list)
    before: bytes = b""

    def note(self, text: bytes) -> None:
        """Leave a note for others; it is short, so that they see the old one or the new one."""
        for descriptor, _ in self._files:
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))

    def release(self, keep: bool = False) -> None:
        """Give the names back.

        :param keep: whether the note stays, for whoever holds the first name next.
        """
        files, self._files = self._files, []
        with ExitStack() as stack:
            for descriptor, _ in files:
                stack.callback(os.close, descriptor)
            for index, (_, path) in enumerate(files):
                if index or not keep:
                    os.unlink(path)


class Exclusive:
    """Lends names.

    :param directory: where a file stands for each name that is held; made if it is absent.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def take(self, names: Iterable[str], note: bytes) -> Held | bytes:
        """Take all of some names, or none; blocks for a moment only.

        :param note: for others.
        :returns: the names; or the note of who has one of them.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        held = Held()
        with ExitStack() as stack:
            # What the last holder has left stays; a file that was made here goes.
            stack.callback(lambda: held.release(keep=bool(held.before)))
            # Two who take several at once meet at the first, whatever they say first.
            for index, name in enumerate(sorted(set(names))):
                path = os.path.join(self._directory, hashlib.sha256(name.encode()).hexdigest())
                descriptor = _lock(path)
                if descriptor is None:
                    return _read(path)
                held._files.append((descriptor, path))
                if not index:
                    held.before = os.pread(descriptor, _MAX_NOTE, 0)
            stack.pop_all()
        held.note(note)
        return held


def _lock(path: str) -> int | None:
    """Open and lock a file.

    :returns: its descriptor; ``None`` if somebody else has locked it.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_at(path, descriptor):
            return descriptor
        # The holder before has deleted it after it was opened here.
        os.close(descriptor)


def _is_at(path: str, descriptor: int) -> bool:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_NOTE)
    except FileNotFoundError:
        return b""
