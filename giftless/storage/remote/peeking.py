"""See how an object in a container begins, with one request."""

from __future__ import annotations

import re
from typing import Final

from giftless.interfaces import Glimpse
from giftless.lfs.objects import ObjectKey
from giftless.storage.remote.client import Request, StoreError
from giftless.storage.remote.container import Container

_RANGE: Final = re.compile(r"bytes 0-[0-9]+/([0-9]{1,19})")


async def glimpse(container: Container, key: ObjectKey, count: int) -> Glimpse | None:
    """Return what an object that is not empty begins with.

    :param count: how many bytes are wanted.
    :returns: ``None`` only if the store itself says that it is absent.
    :raises StoreError: if that cannot be told.
    """

    async def prepare() -> Request:
        return await container.get_request(key, 0, count)

    answer = await container.client.ask(prepare)
    if answer.status == 206:
        match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        if match is None:
            raise StoreError("its answer does not say how large the object is")
        return Glimpse(int(match[1]), answer.body[:count])
    if answer.status == 200 and answer.whole:
        return Glimpse(len(answer.body), answer.body[:count])
    if container.is_absent(answer):
        return None
    raise container.problem(answer)
