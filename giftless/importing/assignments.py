"""Lists that say which object belongs to which repository: ``OID REPO``, one a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from giftless.errors import BadRequest
from giftless.importing.offers import NoSource
from giftless.lfs.objects import MAX_SIZE, Oid, Repo

#: The longest line, in bytes.
_MAX_LINE: Final = 65_536

#: The most digits of a size, and one.
_MAX_DIGITS: Final = 20


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """An object that belongs to a repository.

    :ivar size: in bytes; ``None`` if that is not known.
    """

    repo: Repo
    oid: Oid
    size: int | None = None


def read_assignments(stream: BinaryIO, name: str, repo: Repo | None) -> Iterator[Assignment]:
    """Yield what a list says; blocks.

    A line is ``OID REPO``; or an oid alone, ``OID SIZE``, or a line of ``git lfs ls-files
    --long``, if it is known beforehand which repository is meant.

    :param name: what the list is called in errors.
    :param repo: the repository of all lines; ``None`` if each names its own.
    :raises NoSource: if a line is neither, or the list cannot be read.
    """
    try:
        for number, line in enumerate(iter(lambda: stream.readline(_MAX_LINE), b""), 1):
            oid, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if not oid:
                continue
            if not Oid.PATTERN.fullmatch(oid):
                raise NoSource(f"line {number} of {name} does not begin with an oid")
            if repo is not None:
                yield Assignment(repo, Oid(oid), _size(rest.strip()))
            elif not rest:
                raise NoSource(f"line {number} of {name} names no repository; say which: REPO")
            else:
                yield Assignment(parse_repo(rest.strip(), f"line {number} of {name}"), Oid(oid))
    except OSError as error:
        raise NoSource(f"{name} cannot be read: {error.strerror}") from None


def _size(text: str) -> int | None:
    """Read a size in bytes; ``None`` for anything else."""
    plain = text.isascii() and text.isdecimal() and len(text) < _MAX_DIGITS
    return int(text) if plain and int(text) <= MAX_SIZE else None


def parse_repo(path: str, name: str) -> Repo:
    """Parse the path of a repository that another server has named.

    :param name: where that was found, for errors.
    :raises NoSource: if no repository can have that path here.
    """
    try:
        return Repo.parse([*(segments := path.split("/"))[:-1], f"{segments[-1]}.git"])
    except BadRequest as error:
        raise NoSource(f"{name} has a repository {path!r}: {error.message}") from None
