"""The File Locking API (Git LFS specification, ``docs/api/locking.md``).

A lock says that one person works on one path of a repository.  Parsing and
rendering are here, and what a path may be.  Whatever is wrong with a request is
400: of the statuses that clients act upon, 404 would switch locking off in a
clone for good, and 422 means other things elsewhere in the API.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from giftless.errors import BadRequest, Conflict
from giftless.lfs.objects import Repo

#: The most bytes that a path may have (Linux's PATH_MAX).
MAX_PATH_BYTES: Final = 4096

#: The most locks that one page may have.
MAX_LIMIT: Final = 1000

#: Ids go into URLs as they are: only what needs no escape there.
_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}", re.ASCII)

_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on one path.

    :ivar id: names it in URLs; letters, digits and ``._~-``.
    :ivar repo: the repository that the path is in.
    :ivar path: relative to the repository's root, exactly as the client sent it.
    :ivar owner: the name of the identity that holds it, for people to read.
    :ivar locked_at: when it was made, in whole seconds since the epoch.
    :ivar principal: who holds it (``principal`` of
        :class:`~giftless.interfaces.Identity`); empty for a lock that a giftless made
        which knew names alone.
    """

    id: str
    repo: Repo
    path: str
    owner: str
    locked_at: int
    principal: str = ""

    @property
    def time(self) -> str:
        """When it was made, as in RFC 3339."""
        return datetime.fromtimestamp(self.locked_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def __str__(self) -> str:
        return f"the lock on {self.path}, held by {self.owner} since {self.time}"


@dataclass(frozen=True, slots=True)
class LockQuery:
    """Which locks to list.

    :ivar limit: how many at most, from 1 to ``MAX_LIMIT``.
    :ivar repo: the repository; ``None`` for all.
    :ivar cursor: where an earlier page ended; ``None`` to begin.
    :ivar path: only the lock on exactly this path.
    :ivar id: only the lock of this id.
    :ivar text: only locks with this text somewhere in the path of the repository, the
        path or the owner's name; ASCII letters of either case are the same.
    """

    limit: int
    repo: Repo | None = None
    cursor: str | None = None
    path: str | None = None
    id: str | None = None
    text: str | None = None

    @property
    def satisfiable(self) -> bool:
        """Whether its path, its id and its text could be those of a lock."""
        return (
            (self.path is None or path_problem(self.path) is None)
            and (self.id is None or _ID.fullmatch(self.id) is not None)
            and (self.text is None or _is_shown(self.text))
        )


@dataclass(frozen=True, slots=True)
class LockPage:
    """Some of the locks that a query is about.

    :ivar next_cursor: where the next page begins; ``None`` if this is the last.
    """

    locks: tuple[Lock, ...] = ()
    next_cursor: str | None = None


class PathLocked(Conflict):
    """The path has a lock already.

    :param lock: the lock.
    """

    cause = "locked"

    def __init__(self, message: str, lock: Lock) -> None:
        super().__init__(message)
        self.lock = lock

    @classmethod
    def by(cls, lock: Lock) -> PathLocked:
        """Make the error, in words: they are all that clients show."""
        return cls(f"{lock.path} is locked by {lock.owner} since {lock.time}; id {lock.id}", lock)

    @property
    def members(self) -> Mapping[str, object]:
        """The lock (``docs/api/locking.md``, "Bad Response: Lock Exists")."""
        return {"lock": _wire(self.lock)}


def path_problem(path: str) -> str | None:
    """Say why ``path`` cannot be locked; ``None`` if it can.

    A path that can is relative, of at most ``MAX_PATH_BYTES`` bytes of UTF-8,
    and stays inside the repository whoever takes it apart at its slashes.
    """
    # Before anything that takes time with each character.
    if len(path) > MAX_PATH_BYTES:
        return f"a path has at most {MAX_PATH_BYTES} bytes"
    if not path:
        return "the path is empty"
    if path.startswith("/"):
        return "the path must be relative to the repository's root, without a '/' in front"
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        return "the path must not have empty, '.' or '..' segments"
    if not _is_shown(path):
        return "the path must not have control characters"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"a path has at most {MAX_PATH_BYTES} bytes"
    return None


def _is_shown(text: str) -> bool:
    """Whether a text has neither control characters nor halves of surrogates."""
    return all(unicodedata.category(char) not in ("Cc", "Cs") for char in text)


# --- requests ----------------------------------------------------------------


# Requests may have a ``ref``: a hint for authentication, not used here.  Clients
# send it as an object, empty, null or in a list, and any value will do.


class _WireCreate(msgspec.Struct):
    path: str


class _WireVerify(msgspec.Struct):
    cursor: str | None = None
    limit: int | None = None


class _WireUnlock(msgspec.Struct):
    force: bool | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list a client wants.

    :ivar cursor: where an earlier page ended; ``None`` to begin.
    :ivar limit: how many locks, from 1 to ``MAX_LIMIT``; ``None`` if that is
        left to the server.
    """

    cursor: str | None
    limit: int | None


def parse_create(body: bytes) -> str:
    """Parse the body of a request for a lock.

    :returns: the path, which can be locked.
    :raises BadRequest: if it cannot, or if there is none.
    """
    path = _decode(body, _WireCreate).path
    problem = path_problem(path)
    if problem is not None:
        raise BadRequest(problem)
    return path


def parse_verify(body: bytes) -> Paging:
    """Parse the body of a push-time question for all locks.

    :param body: JSON; may be empty, since every member is optional.
    :raises BadRequest: if it is something else, or the limit is negative.
    """
    wire = _decode(body or b"{}", _WireVerify)
    return Paging(wire.cursor or None, _limit(wire.limit or 0))


def parse_unlock(body: bytes) -> bool:
    """Parse the body of a request to remove a lock.

    :param body: JSON; may be empty, since every member is optional.
    :returns: whether the lock may be somebody else's.
    :raises BadRequest: if it is something else.
    """
    return bool(_decode(body or b"{}", _WireUnlock).force)


def parse_paging(cursor: str | None, limit: str | None) -> Paging:
    """Parse the parameters of a list; empty ones count as not given.

    :raises BadRequest: if the limit is negative or no whole number.
    """
    if not limit:
        return Paging(cursor or None, None)
    if not _NUMBER.fullmatch(limit):
        raise BadRequest("the limit must be a whole number")
    # Twenty digits are as much above any bound as thousands.
    return Paging(cursor or None, _limit(int(limit[:20])))


def _limit(number: int) -> int | None:
    """Bring a limit within bounds; 0 is how some clients say that they have none."""
    if number < 0:
        raise BadRequest("the limit must not be negative")
    return min(number, MAX_LIMIT) or None


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not what the File Locking API has here: {error}") from None


# --- replies -----------------------------------------------------------------


def render_lock(lock: Lock) -> bytes:
    """Render the reply to a lock that was made or removed.

    No reply of success has a ``message``: clients would take it for a failure.
    """
    return msgspec.json.encode({"lock": _wire(lock)})


def render_page(page: LockPage) -> bytes:
    """Render a list of locks."""
    return _render({"locks": page.locks}, page.next_cursor)


def render_verification(
    ours: Iterable[Lock], theirs: Iterable[Lock], next_cursor: str | None
) -> bytes:
    """Render the reply to a push-time question.

    :param ours: the locks of who asks.
    :param theirs: everybody else's.
    """
    return _render({"ours": ours, "theirs": theirs}, next_cursor)


class _Owner(msgspec.Struct):
    name: str


class _WireLock(msgspec.Struct):
    """A lock as clients see it; they crash on one without ``owner.name``."""

    id: str
    path: str
    locked_at: datetime
    owner: _Owner


def _render(lists: Mapping[str, Iterable[Lock]], next_cursor: str | None) -> bytes:
    reply: dict[str, Any] = {name: [_wire(lock) for lock in lists[name]] for name in lists}
    if next_cursor is not None:
        reply["next_cursor"] = next_cursor
    return msgspec.json.encode(reply)


def _wire(lock: Lock) -> _WireLock:
    at = datetime.fromtimestamp(lock.locked_at, UTC)
    return _WireLock(lock.id, lock.path, at, _Owner(lock.owner))
