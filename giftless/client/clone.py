"""A clone on this machine: which server it uses, which objects it has, and which it needs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from giftless.base.git_settings import run_git
from giftless.client.endpoints import Endpoint, endpoint_of, endpoint_of_remote
from giftless.client.errors import ServerError
from giftless.lfs.objects import Oid
from giftless.references.errors import NoReferences
from giftless.references.git import Git
from giftless.references.pointers import Pointer
from giftless.references.trees import pointers_of_refs

#: What ``.lfsconfig`` may say of where the server is: anybody can commit one.
_SAFE: Final = re.compile(r"lfs\.(push)?url|remote\..*\.lfs(push)?url|remote\.lfs(push)?default")

#: How many repositories may borrow from one another.
_MAX_ALTERNATES: Final = 100


class Clone:
    """A git repository of this machine; with a work tree, one of several, or none.

    Everything here blocks.

    :param path: a folder in it.
    :raises ServerError: if there is no repository.
    :ivar path: the folder.
    :ivar git_directory: what all its work trees share.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if not self.path.is_dir():
            raise ServerError(f"{path} is no directory")
        common = self._git("rev-parse", "--path-format=absolute", "--git-common-dir")
        if common is None:
            raise ServerError(f"{path} is in no git repository (or git does not trust its owner)")
        self.git_directory = Path(common.removesuffix("\n"))
        self._settings = self._read_settings()

    def __str__(self) -> str:
        return str(self.path)

    # -- the server

    def endpoint(self, operation: str, remote: str | None = None) -> Endpoint:
        """Return the server that git-lfs would use.

        :param operation: ``upload`` or ``download``.
        :param remote: the remote that it is asked about; ``None``: the usual one.
        :raises ServerError: if there is none that can be spoken to.
        """
        upload = operation == "upload"
        names = ["lfs.pushurl"] if upload else []
        for name in [*names, "lfs.url"]:
            if (url := self.setting(name)) is not None:
                return endpoint_of(self._real(url), self._source(name))
        chosen = remote or self.remote(operation)
        keys = [f"remote.{chosen}.lfspushurl"] if upload else []
        for name in [*keys, f"remote.{chosen}.lfsurl"]:
            if (url := self.setting(name)) is not None:
                return endpoint_of(self._real(url), self._source(name))
        keys = [f"remote.{chosen}.pushurl"] if upload else []
        for name in [*keys, f"remote.{chosen}.url"]:
            if (url := self.setting(name)) is not None:
                return endpoint_of_remote(self._real(url), self._source(name))
        raise ServerError(
            f"{self}: no setting names its LFS server, neither lfs.url nor remote.{chosen}.url"
        )

    def remote(self, operation: str) -> str:
        """Return the name of the remote that git-lfs uses when nobody names one."""
        branch = self.branch().removeprefix("refs/heads/")
        keys = []
        if operation == "upload":
            keys = [f"branch.{branch}.pushremote", "remote.lfspushdefault", "remote.pushdefault"]
        for key in [*keys, f"branch.{branch}.remote", "remote.lfsdefault"]:
            if (found := self.setting(key)) and found != ".":
                return found
        remotes = self.remotes
        return remotes[0] if len(remotes) == 1 else "origin"

    def branch(self) -> str:
        """Return the full name of the branch that is checked out; empty if none is."""
        return (self._git("symbolic-ref", "--quiet", "HEAD") or "").strip()

    @property
    def remotes(self) -> list[str]:
        """The names of all remotes."""
        return (self._git("remote") or "").split()

    def setting(self, name: str) -> str | None:
        """Return what git's configuration or ``.lfsconfig`` says; ``None`` if nothing.

        :param name: its section and key in lower case, such as ``lfs.url``.
        """
        found = self._settings.get(name)
        return None if found is None else found[0]

    def _source(self, name: str) -> str:
        return f"{name} in {self._settings[name][1]}"

    def _real(self, url: str) -> str:
        """Apply ``url.<base>.insteadOf``."""
        if url.startswith("-"):
            return url
        return (self._git("ls-remote", "--get-url", url) or url).removesuffix("\n")

    def _read_settings(self) -> dict[str, tuple[str, str]]:
        """Read all settings: their values, and where they are from."""
        settings = {}
        for name, value in _entries(self._lfsconfig()):
            if _SAFE.fullmatch(name):
                settings[name] = value, ".lfsconfig"
        printed = self._git("config", "-z", "--list")
        for name, value in _entries(printed or ""):
            settings[name] = value, "git's configuration"
        return settings

    def _lfsconfig(self) -> str:
        """Return what ``.lfsconfig`` says: of the work tree, else the index, else HEAD."""
        top = (self._git("rev-parse", "--show-toplevel") or "").removesuffix("\n")
        if top and (file := Path(top, ".lfsconfig")).is_file():
            return self._git("config", "-z", "--list", "-f", str(file)) or ""
        for blob in (":.lfsconfig", "HEAD:.lfsconfig"):
            found = self._git("config", "-z", "--list", f"--blob={blob}")
            if found is not None:
                return found
        return ""

    # -- objects

    @property
    def storage(self) -> Path:
        """Where its own objects are, below ``objects``."""
        storage = (self._git("config", "--type=path", "lfs.storage") or "").removesuffix("\n")
        return Path(self.git_directory, storage or "lfs").absolute()

    def storages(self) -> list[Path]:
        """Return where its objects are: its own, then those of repositories it borrows from."""
        found = [self.storage]
        waiting = [self.git_directory / "objects"]
        seen: set[str] = set()
        while waiting and len(seen) < _MAX_ALTERNATES:
            folder = waiting.pop()
            if (real := os.path.realpath(folder)) in seen:
                continue
            seen.add(real)
            try:
                lines = (folder / "info" / "alternates").read_text(errors="surrogateescape")
            except OSError:
                continue
            for line in lines.splitlines():
                if line and not line.startswith("#"):
                    objects = Path(folder, line.strip('"'))
                    found.append(objects.parent / "lfs")
                    waiting.append(objects)
        return found

    def object_path(self, oid: str, storages: list[Path] | None = None) -> Path | None:
        """Return the file of an object; ``None`` if the clone does not have it.

        :param storages: as :meth:`storages` returns them, where many are asked for.
        """
        for storage in self.storages() if storages is None else storages:
            path = storage / "objects" / oid[:2] / oid[2:4] / oid
            if path.is_file():
                return path
        return None

    def stored(self) -> Iterator[Oid]:
        """Yield the oids of all objects that the clone has; one may come more than once."""
        for storage in self.storages():
            for first in _names(storage / "objects", 2):
                for second in _names(storage / "objects" / first, 2):
                    for name in _names(storage / "objects" / first / second, 64):
                        if Oid.PATTERN.fullmatch(name) and name.startswith(first + second):
                            yield Oid(name)

    def needed(self, git: Git, refs: str = "--all") -> Iterator[Pointer]:
        """Yield what refs of the clone lead to, in all of their history.

        :param refs: which ones, as an option of ``git rev-list``; by default all.
        :raises ServerError: if that cannot be told.
        """
        try:
            yield from pointers_of_refs(git, self.git_directory, refs)
        except NoReferences as error:
            raise ServerError(f"{self}: {error}") from None

    def _git(self, *arguments: str) -> str | None:
        return run_git(*arguments, directory=str(self.path))


def _entries(printed: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values that ``git config -z --list`` printed."""
    for entry in filter(None, printed.split("\0")):
        name, _, value = entry.partition("\n")
        yield name, value


def _names(folder: Path, length: int) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if len(name) == length]
    except OSError:
        return []
