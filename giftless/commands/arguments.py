"""Parse what people type to name repositories and objects."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from twisted.python import usage

from giftless.commands import CommandError
from giftless.commands.harmless import harmless
from giftless.errors import LFSError
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.usecases.administration import PAGE


def repository(path: str) -> Repo:
    """Parse the path of a repository that somebody has typed.

    :raises UsageError: if it is none.
    """
    try:
        return Repo.parse(path.split("/"))
    except LFSError as error:
        raise usage.UsageError(f"{path!r} is no repository: {error.message}") from None


def oids(texts: Sequence[str]) -> Iterator[Oid]:
    """Parse oids that somebody has typed; ``-`` stands for those on stdin, one a line.

    :raises CommandError: if one is none.
    """
    for text in texts:
        for word in _words() if text == "-" else (text,):
            try:
                yield Oid.parse(word)
            except LFSError as error:
                raise CommandError(f"{harmless(word[:80])}: {error.message}") from None


def _words() -> Iterator[str]:
    for line in sys.stdin:
        if word := line.strip():
            yield word


def in_pages(repo: Repo, found: Iterable[Oid]) -> Iterator[list[ObjectKey]]:
    """Divide objects into as many as are moved at once; each is there once in a page."""
    rest = iter(found)
    while some := list(islice(rest, PAGE)):
        yield [ObjectKey(repo, oid) for oid in dict.fromkeys(some)]
