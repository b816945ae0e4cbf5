"""Locks of the server that is mirrored: requests are passed on, and answers back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from giftless.base.http_client import Answer
from giftless.errors import BadRequest, LFSError
from giftless.interfaces import Credential, LockAnswer, LockRequest, WallClock
from giftless.storage.mirror.asking import Outgoing
from giftless.storage.mirror.batches import JSON
from giftless.storage.mirror.refusals import garbled, refusal
from giftless.storage.mirror.upstreams import Place, authorization

#: What an error of theirs has that clients know.
_ERROR: Final = ("message", "lock", "documentation_url")

#: The statuses of refusals that say more than their words: passed on as they are.
_PASSED_ON: Final = frozenset({400, 403, 404, 405, 409, 410, 413, 422, 501})


async def forward_locks(
    place: Place, request: LockRequest, credential: Credential | None, wall_clock: WallClock
) -> LockAnswer:
    """Pass a request about locks on.

    :raises LFSError: if there is no answer that a client can use.
    """
    if any(segment in ("", ".", "..") for segment in request.path):
        raise BadRequest("this is no id of a lock")
    path = "/".join(quote(segment, safe="") for segment in request.path)
    query = urlencode(request.query)
    url = f"{place.api}/{path}{f'?{query}' if query else ''}"
    body = request.body if request.method == "POST" else None
    answer = await place.asker.ask_server(
        Outgoing(request.method, url, JSON, authorization(credential), body)
    )
    name, content = place.asker.name, _content(answer)
    if 200 <= answer.status < 300:
        if content is None:
            raise garbled(name, "its answer about locks is no JSON object")
        return LockAnswer(answer.status, msgspec.json.encode(content))
    error: LFSError = refusal(name, answer, credential is None, wall_clock())
    if answer.status not in _PASSED_ON:
        raise error
    told = {key: content[key] for key in _ERROR if key in content} if content is not None else {}
    # Clients crash on errors without words.
    return LockAnswer(answer.status, msgspec.json.encode({**told, "message": error.message}))


def _content(answer: Answer) -> Mapping[str, Any] | None:
    """Return what an answer says; ``None`` if it is no JSON object."""
    try:
        found = msgspec.json.decode(answer.body) if answer.whole else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
