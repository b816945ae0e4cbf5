"""Read replies to batch requests, as their client (``docs/api/batch.md``).

A server may be of any make, or hostile: whatever a reply holds becomes either a value that
makes sense or an error in words.  What many servers write and git-lfs takes is taken here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from giftless.errors import Unprocessable
from giftless.lfs.batch import HASH_ALGORITHM

#: How many characters of an error's message are kept.
_MESSAGE: Final = 500

#: The most headers that an action may have.
_MAX_HEADERS: Final = 100


class GivenAction(msgspec.Struct, frozen=True):
    """What a server lets its client do next.

    :ivar href: the URL, as the server wrote it.
    :ivar header: headers that are sent with it.
    :ivar expires_at: when it ends, in seconds since the epoch; ``None`` if that is not told.
    """

    href: str
    header: Mapping[str, str]
    expires_at: float | None = None

    def __repr__(self) -> str:
        """Leave out what may be secret."""
        return f"<GivenAction {self.href.partition('?')[0]}>"


class Answered(msgspec.Struct, frozen=True):
    """What a server says of one object.

    :ivar actions: by name: ``download``, ``upload``, ``verify``.
    :ivar authenticated: whether actions are to be sent as they are, without credentials.
    :ivar code: the status of an error; 0 if there is none.
    :ivar message: the words of an error.
    """

    oid: str
    size: int
    actions: Mapping[str, GivenAction]
    authenticated: bool = False
    code: int = 0
    message: str = ""


class Replied(msgspec.Struct, frozen=True):
    """A whole reply.

    :ivar transfer: the way that the server has chosen; ``basic`` if it does not say.
    :ivar objects: one for each object that was asked for, in that order.
    """

    transfer: str
    objects: Sequence[Answered]


def parse_reply(body: bytes, wanted: Mapping[str, int], now: float) -> Replied:
    """Read the reply to a batch request.

    :param wanted: the objects that were asked for: oid to size in bytes.
    :param now: the time, in seconds since the epoch; ``expires_in`` counts from then.
    :raises Unprocessable: if it is none.  An object that it leaves out has an error in what
        is returned.
    """
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unprocessable("the reply is no JSON") from None
    if not isinstance(reply, dict) or not isinstance(reply.get("objects"), list):
        raise Unprocessable("the reply has no list of objects")
    if (reply.get("hash_algo") or HASH_ALGORITHM) != HASH_ALGORITHM:
        raise Unprocessable("the server names objects by another hash than SHA-256")
    transfer = reply.get("transfer") or "basic"
    if not isinstance(transfer, str):
        raise Unprocessable("the reply's transfer is no text")
    found: dict[str, Answered] = {}
    for entry in reply["objects"]:
        oid = entry.get("oid") if isinstance(entry, dict) else None
        if isinstance(oid, str) and oid in wanted and oid not in found:
            found[oid] = _object(entry, oid, wanted[oid], now)
    return Replied(
        transfer,
        [
            found.get(oid) or _wrong(oid, size, "the server's reply does not name it")
            for oid, size in wanted.items()
        ],
    )


def _object(entry: Mapping[str, Any], oid: str, size: int, now: float) -> Answered:
    error = entry.get("error")
    if error is not None:
        if not isinstance(error, dict):
            return _wrong(oid, size, "the server refuses it and does not say why")
        code = error.get("code")
        words = error.get("message")
        message = " ".join(words.split())[:_MESSAGE] if isinstance(words, str) else ""
        known = code if isinstance(code, int) and 100 <= code <= 999 else 500
        return Answered(oid, size, {}, code=known, message=message or "refused without words")
    told = entry.get("size", size)
    if isinstance(told, int) and not isinstance(told, bool) and told >= 0:
        size = told
    actions = entry.get("actions") or {}
    if not isinstance(actions, dict):
        return _wrong(oid, size, "its actions are of no shape that is known")
    read = {}
    for name in ("download", "upload", "verify"):
        if (action := actions.get(name)) is not None:
            given = _action(action, now)
            if given is None:
                return _wrong(oid, size, f"its {name} action is of no shape that is known")
            read[name] = given
    return Answered(oid, size, read, entry.get("authenticated") is True)


def _action(action: object, now: float) -> GivenAction | None:
    if not isinstance(action, dict):
        return None
    href, header = action.get("href"), action.get("header") or {}
    if not isinstance(href, str) or not isinstance(header, dict) or len(header) > _MAX_HEADERS:
        return None
    if not all(_is_header(name, value) for name, value in header.items()):
        return None
    seconds = action.get("expires_in") or 0
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    expiry = now + seconds if seconds else _time(action.get("expires_at"))
    return GivenAction(href, header, expiry)


def _is_header(name: str, value: object) -> bool:
    """Whether a header can be sent without becoming two, or a request of its own."""
    if not isinstance(value, str) or not name or not value.isascii() or not name.isascii():
        return False
    token = all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)
    return token and all(c.isprintable() or c == "\t" for c in value)


def _time(text: object) -> float | None:
    """Read a time of RFC 3339; the year 1 is how Go writes that there is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.year <= 1:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _wrong(oid: str, size: int, message: str) -> Answered:
    return Answered(oid, size, {}, code=502, message=message)
