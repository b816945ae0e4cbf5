"""Gather what all git repositories need that share a repository of this server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from giftless.references.clones import Clone
from giftless.references.errors import NoReferences
from giftless.references.git import Git
from giftless.references.keepset import KeepSet
from giftless.references.lists import read_list
from giftless.references.records import Record
from giftless.references.sources import Source

#: What all lists together are called: their files may have other names each time.
LISTS: Final = "lists"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A list of objects to keep, that somebody has made.

    :ivar name: what it is called.
    :ivar open: opens it.
    """

    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Which sets are refused, because they look like a mistake.

    :ivar shrink: by what part of it a set may have become smaller since last time.
    :ivar allow_empty: whether a source may name nothing.
    :ivar allow_shrunken: whether ``shrink`` does not count, nor what is not asked any more.
    """

    shrink: float = 0.5
    allow_empty: bool = False
    allow_shrunken: bool = False


@dataclass(slots=True)
class Gathering:
    """The objects that git repositories and lists name together.

    :ivar sources: the repositories.
    :ivar lists: the lists.
    :ivar directory: where clones go; it is removed at the end.
    :ivar ignored: patterns of refs that do not count.
    :ivar reflogs: whether reflogs do.
    :ivar keep: what is named.
    :ivar counts: how many objects each repository names, by its name; and the lists together,
        by :data:`LISTS`.
    """

    git: Git
    sources: Sequence[Source]
    lists: Sequence[ObjectList]
    directory: Path
    ignored: Sequence[str] = ()
    reflogs: bool = False
    keep: KeepSet = field(default_factory=KeepSet)
    counts: dict[str, int] = field(default_factory=dict)
    _clones: dict[str, Clone] = field(default_factory=dict)

    @property
    def complaints(self) -> list[str]:
        """What operators should know of the clones, in words."""
        return [words for clone in self._clones.values() for words in clone.complaints]

    def gather(self) -> None:
        """Clone all repositories and read all lists.

        :raises NoReferences: if one cannot be cloned or read as a whole.
        """
        for number, source in enumerate(self.sources):
            if source.name in self._clones:
                continue
            clone = Clone(
                self.git, source, self.directory / str(number), self.ignored, self.reflogs
            )
            clone.fetch()
            self._clones[source.name] = clone
            self.counts[source.name] = clone.scan(self.keep)
        for item in self.lists:
            try:
                with item.open() as stream:
                    count = read_list(stream, item.name, self.keep)
            except OSError as error:
                raise NoReferences(f"{item.name} cannot be read: {error.strerror}") from None
            self.counts[LISTS] = self.counts.get(LISTS, 0) + count

    def look_again(self) -> bool:
        """Fetch what has been pushed meanwhile.

        :returns: whether more is named than before.
        :raises NoReferences: if that cannot be told.
        """
        before = len(self.keep)
        for name, clone in self._clones.items():
            if clone.is_behind():
                clone.fetch()
                self.counts[name] = max(self.counts[name], clone.scan(self.keep))
        return len(self.keep) > before

    def close(self) -> None:
        """Remove the clones."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def judge(self, before: Record | None, bounds: Bounds) -> None:
        """Refuse a set that looks like a mistake.

        :param before: what was found last time; ``None`` if this is the first.
        :raises NoReferences: if it is empty, or has shrunk too much.
        """
        if not bounds.allow_empty:
            for name, count in self.counts.items():
                if count == 0:
                    why = "has no refs" if self._is_empty(name) else "names no object of git-lfs"
                    raise NoReferences(f"{name}: it {why}; say --allow-empty if that is right")
        if before is None or bounds.allow_shrunken:
            return
        # Nobody knows which repositories a list is made of.
        listed = LISTS in self.counts or LISTS in before.sources
        for name, count in before.sources.items():
            now = self.counts.get(name)
            if now is None and listed:
                continue
            if now is None:
                raise NoReferences(
                    f"{name} was asked last time, and named {count} objects; say"
                    " --allow-shrunken if it does not count any more"
                )
            _check_shrink(name, count, now, bounds.shrink)
        _check_shrink("all together", before.objects, len(self.keep), bounds.shrink)

    def _is_empty(self, name: str) -> bool:
        return name in self._clones and self._clones[name].empty


def _check_shrink(name: str, before: int, now: int, bound: float) -> None:
    if now < before * (1 - bound):
        raise NoReferences(
            f"{name}: {now} objects are named, and last time it were {before}; say"
            " --allow-shrunken if that is right"
        )
