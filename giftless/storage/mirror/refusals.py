"""Errors of the server that is mirrored, told as ours."""

from __future__ import annotations

import math
from typing import Final

from giftless.base.http_client import Answer
from giftless.base.retry_after import retry_after
from giftless.base.server_words import explain
from giftless.errors import (
    BadRequest,
    Conflict,
    CredentialNeeded,
    ExpiredAction,
    Forbidden,
    Gone,
    InsufficientStorage,
    LFSError,
    NotFound,
    PayloadTooLarge,
    Unauthorized,
    Unprocessable,
)
from giftless.storage.mirror.asking import RETRY_AFTER
from giftless.storage.mirror.errors import UpstreamLimit, UpstreamUnavailable, UpstreamUnusable

#: The longest that clients are told to wait, in seconds.
_LONGEST: Final = 3600

#: The errors that say the same here.
_SAME: Final[dict[int, type[LFSError]]] = {
    400: BadRequest,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: PayloadTooLarge,
    422: Unprocessable,
    507: InsufficientStorage,
    509: InsufficientStorage,
}

#: The statuses by which an action has ended, or never was good: another batch mends that.
_STALE: Final = frozenset({401, 403, 404, 410})


def refusal(name: str, answer: Answer, anonymous: bool, now: float) -> LFSError:
    """Make the error for an answer of the API that is none of the wanted ones.

    :param name: what the server is called.
    :param anonymous: whether the request had no credential.
    :param now: the time, in seconds since the epoch.
    """
    words = explain(answer.body)
    if answer.status == 401:
        if anonymous:
            return CredentialNeeded(f"{name} needs a credential{_behind(words)}")
        return Unauthorized(f"{name} does not accept the credential{_behind(words)}")
    return refusal_by(name, answer.status, words, answer.headers.get("retry-after"), now)


def refusal_by(
    name: str, status: int, words: str, after: str | None = None, now: float = 0.0
) -> LFSError:
    """Make the error for a status and its words, such as those of an object in a batch.

    :param after: the ``Retry-After`` header.
    """
    said = f"{name}: {words or f'status {status}'}"
    if status == 429:
        return UpstreamLimit(said, _pause(after, now))
    if status in _SAME:
        return _SAME[status](said)
    if status in (401, 407):
        return Forbidden(said)
    if status >= 500 or status == 408:
        return UpstreamUnavailable(
            f"{name} does not work now: status {status}{_behind(words)}", _pause(after, now)
        )
    return UpstreamUnusable(f"{name} answers with status {status}{_behind(words)}", RETRY_AFTER)


def action_refusal(name: str, answer: Answer, now: float) -> LFSError:
    """Make the error for an answer to an action: one that lets clients ask for a new batch.

    Never 401 nor 422: clients take these for other things there.
    """
    words = explain(answer.body)
    if answer.status in _STALE:
        return ExpiredAction(
            f"{name} does not take its action any more (status {answer.status}); ask for a new"
            " batch"
        )
    error = refusal_by(name, answer.status, words, answer.headers.get("retry-after"), now)
    return BadRequest(error.message) if isinstance(error, Unprocessable) else error


def garbled(name: str, what: str) -> UpstreamUnusable:
    """Make the error for an answer that makes no sense."""
    return UpstreamUnusable(f"{name}: {what}; is it an LFS server?", RETRY_AFTER)


def _pause(after: str | None, now: float) -> int:
    seconds = retry_after(after, now)
    return RETRY_AFTER if seconds is None else max(1, min(math.ceil(seconds), _LONGEST))


def _behind(words: str) -> str:
    return f": {words}" if words else ""
