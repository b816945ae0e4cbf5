"""How LFS servers name the files that they keep objects in.

Three forms of a path end in an oid: ``ab/cd/REST`` (its other 60 digits), ``ab/cd/OID`` and
``OID`` alone.  What stands in front is a repository, or nothing where all repositories share
one pool.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from giftless.errors import BadRequest
from giftless.importing.offers import NoSource
from giftless.lfs.objects import Oid, Repo

_PAIR: Final = re.compile(r"[0-9a-f]{2}", re.ASCII)
_REST: Final = re.compile(r"[0-9a-f]{60}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a directory is laid out.

    :ivar form: how paths end: in the ``rest`` of an oid or the ``whole`` of it, both below two
        pairs of digits; or in a ``flat`` oid.
    :ivar depth: how many parts the path of a repository has in front of that: 0 in a pool of
        all repositories; ``None`` for any number but 0.
    :ivar below: the directory inside that has the objects; empty for the directory itself.
    """

    form: Literal["rest", "whole", "flat"]
    depth: int | None = 0
    below: str = ""

    def place(self, oid: Oid) -> str:
        """Return the path of an object in a pool, from the directory."""
        if self.form == "flat":
            return os.path.join(self.below, oid)
        return os.path.join(self.below, oid[:2], oid[2:4], oid[4:] if self.form == "rest" else oid)

    def read(self, segments: Sequence[str]) -> tuple[Repo | None, Oid] | None:
        """Tell which object a path is: the inverse of :meth:`place`.

        :param segments: the path's parts, below :attr:`below`; at least one.
        :returns: its repository (``None`` in a pool) and oid; ``None`` if it is no object.
        """
        *front, last = segments
        if self.form != "flat":
            if len(front) < 2:
                return None
            *front, first, second = front
            if not _PAIR.fullmatch(first) or not _PAIR.fullmatch(second):
                return None
            if self.form == "rest":
                last = first + second + last if _REST.fullmatch(last) else ""
            elif not last.startswith(first + second):
                return None
        if not Oid.PATTERN.fullmatch(last):
            return None
        if self.depth == 0:
            return None if front else (None, Oid(last))
        if not front or self.depth not in (None, len(front)):
            return None
        try:
            # Parsing drops one ".git", and the name of a directory may end like that.
            return Repo.parse([*front[:-1], f"{front[-1]}.git"]), Oid(last)
        except BadRequest:
            return None

    def enters(self, name: str, depth: int) -> bool:
        """Whether objects may be in a directory.

        :param depth: how deep it is, from 1 on, below :attr:`below`.
        """
        if self.depth == 0:
            return self.form != "flat" and depth <= 2 and _PAIR.fullmatch(name) is not None
        # Servers keep their own below such: LFSX its locks, giftless its trash.
        return depth > 1 or not name.startswith(".")


_POOL: Final = Layout("rest")
_WHOLE_POOL: Final = Layout("whole")

#: The layouts that can be named, by name.
LAYOUTS: Final = {
    "gitea": _POOL,
    "forgejo": _POOL,
    "gitlab": _POOL,
    "lfs-test-server": _POOL,
    "git-lfs": _WHOLE_POOL,
    "artifactory": _WHOLE_POOL,
    "lfsx": Layout("whole", 2),
    "rudolfs": Layout("whole", 2, "objects"),
    "giftless": Layout("flat", None),
}

#: Those that are recognised, those first that a path decides for if it fits several.
_RECOGNISED: Final = (
    _POOL,
    _WHOLE_POOL,
    LAYOUTS["rudolfs"],
    LAYOUTS["lfsx"],
    LAYOUTS["giftless"],
)


@dataclass(slots=True)
class Walk:
    """Finds the objects in a directory; blocks.

    :ivar root: the directory.
    :ivar layout: how it is laid out.
    :ivar strays: how many files are no objects of this layout.
    :ivar problems: what could not be looked into, in words.
    """

    root: str
    layout: Layout
    strays: int = 0
    problems: list[str] = field(default_factory=list)

    def objects(self) -> Iterator[tuple[Repo | None, Oid, int, str]]:
        """Yield each object: its repository, oid, size in bytes, and path from the root.

        They come ordered by path.  Links are not followed.

        :raises NoSource: if the directory itself cannot be read.
        """
        top = os.path.join(self.root, self.layout.below)
        for entry in _files(top, self.layout, self.problems):
            relative = os.path.relpath(entry.path, top)
            found = self.layout.read(relative.split(os.sep))
            size = _size(entry)
            if found is None or size is None:
                self.strays += 1
            else:
                yield *found, size, os.path.join(self.layout.below, relative)


def detect(root: str) -> Layout:
    """Find out how a directory is laid out, by the first object in it.

    :raises NoSource: if it has no object in a known layout, or cannot be read.
    """
    # In directories of any layout, so that one walk finds the first object of each.
    for entry in _files(root, LAYOUTS["giftless"], []):
        segments = os.path.relpath(entry.path, root).split(os.sep)
        for layout in _RECOGNISED:
            inside = segments[1:] if layout.below and segments[0] == layout.below else segments
            if inside and bool(layout.below) == (inside is not segments) and layout.read(inside):
                return layout
    raise NoSource(f"{root} has no objects in a known layout; choose one by --layout")


def _files(top: str, layout: Layout, problems: list[str]) -> Iterator[os.DirEntry[str]]:
    """Yield all that is no directory, ordered by path.

    :param problems: gets what cannot be read, in words.
    :raises NoSource: if that is the first directory.
    """
    try:
        stack = [iter(_entries(top))]
    except OSError as error:
        raise NoSource(f"{top} cannot be read: {error.strerror}") from None
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif not entry.is_dir(follow_symlinks=False):
            yield entry
        elif layout.enters(entry.name, len(stack)):
            try:
                stack.append(iter(_entries(entry.path)))
            except OSError as error:
                problems.append(f"{entry.path} cannot be read: {error.strerror}")


def _entries(path: str) -> Sequence[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _size(entry: os.DirEntry[str]) -> int | None:
    """Return the size of a regular file; ``None`` of anything else."""
    try:
        return entry.stat().st_size if entry.is_file(follow_symlinks=False) else None
    except OSError:
        return None
