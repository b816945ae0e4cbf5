"""Read what the refs of a repository on this machine lead to, where it is.

Here, unlike in :mod:`giftless.references.clones`, nothing is deleted for what is not found:
a shallow or partial clone is read as far as it goes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from giftless.references.errors import NoReferences
from giftless.references.git import Git
from giftless.references.pointers import MAX_SIZE, MIN_SIZE, Pointer, pointers

_CHECK: Final = "--batch-check=%(objectname) %(objecttype) %(objectsize)"


def pointers_of_refs(git: Git, directory: Path, refs: str = "--all") -> Iterator[Pointer]:
    """Yield what refs lead to, in all of their history; one may come more than once.

    :param directory: the git directory.
    :param refs: which ones, as an option of ``git rev-list``; by default all.
    :raises NoReferences: if it cannot be read.
    """
    with tempfile.TemporaryFile() as listed, tempfile.TemporaryFile() as blobs:
        with git.reading(
            directory,
            "rev-list",
            "--objects",
            "--no-object-names",
            refs,
            "--missing=allow-any",
            f"--filter=blob:limit={MAX_SIZE + 1}",
        ) as printed:
            shutil.copyfileobj(printed, listed)
        listed.seek(0)
        with git.reading(directory, "cat-file", _CHECK, "--buffer", stdin=listed) as printed:
            choose_small(printed, blobs, lenient=True)
        blobs.seek(0)
        with git.reading(directory, "cat-file", "--batch", "--buffer", stdin=blobs) as contents:
            for blob in read_blobs(contents):
                yield from pointers(blob)


def choose_small(printed: BinaryIO, blobs: BinaryIO, *, lenient: bool = False) -> None:
    """Write the names of those objects that may be pointers, one a line.

    :param printed: what ``git cat-file --batch-check`` prints.
    :param lenient: whether objects may be missing.
    :raises NoReferences: if one is missing that must not be.
    """
    for line in printed:
        name, kind, *size = line.split()
        if kind == b"blob" and size and MIN_SIZE <= int(size[0]) <= MAX_SIZE:
            blobs.write(name + b"\n")
        elif not size and not lenient:
            raise NoReferences(f"git cat-file says {line[:200]!r}")
    blobs.flush()


def read_blobs(contents: BinaryIO) -> Iterator[bytes]:
    """Yield the blobs that ``git cat-file --batch`` prints, each with a line feed behind it.

    :raises NoReferences: if it prints something else.
    """
    while head := contents.readline():
        try:
            _, kind, length = head.split()
            size = int(length)
        except ValueError:
            raise NoReferences(f"git cat-file says {head[:200]!r}") from None
        blob = contents.read(size + 1)
        if kind != b"blob" or len(blob) != size + 1:
            raise NoReferences("git cat-file ended too early")
        yield blob
