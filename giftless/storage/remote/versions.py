"""Tell whether an object has the same bytes as before."""

from __future__ import annotations

from dataclasses import dataclass

from giftless.base.http_client import Answer


@dataclass(frozen=True, slots=True)
class Version:
    """Which bytes an object has at a moment.

    :ivar size: in bytes.
    :ivar tag: what the store calls these bytes (their ``ETag``); other bytes have another.
    """

    size: int
    tag: str


def tag_of(answer: Answer) -> str:
    """Return what a store calls the bytes that an answer is about; empty if it does not say."""
    return answer.headers.get("etag", "")


def is_same(first: str, second: str) -> bool:
    """Whether two tags stand for the same bytes; unknown if one is empty, so not.

    Stores do not write quotes around them everywhere.
    """
    return bool(first) and first.strip('"') == second.strip('"')
