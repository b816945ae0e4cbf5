"""The database of Gitea or Forgejo, if it is SQLite: which object belongs to which repository.

Other databases are asked by their own command; the lines go to :mod:`.assignments`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Final
from urllib.parse import quote

from giftless.importing.assignments import Assignment, parse_repo
from giftless.importing.offers import NoSource
from giftless.lfs.objects import Oid

#: What every database of SQLite begins with.
_HEADER: Final = b"SQLite format 3\0"

_QUERY: Final = (
    "SELECT repo.owner_name || '/' || repo.name, object.oid, object.size"
    " FROM lfs_meta_object AS object JOIN repository AS repo ON repo.id = object.repository_id"
)


def read_gitea(path: str) -> Iterator[Assignment]:
    """Yield which objects belong to which repositories; blocks.

    The server may run meanwhile.

    :raises NoSource: if that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            begin = file.read(len(_HEADER))
    except OSError as error:
        raise NoSource(f"{path} cannot be read: {error.strerror}") from None
    if begin != _HEADER:
        raise NoSource(
            f"{path} is no database of SQLite; ask other databases for a list, and give it by"
            " --list"
        )
    try:
        uri = f"file:{quote(path)}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as database:
            for name, oid, size in database.execute(_QUERY):
                yield Assignment(parse_repo(name, path), _oid(oid, path), size)
    except sqlite3.Error as error:
        raise NoSource(f"{path} is no database of Gitea or Forgejo: {error}") from None


def _oid(text: object, path: str) -> Oid:
    if not isinstance(text, str) or not Oid.PATTERN.fullmatch(text):
        raise NoSource(f"{path} has an object whose oid is none")
    return Oid(text)
