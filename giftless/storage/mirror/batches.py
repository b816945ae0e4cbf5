"""Ask the server that is mirrored what it has, and what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from giftless.errors import LFSError
from giftless.interfaces import Credential, WallClock
from giftless.lfs.batch import HASH_ALGORITHM, MEDIA_TYPE
from giftless.lfs.objects import Operation
from giftless.lfs.replies import Answered, parse_reply
from giftless.storage.mirror.asking import Outgoing
from giftless.storage.mirror.refusals import garbled, refusal
from giftless.storage.mirror.upstreams import Place, authorization

#: How many objects are asked for at once: all servers take as many.
BATCH: Final = 100

#: The one way of transfer that is asked for.
_TRANSFER: Final = "basic"

#: The headers of requests with JSON to the API.
JSON: Final[Mapping[str, str]] = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}


async def ask_batch(
    place: Place,
    operation: Operation,
    wanted: Mapping[str, int],
    ref: str,
    credential: Credential | None,
    wall_clock: WallClock,
) -> Mapping[str, Answered]:
    """Ask what to do with objects of a repository, by the batch API.

    :param wanted: oids and sizes in bytes.
    :param ref: the name of the git ref that it is for; empty for none.
    :param credential: whose permissions count; ``None`` for those of everybody.
    :returns: an answer for each object.
    :raises LFSError: if the server refuses that as a whole, or does not answer.
    """
    found: dict[str, Answered] = {}
    name, items = place.asker.name, list(wanted.items())
    for start in range(0, len(items), BATCH):
        some = dict(items[start : start + BATCH])
        content: dict[str, Any] = {
            "operation": operation.value,
            "transfers": [_TRANSFER],
            "objects": [{"oid": oid, "size": size} for oid, size in some.items()],
            "hash_algo": HASH_ALGORITHM,
        }
        if ref:
            content["ref"] = {"name": ref}
        answer = await place.asker.ask_server(
            Outgoing(
                "POST",
                f"{place.api}/objects/batch",
                JSON,
                authorization(credential),
                msgspec.json.encode(content),
            )
        )
        if answer.status != 200:
            raise refusal(name, answer, credential is None, wall_clock())
        if not answer.whole:
            raise garbled(name, "its reply to a batch does not end")
        try:
            reply = parse_reply(answer.body, some, wall_clock())
        except LFSError as error:
            raise garbled(name, error.message) from None
        if reply.transfer != _TRANSFER:
            raise garbled(name, "it chooses a way of transfer that was not offered")
        found.update((each.oid, each) for each in reply.objects)
    return found
