"""What a run that reads objects has done, so that the next one goes on from there.

A file has one line of JSON for each object that was read, written when it was; a line for
each page of the store's list; and at its top what the run is.  A killed process loses
nothing that was written; a machine that fails loses what was not synced.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

import msgspec

from giftless.base.files import sync_directory
from giftless.base.identities import give_to_owner
from giftless.lfs.objects import TRASH, ObjectKey
from giftless.usecases.fsck.findings import Finding, Outcome

#: When a page begins and the file has so many bytes, it is written anew without what is
#: not needed any more.
COMPACTED: Final = 4 * 1024 * 1024


class Busy(Exception):
    """Another process has the journal."""


class _Noted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding."""

    outcome: Outcome
    problem: str
    object: str = ""
    path: str = ""
    marked: bool = False

    @classmethod
    def of(cls, finding: Finding) -> _Noted:
        path = finding.key.path if finding.key is not None else ""
        return cls(finding.outcome, finding.problem, path, finding.path, finding.marked)

    def finding(self) -> Finding:
        key = ObjectKey.of_path(self.object, f"/{TRASH}/" in self.object)
        return Finding(self.outcome, self.problem, key, self.path, self.marked)


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line: exactly one of its kinds.

    :ivar seed: what the run is; with ``share`` and ``began``.
    :ivar place: a page begins there, with ``cursor``, and what was done before.
    :ivar object: this object was read, with its size, and what was found.
    """

    seed: str = ""
    share: float | None = None
    began: float = 0.0
    place: int = -1
    cursor: str | None = None
    read: int = 0
    size: int = 0
    object: str = ""
    found: _Noted | None = None


class Journal:
    """The journal of one kind of run.  Everything here blocks, but shortly.

    :param directory: where it is; made if it is missing.
    :param name: names the kind: the store, and what is read of it.
    :ivar seed: decides which objects are chosen; empty if there is no run to go on with.
    :ivar share: which share of them is chosen; ``None`` until that is known.
    :ivar began: when the run began, in seconds since the epoch.
    :ivar place: the place whose page is being read.
    :ivar cursor: where that page begins.
    :ivar done: the paths of its objects that were read.
    :ivar read: how many objects were read.
    :ivar size: how many bytes these have.
    :ivar findings: what was found.
    """

    def __init__(self, directory: str, name: str) -> None:
        self._path = os.path.join(directory, f"{name}.journal")
        self._directory = directory
        self._file = self._lock = -1
        self._clear()

    def _clear(self) -> None:
        self.seed = ""
        self.share: float | None = None
        self.began = 0.0
        self.place = 0
        self.cursor: str | None = None
        self.done: set[str] = set()
        self.read = self.size = 0
        self.findings: list[Finding] = []

    def open(self) -> None:
        """Keep others out, and read what there is.

        :raises Busy: if another process has it.
        :raises OSError: if it cannot be used.
        """
        if not os.path.isdir(self._directory):
            os.makedirs(self._directory, 0o700, exist_ok=True)
            fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                give_to_owner(fd, os.path.dirname(self._directory))
            finally:
                os.close(fd)
        self._lock = self._make(f"{self._path}.lock", os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise Busy from None
        self._load()

    def _load(self) -> None:
        try:
            with open(self._path, "rb") as file:
                lines = file.readlines()
        except FileNotFoundError:
            return
        decode = msgspec.json.Decoder(_Line).decode
        for text in lines:
            try:
                line = decode(text)
            except ValueError:
                # A line that was cut off by the end of a machine, or of a disk.
                continue
            self._take(line)
        if not self.seed:
            self._clear()

    def _take(self, line: _Line) -> None:
        if line.seed:
            self.seed, self.share, self.began = line.seed, line.share, line.began
        elif line.place >= 0:
            self.place, self.cursor = line.place, line.cursor
            self.read, self.size = line.read, line.size
            self.done.clear()
        elif line.object:
            self.done.add(line.object)
            self.read += 1
            self.size += line.size
        if line.found is not None:
            self.findings.append(line.found.finding())

    def begin(self, seed: str, began: float) -> None:
        """Begin a run, and forget the one that was read.

        :param seed: decides which objects are chosen.
        :param began: when it is, in seconds since the epoch.
        """
        self._clear()
        self.seed, self.began = seed, began

    def fix(self, share: float) -> float:
        """Begin to write, and return the share that the run has chosen when it began.

        :param share: what it chooses, if it begins now.
        """
        if self.share is None:
            self.share = share
        self._rewrite()
        return self.share

    def turn(self, place: int, cursor: str | None) -> None:
        """Note that all objects of a page were read.

        :param place: where the next page is.
        :param cursor: where it begins.
        """
        self.place, self.cursor = place, cursor
        self.done.clear()
        if os.fstat(self._file).st_size > COMPACTED:
            self._rewrite()
        else:
            self._write(self._page())

    def note(self, key: ObjectKey, size: int, finding: Finding | None) -> None:
        """Note that an object was read.

        :param finding: what was found.
        """
        self.done.add(key.path)
        self.read += 1
        self.size += size
        if finding is not None:
            self.findings.append(finding)
        found = None if finding is None else _Noted.of(finding)
        self._write(_Line(object=key.path, size=size, found=found))

    def sync(self) -> None:
        """Make all that was noted durable."""
        os.fsync(self._file)

    def finish(self) -> None:
        """Forget the run: it has ended."""
        os.unlink(self._path)

    def close(self) -> None:
        """Let others have it.  Harmless when repeated."""
        for fd in (self._file, self._lock):
            if fd >= 0:
                os.close(fd)
        self._file = self._lock = -1

    def _page(self) -> _Line:
        return _Line(place=self.place, cursor=self.cursor, read=self.read, size=self.size)

    def _write(self, *lines: _Line) -> None:
        encode = msgspec.json.encode
        os.write(self._file, b"".join(encode(line) + b"\n" for line in lines))

    def _rewrite(self) -> None:
        """Write the file anew, durably and at once."""
        if self._file >= 0:
            os.close(self._file)
        new = f"{self._path}.new"
        self._file = self._make(new, os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
        undone = self._page()
        # Those of this page count by their own lines.
        undone = msgspec.structs.replace(undone, read=self.read - len(self.done))
        self._write(
            _Line(seed=self.seed, share=self.share, began=self.began),
            *(_Line(place=-1, found=_Noted.of(finding)) for finding in self.findings),
            undone,
            *(_Line(object=path) for path in self.done),
        )
        os.fsync(self._file)
        os.rename(new, self._path)
        sync_directory(self._directory)

    def _make(self, path: str, access: int) -> int:
        fd = os.open(path, access | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        give_to_owner(fd, self._directory)
        return fd
