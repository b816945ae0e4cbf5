"""Git repositories whose history is written without git: thousands of commits in no time.

What is reachable is known without asking git too, so it can be compared with what git says.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.references.support import pointer_to


@dataclass(frozen=True)
class Commit:
    """A commit.

    :ivar reaches: the oids of all LFS objects that its history names.
    """

    oid: str
    files: Mapping[str, str]
    reaches: frozenset[str]


@dataclass
class History:
    """A bare repository.

    :ivar path: where it is.
    :ivar lfs: the path of its LFS repository on the server.
    :ivar refs: what each ref names.
    :ivar known: all commits that refs have ever named.
    """

    path: Path
    lfs: str
    refs: dict[str, Commit] = field(default_factory=dict)
    known: list[Commit] = field(default_factory=list)
    _count: int = 0

    def create(self) -> None:
        """Make it, without running git."""
        for name in ("objects", "refs/heads"):
            (self.path / name).mkdir(parents=True)
        (self.path / "HEAD").write_text("ref: refs/heads/main\n")
        (self.path / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")

    def commit(self, files: Mapping[str, tuple[str, int]], parents: Sequence[Commit]) -> Commit:
        """Write a commit that no ref leads to yet.

        :param files: names, and the oids and sizes of the objects that they are pointers to.
        """
        blobs = {name: self._write(b"blob", pointer_to(*item)) for name, item in files.items()}
        tree = b"".join(
            b"100644 %s\0%s" % (name.encode(), bytes.fromhex(blobs[name])) for name in sorted(blobs)
        )
        self._count += 1
        who = f"Tess Ter <tess@example.com> {1_700_000_000 + self._count} +0000"
        lines = [
            f"tree {self._write(b'tree', tree)}",
            *(f"parent {parent.oid}" for parent in parents),
            f"author {who}",
            f"committer {who}",
            "",
            f"{self._count}",
        ]
        oid = self._write(b"commit", "\n".join(lines).encode())
        names = {name: item[0] for name, item in files.items()}
        reaches = frozenset(names.values()).union(*(parent.reaches for parent in parents))
        return Commit(oid, names, reaches)

    def update(self, ref: str, commit: Commit | None) -> None:
        """Let a ref name a commit, or delete it: at once, as a push does."""
        path = self.path / ref
        if commit is None:
            path.unlink(missing_ok=True)
            self.refs.pop(ref, None)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock")
        lock.write_text(f"{commit.oid}\n")
        lock.rename(path)
        self.refs[ref] = commit
        self.known.append(commit)

    @property
    def reachable(self) -> frozenset[str]:
        """The oids of all LFS objects that some ref leads to."""
        return frozenset[str]().union(*(commit.reaches for commit in list(self.refs.values())))

    def _write(self, kind: bytes, data: bytes) -> str:
        whole = b"%s %d\0%s" % (kind, len(data), data)
        oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        path = self.path / "objects" / oid[:2] / oid[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            new = path.with_name(f"{path.name}.{os.getpid()}.new")
            new.write_bytes(zlib.compress(whole, 1))
            new.rename(path)
        return oid
