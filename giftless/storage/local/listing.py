"""List the objects in a directory, in the order of their paths.  Everything here blocks.

A cursor is the path of the last object on a page (``org/repo/{oid}``).  The
next page begins after it, whether or not that object is still there: so nothing
has to be remembered between two pages, and what is stored or deleted in the
meantime moves no other object from one page to another.

Nothing outside of the layout is listed: no files with other names, nothing in
directories that no repository can have, no links and nothing behind them, but for the
directories that lie on other disks.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from giftless.errors import BadRequest
from giftless.interfaces import ListedObject, ObjectPage
from giftless.lfs.objects import MAX_SEGMENTS, ObjectKey, Oid, Repo


def list_page(
    root: bytes, repo: Repo | None, cursor: str | None, limit: int, linked: Collection[bytes] = ()
) -> ObjectPage:
    """Return one page; see :meth:`giftless.interfaces.IListing.list`.

    :param root: the directory of all repositories.
    :param linked: the links that are followed: the paths of directories.
    :raises BadRequest: if the cursor is none of such a list.
    :raises OSError: if a directory that is there cannot be read.
    """
    after = () if cursor is None else _parse(cursor, repo)
    start: tuple[str, ...] = () if repo is None else repo.segments
    found: Iterator[ListedObject] = iter(())
    if _is_there(root, start, linked):
        walk = _Walk(root, repo is None, limit + 1, linked)
        found = walk.objects(start, after[len(start) :])
    # One more tells whether there is another page.
    objects = list(islice(found, limit + 1))
    page = objects[:limit]
    return ObjectPage(page, page[-1].key.path if len(objects) > limit else None)


def _parse(cursor: str, repo: Repo | None) -> tuple[str, ...]:
    """Return the parts of a cursor's path."""
    key = ObjectKey.of_path(cursor)
    if key is None or repo not in (None, key.repo):
        raise BadRequest("the cursor is not one that this list gave; list from the beginning")
    return (*key.repo.segments, key.oid)


def _is_there(root: bytes, segments: Sequence[str], linked: Collection[bytes]) -> bool:
    """Return whether a directory is there, and is reached through no link but ``linked``."""
    path = root
    for segment in segments:
        path = os.path.join(path, segment.encode())
        if os.path.islink(path) and path not in linked:
            return False
    return os.path.isdir(path)


class _Walk:
    """Finds objects in a directory and below it, in the order of names.

    :param root: the directory of all repositories.
    :param deep: whether to enter directories.
    :param count: how many entries of a directory to keep in memory at once.
    :param linked: the links that are followed.
    """

    def __init__(self, root: bytes, deep: bool, count: int, linked: Collection[bytes]) -> None:
        self._root = root
        self._deep = deep
        self._count = count
        self._linked = linked

    def objects(self, segments: tuple[str, ...], after: Sequence[str]) -> Iterator[ListedObject]:
        """Find the objects of a directory and of those below it.

        :param segments: the directory's path below the root.
        :param after: where to begin, below the directory: after this object.
        """
        directory = os.path.join(self._root, *(segment.encode() for segment in segments))
        repo = _repo(segments)
        name = b""
        if after:
            name = after[0].encode()
            below = os.path.join(directory, name)
            if len(after) > 1 and (below in self._linked or not os.path.islink(below)):
                yield from self.objects((*segments, after[0]), after[1:])
        while entries := self._entries(directory, name):
            for entry in entries:
                text = _text(entry)
                if self._is_directory(entry):
                    if _repo((*segments, text)) is not None:
                        yield from self.objects((*segments, text), ())
                elif repo is not None and (status := _status(entry)) is not None:
                    yield ListedObject(ObjectKey(repo, Oid(text)), status.st_size, status.st_mtime)
            if len(entries) < self._count:
                break
            name = entries[-1].name

    def _entries(self, directory: bytes, after: bytes) -> list[os.DirEntry[bytes]]:
        """Return a directory's next entries that may matter, in the order of their names.

        :param after: the name after which they begin.
        """
        # Another process may remove it at any moment.
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(directory) as found,
        ):
            return heapq.nsmallest(
                self._count,
                (
                    entry
                    for entry in found
                    if entry.name > after
                    and (_is_object(entry) or (self._deep and self._is_directory(entry)))
                ),
                attrgetter("name"),
            )
        return []

    def _is_directory(self, entry: os.DirEntry[bytes]) -> bool:
        return entry.is_dir(follow_symlinks=False) or (
            entry.is_symlink() and entry.path in self._linked
        )


def _is_object(entry: os.DirEntry[bytes]) -> bool:
    return (
        len(entry.name) == 64
        and Oid.PATTERN.fullmatch(_text(entry)) is not None
        and entry.is_file(follow_symlinks=False)
    )


def _text(entry: os.DirEntry[bytes]) -> str:
    """Return an entry's name; bytes that are no UTF-8 become what no repository has."""
    return entry.name.decode("utf-8", "surrogateescape")


def _status(entry: os.DirEntry[bytes]) -> os.stat_result | None:
    """Look at a file; return ``None`` if somebody has deleted it meanwhile."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _repo(segments: tuple[str, ...]) -> Repo | None:
    """Return the repository whose path these are; ``None`` if none can have it."""
    if not segments or len(segments) > MAX_SEGMENTS:
        return None
    try:
        # Parsing drops one ".git", and a repository's name may end like that too.
        return Repo.parse((*segments[:-1], f"{segments[-1]}.git"))
    except BadRequest:
        return None
