"""Copy an object in Cloud Storage, however long that takes: "Objects: rewrite" of its JSON API.

Each request copies as much as it can in some seconds, and says with a token where the next
one goes on.  Within a bucket and a storage class, the first one copies everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from giftless.base.http_client import Answer
from giftless.storage.remote.client import StoreError

#: How many requests in a row may copy nothing.
MAX_IDLE: Final = 5

#: The statuses of a source, or a token, that is not there any more, and of a source that
#: has been replaced.
_CHANGED: Final = frozenset({404, 410, 412})


class _Progress(msgspec.Struct, frozen=True):
    """An answer of the JSON API; its numbers are texts."""

    done: bool
    totalBytesRewritten: str = "0"
    rewriteToken: str = ""


class _Problem(msgspec.Struct, frozen=True):
    message: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    error: _Problem = _Problem()


async def rewrite(ask: Callable[[Mapping[str, str]], Awaitable[Answer]], generation: str) -> bool:
    """Copy an object.

    :param ask: sends the request with these parameters.
    :param generation: of the source; empty if it is not known.
    :returns: ``False`` if the source is not that any more.
    :raises StoreError: if it cannot be copied.
    """
    parameters = {"ifSourceGenerationMatch": generation} if generation else {}
    copied, idle = -1, 0
    while idle < MAX_IDLE:
        answer = await ask(parameters)
        if answer.status in _CHANGED:
            return False
        progress = _read(answer)
        if progress.done:
            return True
        if not progress.rewriteToken:
            raise StoreError("Cloud Storage does not say where copying an object goes on")
        parameters["rewriteToken"] = progress.rewriteToken
        before, copied = copied, int(progress.totalBytesRewritten)
        idle = 0 if copied > before else idle + 1
    raise StoreError("Cloud Storage does not go on with copying an object")


def _read(answer: Answer) -> _Progress:
    if answer.status != 200:
        raise StoreError(_describe(answer))
    try:
        progress = msgspec.json.decode(answer.body, type=_Progress)
        int(progress.totalBytesRewritten)
    except (ValueError, RecursionError):
        raise StoreError("what Cloud Storage answers does not tell how far copying got") from None
    return progress


def _describe(answer: Answer) -> str:
    try:
        message = msgspec.json.decode(answer.body, type=_Refusal).error.message
    except (ValueError, RecursionError):
        message = ""
    words = " ".join(message.split())
    return f"Cloud Storage answers with status {answer.status}" + (f": {words}" if words else "")
