"""Clone a git repository without its files, and find every pointer in it.

All that is read is what the server has sent: so an object is kept whose commit was still
there when the clone began.  Nothing is checked out, and of blobs only those come that are
small enough for a pointer, if the server can leave out the others.

A ref that cannot be stored here (its name is invalid, it is hidden, it moves) must not go
unnoticed: after each fetch everything that the server has named must be there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from giftless.references.errors import NoReferences
from giftless.references.git import Git
from giftless.references.keepset import KeepSet
from giftless.references.pointers import MAX_SIZE, digests
from giftless.references.sources import Source
from giftless.references.trees import choose_small, read_blobs

#: How often refs may move while they are fetched.
_TRIES: Final = 5

#: Leaves out what is larger than a pointer: from this size on, in bytes.
_FILTER: Final = f"--filter=blob:limit={MAX_SIZE + 1}"

#: Lets a repository of this machine show all refs, whatever it hides from others, and leave
#: out large blobs.  The shell of git runs it.
_UPLOAD_PACK: Final = (
    "GIT_GRAFT_FILE=/dev/null git -c uploadpack.hideRefs=!refs -c uploadpack.allowFilter=true"
    " upload-pack"
)

#: How git says that the server cannot leave out blobs.
_UNFILTERED: Final = "filtering not recognized by server"

#: Where refs of other repositories go: below it by the number of the look.
_LOOKS: Final = "refs/looks"


class Clone:
    """A clone of one repository.

    :param git: runs git.
    :param source: what to clone.
    :param directory: where; it is made.
    :param ignored: patterns of refs that are left out, each with at most one ``*``.
    :param reflogs: whether what reflogs name counts as well; only for repositories of this
        machine.
    :ivar empty: whether the repository has no refs at all.
    :ivar complaints: what operators should know, in words.
    """

    def __init__(
        self,
        git: Git,
        source: Source,
        directory: Path,
        ignored: Sequence[str] = (),
        reflogs: bool = False,
    ) -> None:
        if reflogs and source.local is None:
            raise NoReferences(
                f"{source.name} shows its reflogs to nobody; run this where the repository is,"
                " and name its directory"
            )
        self._git = git
        self._source = source
        self._directory = directory
        self._ignored = ignored
        self._reflogs = reflogs
        self._looks = 0
        self._begun = False
        self.empty = False
        self.complaints: list[str] = []

    def fetch(self) -> None:
        """Clone, or fetch what has come since.

        :raises NoReferences: if not everything can be had.
        """
        with self._named():
            self._fetch()

    def is_behind(self) -> bool:
        """Whether the server names something that was not fetched.

        :raises NoReferences: if it cannot be asked.
        """
        with self._named():
            tips = self._advertised()
            return bool(tips) and (self._looks == 0 or not self._has(tips))

    def scan(self, keep: KeepSet) -> int:
        """Add what all pointers name to what is kept.

        :returns: how many different objects that is.
        :raises NoReferences: if something cannot be read.
        """
        found = KeepSet()
        if not self.empty:
            with self._named():
                self._scan(self._directory, ["--batch-all-objects", "--unordered"], found, keep)
                if self._reflogs and self._source.local is not None:
                    self._scan_reflogs(_git_directory(self._source.local), found, keep)
        return len(found)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say of every problem which repository has it."""
        try:
            yield
        except NoReferences as error:
            raise NoReferences(f"{self._source.name}: {error}") from None
        except OSError as error:
            problem = f"the clone cannot be kept in {self._directory}: {error.strerror}"
            raise NoReferences(f"{self._source.name}: {problem}") from None

    def _fetch(self) -> None:
        if not self._begun:
            self._begin()
        tips = self._advertised()
        for _ in range(_TRIES):
            if not tips:
                self.empty = self._looks == 0
                return
            before, problem = tips, None
            try:
                self._fetch_all(tips)
            except NoReferences as error:
                problem = error
            if problem is None and self._has(tips):
                break
            tips = self._advertised()
            if problem is not None and tips == before:
                raise problem
        else:
            missing = [*self._missing(tips), "none any more"]
            raise NoReferences(
                f"{len(missing) - 1} of its refs cannot be fetched, {missing[0]} for one: they"
                " move all the time, or git does not take their names"
            )
        self.empty = False
        if (self._directory / "shallow").exists():
            raise NoReferences("it is shallow, so its history is not whole")
        # git does not look whether commits and trees are whole where a server may leave out
        # blobs.
        self._git.run(
            self._directory, "rev-list", "--objects", "--all", "--filter=blob:none", "--quiet"
        )

    def _begin(self) -> None:
        """Make the clone's directory, for object ids of the right length."""
        self._begun = True
        if (local := self._source.local) is not None:
            self._check_local(_git_directory(local))
        self._init("sha1")
        tips = self._advertised()
        if any(len(oid) == 64 for oid in tips.values()):
            shutil.rmtree(self._directory)
            self._init("sha256")

    def _check_local(self, directory: Path) -> None:
        """Refuse what a repository of this machine says of itself and servers do not tell."""
        printed, _ = self._git.run(directory, "rev-parse", "--is-shallow-repository")
        if printed.startswith(b"true"):
            raise NoReferences("it is shallow, so its history is not whole")
        printed, _ = self._git.run(directory, "config", "--local", "--list", "--name-only")
        for name in printed.decode(errors="replace").splitlines():
            if name == "extensions.partialclone" or name.endswith(".promisor"):
                raise NoReferences("it is a partial clone, so its history is not whole")

    def _init(self, form: str) -> None:
        self._directory.mkdir(parents=True)
        # An option that older versions of git do not know is given only where it is needed.
        options = [] if form == "sha1" else [f"--object-format={form}"]
        self._git.run(self._directory, "init", "--quiet", "--bare", "--template=", *options)
        # In the file, since everybody can see a command line.
        with (self._directory / "config").open("a", encoding="utf-8") as file:
            quoted = self._source.url.replace("\\", "\\\\").replace('"', '\\"')
            file.write(f'[remote "origin"]\n\turl = "{quoted}"\n')

    def _advertised(self) -> Mapping[str, str]:
        """Ask for all refs, but those that are ignored: their names, and what they name."""
        printed, _ = self._git.run(self._directory, "ls-remote", *self._remote_options, "origin")
        tips: dict[str, str] = {}
        for line in printed.decode(errors="replace").splitlines():
            oid, tab, name = line.partition("\t")
            if tab and not any(_matches(pattern, name) for pattern in self._ignored):
                tips[name] = oid
        return tips

    @property
    def _remote_options(self) -> list[str]:
        return [] if self._source.local is None else [f"--upload-pack={_UPLOAD_PACK}"]

    def _fetch_all(self, tips: Mapping[str, str]) -> None:
        # Each time to names that are free: a branch may have become a folder of branches.
        self._looks += 1
        target = f"{_LOOKS}/{self._looks}"
        refspecs = [f"+refs/*:{target}/refs/*"]
        # Otherwise it only says which branch is the first; and that may be deleted just now.
        others = {oid for name, oid in tips.items() if name != "HEAD"}
        if tips.get("HEAD", "") not in {"", *others}:
            refspecs.append(f"+HEAD:{target}/HEAD")
        _, said = self._git.run(
            self._directory,
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            # So that it is seen.
            "--update-shallow",
            _FILTER,
            *self._remote_options,
            "origin",
            *refspecs,
            *(f"^{pattern}" for pattern in self._ignored),
        )
        if _UNFILTERED in said and not self.complaints:
            self.complaints.append(
                f"{self._source.name} cannot leave out large files: all of it was cloned"
            )

    def _has(self, tips: Mapping[str, str]) -> bool:
        return not self._missing(tips)

    def _missing(self, tips: Mapping[str, str]) -> list[str]:
        """Return the names of those refs whose objects are not here."""
        oids = "".join(f"{oid}\n" for oid in tips.values()).encode()
        printed, _ = self._git.run(self._directory, "cat-file", "--batch-check", stdin=oids)
        lines = printed.decode(errors="replace").splitlines()
        return [name for name, line in zip(tips, lines, strict=True) if line.endswith(" missing")]

    def _scan(self, directory: Path, which: Sequence[str], found: KeepSet, keep: KeepSet) -> None:
        """Read the small blobs of a repository.

        :param which: options that choose the objects.
        """
        with (self._directory / "blobs").open("w+b") as blobs:
            with self._git.reading(
                directory,
                "cat-file",
                "--batch-check=%(objectname) %(objecttype) %(objectsize)",
                *which,
            ) as printed:
                choose_small(printed, blobs)
            self._read(directory, blobs, found, keep)

    def _scan_reflogs(self, directory: Path, found: KeepSet, keep: KeepSet) -> None:
        """Read the small blobs that reflogs lead to, in the repository itself."""
        with (
            (self._directory / "reflogged").open("w+b") as listed,
            (self._directory / "blobs").open("w+b") as blobs,
        ):
            with self._git.reading(
                directory, "rev-list", "--objects", "--no-object-names", "--reflog", _FILTER
            ) as printed:
                shutil.copyfileobj(printed, listed)
            listed.seek(0)
            with self._git.reading(
                directory,
                "cat-file",
                "--batch-check=%(objectname) %(objecttype) %(objectsize)",
                "--buffer",
                stdin=listed,
            ) as printed:
                choose_small(printed, blobs)
            self._read(directory, blobs, found, keep)

    def _read(self, directory: Path, blobs: BinaryIO, found: KeepSet, keep: KeepSet) -> None:
        """Read the blobs that a file lists."""
        blobs.seek(0)
        with self._git.reading(
            directory, "cat-file", "--batch", "--buffer", stdin=blobs
        ) as contents:
            for blob in read_blobs(contents):
                for digest in digests(blob):
                    found.add(digest)
                    keep.add(digest)


def _matches(pattern: str, name: str) -> bool:
    """Whether a ref fits a pattern with at most one ``*``, as git means it."""
    name = name.removesuffix("^{}")
    before, star, after = pattern.partition("*")
    if not star:
        return name == pattern
    long_enough = len(name) >= len(before) + len(after)
    return long_enough and name.startswith(before) and name.endswith(after)


def _git_directory(path: Path) -> Path:
    """Return where the repository of a directory is: it may have a working tree."""
    return path / ".git" if (path / ".git").exists() else path
