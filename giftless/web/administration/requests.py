"""Read what requests to the administration's API ask for, within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar, get_args

import msgspec

from giftless.base.units import Duration
from giftless.errors import BadRequest, LFSError
from giftless.interfaces.catalogue import By, EntryQuery, State
from giftless.lfs.batch import MEDIA_TYPE
from giftless.lfs.objects import ObjectKey, Oid, Repo
from giftless.usecases.administration import MAX_REASON

#: The most objects that one request names, and that one page has.
MAX_OIDS: Final = 500
MAX_LIMIT: Final = 1000

#: How many objects a page has if its size is not asked for.
LIMIT: Final = 100

#: What a body is called: no form of a web page can send that, whoever made the page.
_JSON: Final = ("application/json", MEDIA_TYPE)

_KINDS: Final = get_args(By)
_ORDERS: Final = ("path", "size", "stored", "offered")


class WrongMediaType(LFSError):
    """The body is not JSON by its ``Content-Type``, so that a form may have sent it."""

    code = 415
    cause = "wrong-media-type"


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all bodies have.

    :ivar repo: which repository, where the URL names none.
    """

    repo: str | None = None


class Objects(_Body, frozen=True, kw_only=True):
    """Names objects.

    :ivar reason: why, in words.
    """

    oids: list[str]
    reason: str = ""


class Emptying(_Body, frozen=True, kw_only=True):
    """Asks to delete for good.

    :ivar really: whether that is meant.
    :ivar older_than: only what has been in the trash for so long: seconds, or ``7d``.
    """

    really: bool = False
    older_than: float | str = 0.0


class Moving(_Body, frozen=True, kw_only=True):
    """Asks to rename or copy a repository.

    :ivar to: the path that it gets.
    """

    to: str


class Removing(_Body, frozen=True, kw_only=True):
    """Asks to remove a whole repository.

    :ivar really: whether that is meant.
    """

    really: bool = False


class Naming(_Body, frozen=True, kw_only=True):
    """Asks to make or end another name of a repository.

    :ivar name: the name.
    :ivar remove: whether the name ends.
    """

    name: str
    remove: bool = False


T = TypeVar("T", bound=_Body)


def parse_body(body: bytes, kind: str, shape: type[T]) -> T:
    """Read a body.

    :param kind: its ``Content-Type``.
    :raises WrongMediaType: if that is not JSON.
    :raises BadRequest: if it has another shape.
    """
    if kind.partition(";")[0].strip().lower() not in _JSON:
        raise WrongMediaType("send JSON, and say so: Content-Type: application/json")
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not what this endpoint takes: {error}") from None


def parse_repo(path: str) -> Repo:
    """Read the path of a repository.

    :raises BadRequest: if it is none.
    """
    return Repo.parse(path.split("/"))


def parse_keys(repo: Repo, oids: Sequence[str]) -> list[ObjectKey]:
    """Read which objects are meant; each is there once.

    :raises BadRequest: if one is no oid, or there are none or too many.
    """
    if not 1 <= len(oids) <= MAX_OIDS:
        raise BadRequest(f"name from 1 to {MAX_OIDS} objects in 'oids'")
    return [ObjectKey(repo, Oid.parse(text)) for text in dict.fromkeys(oids)]


def check_reason(reason: str) -> None:
    """Make sure that a reason is short.

    :raises BadRequest: if it is not.
    """
    if len(reason) > MAX_REASON:
        raise BadRequest(f"a reason has at most {MAX_REASON} characters")


def parse_duration(value: float | str) -> float:
    """Read a number of seconds, or a duration with a unit.

    :raises BadRequest: if it is none.
    """
    try:
        return Duration.of(value)
    except ValueError as error:
        raise BadRequest(f"older_than: {error}") from None


def parse_list(repo: Repo | None, query: Mapping[str, str]) -> EntryQuery:
    """Read which page of the stored objects is wanted."""
    order = query.get("order") or "path"
    if order not in _ORDERS:
        raise BadRequest(f"order is one of {', '.join(_ORDERS)}")
    return EntryQuery(
        repo=repo,
        order=order,  # type: ignore[arg-type]  # just checked
        cursor=query.get("cursor") or None,
        limit=parse_limit(query, LIMIT),
    )


def parse_trash(repo: Repo | None, query: Mapping[str, str]) -> EntryQuery:
    """Read which page of the trash is wanted."""
    return EntryQuery(
        repo=repo,
        states=frozenset({State.TRASHED}),
        cursor=query.get("cursor") or None,
        limit=parse_limit(query, LIMIT),
    )


def parse_kind(query: Mapping[str, str], usual: str) -> By:
    """Read by what usage is told."""
    by = query.get("by") or usual
    if by not in _KINDS:
        raise BadRequest(f"by is one of {', '.join(_KINDS)}")
    return by  # type: ignore[return-value]  # just checked


def parse_limit(query: Mapping[str, str], usual: int) -> int:
    """Read how many rows there may be; 0 leaves it to the server.

    :raises BadRequest: if that is no number from 0 to :data:`MAX_LIMIT`.
    """
    text = query.get("limit") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) > MAX_LIMIT:
        raise BadRequest(f"limit is a number from 0 to {MAX_LIMIT}")
    return int(text) or usual
