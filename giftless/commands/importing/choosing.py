"""Options that tell which objects of a pool belong to which repository."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from twisted.python import usage

from giftless.base.units import Duration
from giftless.commands.importing.objects import FLAGS, PARAMETERS, ImportObjects
from giftless.importing.assignments import Assignment, read_assignments
from giftless.importing.offers import NoSource
from giftless.interfaces import Environment
from giftless.lfs.objects import Oid, Repo
from giftless.references.errors import NoReferences
from giftless.references.gathering import Gathering
from giftless.references.git import Git
from giftless.references.sources import Source, parse_source

#: What stands for standard input.
_STDIN: Final = "-"


class ChoosingCommand(ImportObjects):
    """A command that imports some objects out of many.

    :ivar repo: where all objects go; ``None`` if they go to several repositories.
    :ivar sources: the git repositories whose refs choose.
    """

    optParameters: Any = [
        *PARAMETERS,
        ["list", None, None, "Import what a file lists, 'OID REPO' or 'OID' a line; - is stdin."],
        ["git-timeout", None, "2h", "How long one run of git may take."],
    ]
    optFlags: Any = FLAGS

    def __init__(self) -> None:
        super().__init__()
        self.repo: Repo | None = None
        self.sources: list[Source] = []

    def opt_from(self, url: str) -> None:
        """Import what the refs of a git repository need: a URL or a directory (repeatable)."""
        try:
            self.sources.append(parse_source(url))
        except NoReferences as error:
            raise usage.UsageError(str(error)) from None

    def postOptions(self) -> None:
        """Check what belongs together."""
        super().postOptions()
        if self.sources and self["list"] is not None:
            raise usage.UsageError("--from and --list cannot be combined")
        if self.sources and self.repo is None:
            raise usage.UsageError("--from needs REPO: where the objects go")
        try:
            self["git-timeout"] = Duration.of(self["git-timeout"])
        except ValueError as error:
            raise usage.UsageError(f"--git-timeout: {error}") from None

    @property
    def chooses(self) -> bool:
        """Whether only some objects are to be imported."""
        return bool(self.sources) or self["list"] is not None

    async def chosen(self, environment: Environment) -> Sequence[Assignment]:
        """Tell which objects are to be imported, where not all are.

        :raises NoSource: if the list cannot be read.
        :raises NoReferences: if a git repository cannot.
        """
        run = environment.blocking.run
        if not self.sources:
            return in_order(await run(self.listed))
        git = Git(self["git-timeout"])
        # Killed in time, so that this process can end.
        reactor: Any = environment.reactor
        reactor.addSystemEventTrigger("before", "shutdown", git.stop)
        return in_order(await run(self._referenced, git))

    def _referenced(self, git: Git) -> list[Assignment]:
        assert self.repo is not None, "it was checked"
        directory = tempfile.mkdtemp(prefix="giftless-import-")
        try:
            gathering = Gathering(git, self.sources, (), Path(directory, "clones"))
            gathering.gather()
            return [Assignment(self.repo, Oid(digest.hex())) for digest in gathering.keep]
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def listed(self) -> list[Assignment]:
        """Read the list; blocks.

        :raises NoSource: if it cannot be read.
        """
        name = self["list"]
        if name == _STDIN:
            return list(read_assignments(sys.stdin.buffer, "the list", self.repo))
        try:
            with open(name, "rb") as file:
                return list(read_assignments(file, name, self.repo))
        except OSError as error:
            raise NoSource(f"{name} cannot be read: {error.strerror}") from None


def in_order(found: Sequence[Assignment]) -> Sequence[Assignment]:
    """Put those of one repository together, each once."""
    return sorted(
        {(each.repo.path, each.oid): each for each in found}.values(),
        key=lambda each: (each.repo.path, each.oid),
    )
