"""Tell what is in a local store that is not as it should be.  Everything here blocks."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from typing import Final, Literal

from giftless.interfaces import Oddity, SurveyPage
from giftless.lfs.objects import ObjectKey, Repo
from giftless.storage.local.disks import Disks
from giftless.storage.local.listing import Walk
from giftless.storage.local.own import OWN
from giftless.storage.local.reader import Reader

#: What a directory needs so that objects in it can be found and read.
_ENTERED: Final = os.R_OK | os.X_OK


class Modes:
    """Judges the modes of files and directories.

    :param reader: who must be able to read them.
    :param report: is told of each that is wrong.
    """

    def __init__(self, reader: Reader, report: Callable[[Oddity], None]) -> None:
        self._reader = reader
        self._report = report

    def judge(self, path: bytes, status: os.stat_result, key: ObjectKey | None = None) -> None:
        """Judge a file or directory.

        :param key: the object that it is.
        """
        is_directory = stat.S_ISDIR(status.st_mode)
        what = "directory" if is_directory else "file"
        shown = f"the {what} has the mode {stat.S_IMODE(status.st_mode):03o}"
        if not self._reader.may(status, _ENTERED if is_directory else os.R_OK):
            verb = "enter" if is_directory else "read"
            self._add(path, f"{shown}: the server may not {verb} it", key, "unreadable")
        elif is_directory and not self._reader.may(status, os.W_OK):
            self._add(path, f"{shown}: the server may not store anything in it", key, "odd")
        if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode):
            self._add(path, f"{shown}: everybody may write to it", key, "odd")

    def _add(
        self,
        path: bytes,
        problem: str,
        key: ObjectKey | None,
        kind: Literal["odd", "unreadable"],
    ) -> None:
        self._report(Oddity(os.fsdecode(path), problem, key, kind))


def survey_page(
    disks: Disks, repo: Repo | None, cursor: str | None, limit: int, trash: bool
) -> SurveyPage:
    """Return one page; see :meth:`giftless.interfaces.ISurveying.survey`.

    :raises BadRequest: if the cursor is none of such a list.
    :raises OSError: if a disk is not there.
    """

    def survey(top: bytes, linked: Collection[bytes]) -> SurveyPage:
        reader = Reader.of(os.stat(disks.main.path))
        return Survey(top, repo is None, limit + 1, linked, trash, reader).survey(repo, cursor)

    return disks.walk(survey)


class Survey(Walk):
    """Walks like a list, and notes what it sees on the way.

    :param reader: who must be able to read what is there.
    """

    def __init__(
        self,
        root: bytes,
        deep: bool,
        count: int,
        linked: Collection[bytes],
        trash: bool,
        reader: Reader,
    ) -> None:
        super().__init__(root, deep, count, linked, trash)
        self._oddities: list[Oddity] = []
        self._modes = Modes(reader, self._oddities.append)

    def survey(self, repo: Repo | None, cursor: str | None) -> SurveyPage:
        """Return a page; see :meth:`giftless.interfaces.ISurveying.survey`."""
        if repo is not None and cursor is None:
            self._judge_way(repo)
        page = self.page(repo, cursor)
        return SurveyPage(page.objects, self._oddities, page.next_cursor)

    def fail(self, directory: bytes, error: OSError) -> None:
        """See :meth:`giftless.storage.local.listing.Walk.fail`."""
        problem = f"the directory cannot be read: {error.strerror}"
        self._oddities.append(Oddity(os.fsdecode(directory), problem, kind="unreadable"))

    def see_file(self, entry: os.DirEntry[bytes], key: ObjectKey, status: os.stat_result) -> None:
        """See :meth:`giftless.storage.local.listing.Walk.see_file`."""
        self._modes.judge(entry.path, status, key)

    def see_directory(self, entry: os.DirEntry[bytes], entered: bool) -> None:
        """See :meth:`giftless.storage.local.listing.Walk.see_directory`."""
        if entered:
            # Through the links that lead to other disks.
            self._modes.judge(entry.path, os.stat(entry.path))
        elif entry.name != OWN:
            self._see_stray(entry, "no repository can have a directory of this name")

    def see_other(self, entry: os.DirEntry[bytes]) -> None:
        """See :meth:`giftless.storage.local.listing.Walk.see_other`."""
        if entry.is_symlink():
            self._see_stray(entry, "a link; objects behind links are not served")
        elif entry.is_file(follow_symlinks=False):
            self._see_stray(entry, "a file that is no object of a repository")
        elif not entry.is_dir(follow_symlinks=False):
            self._see_stray(entry, "neither a file nor a directory")

    def _see_stray(self, entry: os.DirEntry[bytes], problem: str) -> None:
        self._oddities.append(Oddity(os.fsdecode(entry.path), problem))

    def _judge_way(self, repo: Repo) -> None:
        """Judge the directories that lead to a repository."""
        path = self._root
        for segment in self._below_root(repo.segments):
            path = os.path.join(path, segment.encode())
            try:
                status = os.stat(path)
            except FileNotFoundError:
                return
            except OSError as error:
                self.fail(path, error)
                return
            self._modes.judge(path, status)
