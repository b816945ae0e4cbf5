"""Remember the sets that were found, to notice one that has shrunk or is of something else."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from giftless.base.files import sync_directory
from giftless.base.identities import give_to_owner
from giftless.lfs.objects import Repo
from giftless.references.errors import NoReferences

#: What directories with clones begin with.
_CLONES: Final = "clones-"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for a repository of this server.

    :ivar repo: its path.
    :ivar at: when, in seconds since the epoch.
    :ivar objects: how many objects were to be kept.
    :ivar sources: how many each source named, by the source's name.
    """

    repo: str
    at: float
    objects: int
    sources: Mapping[str, int]


class Records:
    """Keeps records, and room for clones, in a directory that one run has at a time.

    :param directory: where; made if need be.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def held(self) -> Iterator[Path]:
        """Keep others out, and remove what a killed run has left.

        :returns: an empty directory for clones, until the end.
        :raises NoReferences: if another run has it, or if it cannot be used.
        """
        try:
            self._make()
            lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            give_to_owner(lock, str(self._directory))
        except OSError as error:
            raise NoReferences(f"{self._directory} cannot be used: {error.strerror}") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise NoReferences(
                    "another 'giftless gc' runs with this state_dir; wait until it has ended"
                ) from None
            self._clear()
            try:
                yield Path(tempfile.mkdtemp(prefix=_CLONES, dir=self._directory))
            finally:
                self._clear()
        finally:
            os.close(lock)

    def load(self, repo: Repo) -> Record | None:
        """Return what was found last time; ``None`` if nothing ever was.

        :raises NoReferences: if that cannot be told.
        """
        path = self._path(repo)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError):
            raise NoReferences(
                f"{path} cannot be read, which says what was found for {repo} last time; remove"
                " it if that does not matter"
            ) from None

    def save(self, record: Record) -> None:
        """Remember a record, durably.

        :raises NoReferences: if that is impossible.
        """
        path = self._path(Repo(tuple(record.repo.split("/"))))
        new = path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(file.fileno())
                give_to_owner(file.fileno(), str(self._directory))
            new.rename(path)
            sync_directory(str(self._directory))
        except OSError as error:
            raise NoReferences(f"{path} cannot be written: {error.strerror}") from None

    def _path(self, repo: Repo) -> Path:
        # A path may be longer than the name of a file.
        digest = hashlib.sha256(repo.path.encode()).hexdigest()
        return self._directory / f"{digest}.json"

    def _make(self) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                give_to_owner(fd, str(self._directory.parent))
            finally:
                os.close(fd)

    def _clear(self) -> None:
        # What root has left, another user cannot remove; it is in nobody's way.
        for path in self._directory.glob(f"{_CLONES}*"):
            shutil.rmtree(path, ignore_errors=True)
