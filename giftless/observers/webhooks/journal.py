"""What was observed and is not in the outbox yet, where it outlasts the process.

An event is appended before the request is answered that it is about: what the kernel has
taken is not lost when the process is killed.  Nothing is flushed to the disk, so it may be
lost with the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Sequence
from typing import BinaryIO, Final

#: What the names of journals begin with, and of those that are being made.
_JOURNAL: Final = "journal-"
_NEW: Final = "new-"


class Journal:
    """Lines of this process, in two files: while one is emptied, the other takes new lines.

    The files are locked as long as the process lives.

    :param directory: where they are; made if it is missing.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files: list[_File] = []

    def open(self) -> None:
        """Make the files.

        :raises OSError: if that is impossible.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        self._files = [_File(self._directory), _File(self._directory)]

    def append(self, line: bytes) -> None:
        """Keep a line.

        :param line: ends with a newline.
        :raises OSError: if it cannot be kept.
        """
        if self._files:
            self._files[0].append(line)

    def begin(self) -> None:
        """Let lines from now on be in the other file, if that is empty."""
        if self._files and self._files[1].empty:
            self._files.reverse()

    def commit(self) -> None:
        """Forget the lines from before :meth:`begin`.  May be called in a thread."""
        if self._files:
            self._files[1].clear()

    def close(self) -> None:
        """Remove the files, if nothing is in them; else leave them to others."""
        files, self._files = self._files, []
        for file in files:
            file.close()


class _File:
    """One file of lines, which belongs to whoever has locked it."""

    def __init__(self, directory: str) -> None:
        name = secrets.token_hex(8)
        new = os.path.join(directory, _NEW + name)
        self._path = os.path.join(directory, _JOURNAL + name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(new, flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        # Nobody may find it before it is locked.
        os.rename(new, self._path)
        self.empty = True

    def append(self, line: bytes) -> None:
        self.empty = False
        os.write(self._fd, line)

    def clear(self) -> None:
        if not self.empty:
            os.ftruncate(self._fd, 0)
            self.empty = True

    def close(self) -> None:
        if self.empty:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        os.close(self._fd)


class Abandoned:
    """Lines of processes that have died.  Every method blocks.

    :param directory: where journals are.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._taken: list[tuple[str, BinaryIO]] = []

    def take(self) -> Sequence[bytes]:
        """Return the lines; nobody else gets them until :meth:`release`."""
        lines: list[bytes] = []
        for path in _journals(self._directory):
            try:
                file = open(path, "rb")  # noqa: SIM115  # until it is released
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()  # its process lives
                continue
            self._taken.append((path, file))
            # Somebody else may have had it, and removed it.
            if os.fstat(file.fileno()).st_nlink:
                # The last line may be half written.
                lines += file.read().split(b"\n")[:-1]
        return lines

    def release(self, remove: bool) -> None:
        """Let go of the lines.

        :param remove: whether they are kept elsewhere now.
        """
        taken, self._taken = self._taken, []
        for path, file in taken:
            with file, contextlib.suppress(FileNotFoundError):
                if remove:
                    os.unlink(path)


def _journals(directory: str) -> Sequence[str]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return ()
    return [os.path.join(directory, name) for name in sorted(names) if name.startswith(_JOURNAL)]
