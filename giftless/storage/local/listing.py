"""List the objects in a directory, in the order of their paths.  Everything here blocks.

A cursor is the path of the last object on a page (``org/repo/{oid}``).  The
next page begins after it, whether or not that object is still there: so nothing
has to be remembered between two pages, and what is stored or deleted in the
meantime moves no other object from one page to another.

Nothing outside of the layout is listed: no files with other names, nothing in
directories that no repository can have, no links and nothing behind them, but for the
directories that lie on other disks.

The trash is walked in the same way, as if each organisation's directory of it
(``{org}/.giftless/trash``) were the organisation.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

from giftless.errors import BadRequest
from giftless.interfaces import ListedObject, ObjectPage
from giftless.lfs.objects import MAX_SEGMENTS, ObjectKey, Oid, Repo, owner_of, trash_of


def list_page(
    root: bytes,
    repo: Repo | None,
    cursor: str | None,
    limit: int,
    linked: Collection[bytes] = (),
    trash: bool = False,
) -> ObjectPage:
    """Return one page; see :meth:`giftless.interfaces.IListing.list`.

    :param root: the directory of all repositories.
    :param linked: the links that are followed: the paths of directories.
    :raises BadRequest: if the cursor is none of such a list.
    :raises OSError: if a directory that is there cannot be read.
    """
    return Walk(root, repo is None, limit + 1, linked, trash).page(repo, cursor)


def _parse(cursor: str, repo: Repo | None, trash: bool) -> tuple[str, ...]:
    """Return the parts of a cursor's path; in the trash, of the path that it was moved from."""
    key = ObjectKey.of_path(cursor, trash)
    owner = None if key is None else owner_of(key.repo) if trash else key.repo
    if key is None or owner is None or repo not in (None, owner):
        raise BadRequest("the cursor is not one that this list gave; list from the beginning")
    return (*owner.segments, key.oid)


#: What a file system keeps for itself at its top, where the server may not enter.
_LOST: Final = b"lost+found"

_name: Final = attrgetter("name")


class Walk:
    """Finds objects in a directory and below it, in the order of names.

    Whoever looks closer (:mod:`giftless.storage.local.survey`) overrides what is called on
    the way: :meth:`fail` and those that see something.

    Directories are named by the segments of the repositories' paths, in the trash as well.

    :param root: the directory of all repositories.
    :param deep: whether to enter directories.
    :param count: how many entries of a directory to keep in memory at once.
    :param linked: the links that are followed.
    :param trash: whether to walk through the trash.
    """

    def __init__(
        self, root: bytes, deep: bool, count: int, linked: Collection[bytes], trash: bool
    ) -> None:
        self._root = root
        self._deep = deep
        self._count = count
        self._linked = linked
        self._trash = trash

    def page(self, repo: Repo | None, cursor: str | None) -> ObjectPage:
        """Return a page of one object less than ``count``; see :func:`list_page`.

        :param repo: the only one that is listed; all, if ``deep``.
        """
        after = () if cursor is None else _parse(cursor, repo, self._trash)
        start: tuple[str, ...] = () if repo is None else repo.segments
        found = self.objects(start, after[len(start) :]) if self.is_there(start) else iter(())
        # One more tells whether there is another page.
        objects = list(islice(found, self._count))
        page = objects[: self._count - 1]
        more = len(objects) == self._count
        return ObjectPage(page, page[-1].key.path if more else None)

    # -- what somebody may want to know who looks closer

    def fail(self, directory: bytes, error: OSError) -> None:
        """A directory is there and cannot be read."""
        raise error

    def see_file(self, entry: os.DirEntry[bytes], key: ObjectKey, status: os.stat_result) -> None:
        """There is an object."""

    def see_directory(self, entry: os.DirEntry[bytes], entered: bool) -> None:
        """There is a directory; it is not entered if no repository can have its path."""

    def see_other(self, entry: os.DirEntry[bytes]) -> None:
        """There is something that is neither a directory nor an object."""

    # -- walking

    def is_there(self, segments: Sequence[str]) -> bool:
        """Return whether a directory is there, and is reached through no other link."""
        path = self._root
        for segment in self._below_root(segments):
            path = os.path.join(path, segment.encode())
            if os.path.islink(path) and path not in self._linked:
                return False
        return os.path.isdir(path)

    def _below_root(self, segments: Sequence[str]) -> Sequence[str]:
        """Return where a directory is."""
        return trash_of(Repo(tuple(segments))).segments if self._trash and segments else segments

    def objects(self, segments: tuple[str, ...], after: Sequence[str]) -> Iterator[ListedObject]:
        """Find the objects of a directory and of those below it.

        :param segments: the directory's path below the root.
        :param after: where to begin, below the directory: after this object.
        """
        directory = os.path.join(
            self._root, *(segment.encode() for segment in self._below_root(segments))
        )
        repo = _repo(segments)
        if repo is not None and self._trash:
            repo = trash_of(repo)
        name = b""
        if after:
            name = after[0].encode()
            if len(after) > 1:
                yield from self._enter((*segments, after[0]), after[1:])
        while entries := self._entries(directory, name):
            for entry in entries:
                text = _text(entry)
                if self._is_directory(entry):
                    if self._deep and (segments or entry.name != _LOST):
                        inner = (*segments, text)
                        entered = _repo(inner) is not None
                        self.see_directory(entry, entered)
                        if entered:
                            yield from self._enter(inner, ())
                elif repo is None or not _is_object(entry):
                    self.see_other(entry)
                elif (status := self._status(entry)) is not None:
                    key = ObjectKey(repo, Oid(text))
                    self.see_file(entry, key, status)
                    # What was moved to the trash has the time at which its bytes were
                    # written, but the kernel notes when it got its name there.
                    modified = status.st_ctime if self._trash else status.st_mtime
                    yield ListedObject(key, status.st_size, modified)
            if len(entries) < self._count:
                break
            name = entries[-1].name

    def _enter(self, segments: tuple[str, ...], after: Sequence[str]) -> Iterator[ListedObject]:
        """Find the objects of a directory that may be a link, or lack a trash."""
        return self.objects(segments, after) if self.is_there(segments) else iter(())

    def _entries(self, directory: bytes, after: bytes) -> list[os.DirEntry[bytes]]:
        """Return a directory's next entries, in the order of their names.

        There may be a million: each is looked at for as short as possible, and few are kept.

        :param after: the name after which they begin.
        """
        kept: list[os.DirEntry[bytes]] = []
        count, last = self._count, b""
        try:
            with os.scandir(directory) as found:
                for entry in found:
                    if entry.name > after and (not last or entry.name < last):
                        kept.append(entry)
                        if len(kept) > 2 * count:
                            kept.sort(key=_name)
                            del kept[count:]
                            last = kept[-1].name
        except (FileNotFoundError, NotADirectoryError):
            # Another process has removed it.
            pass
        except OSError as error:
            self.fail(directory, error)
        kept.sort(key=_name)
        return kept[:count]

    def _status(self, entry: os.DirEntry[bytes]) -> os.stat_result | None:
        """Look at a file; return ``None`` if somebody has deleted it meanwhile."""
        try:
            return entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.fail(os.path.dirname(entry.path), error)
            return None

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


def _repo(segments: tuple[str, ...]) -> Repo | None:
    """Return the repository whose path these are; ``None`` if none can have it."""
    if not segments or len(segments) > MAX_SEGMENTS:
        return None
    try:
        # Parsing drops one ".git", and a repository's name may end like that too.
        return Repo.parse((*segments[:-1], f"{segments[-1]}.git"))
    except BadRequest:
        return None
