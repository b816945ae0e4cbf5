"""The store that ``storage: {type: mirror}`` describes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.errors import LFSError, StorageUnavailable
from giftless.interfaces import (
    ICaching,
    Identity,
    IForwarding,
    ILockForwarding,
    IProbing,
    LockAnswer,
    LockRequest,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import RESERVED_PREFIX, ObjectKey, Repo
from giftless.storage.mirror.asking import RETRY_AFTER
from giftless.storage.mirror.callers import CallersStore
from giftless.storage.mirror.context import Context
from giftless.storage.mirror.locks import forward_locks
from giftless.storage.wrapping import lend

#: How many bytes are written to try whether the directory takes them.
_PROBE_BYTES: Final = 64


@implementer(IForwarding, ILockForwarding, IProbing)
class MirrorStore:
    """Other servers' objects, for callers whom those servers know.

    :param context: the parts that it uses.
    :ivar path: the directory in which bytes are kept.
    """

    path: str

    def __init__(self, context: Context) -> None:
        lend(self, context.reads, ICaching)
        self._context = context

    def for_caller(self, identity: Identity, request: BatchRequest | None = None) -> CallersStore:
        """See :meth:`giftless.interfaces.IForwarding.for_caller`."""
        return CallersStore(self._context, identity.credential, identity.ticket, request)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: as everybody may know them."""
        return await CallersStore(self._context, None, None, None).sizes(keys)

    async def forward(self, identity: Identity, repo: Repo, request: LockRequest) -> LockAnswer:
        """See :meth:`giftless.interfaces.ILockForwarding.forward`."""
        place = self._context.upstreams.find(repo)
        return await forward_locks(place, request, identity.credential, self._context.wall_clock)

    def url_of(self, repo: Repo) -> str:
        """See :meth:`giftless.interfaces.IForwarding.url_of`."""
        return self._context.upstreams.find(repo).api

    async def probe(self) -> None:
        """See :meth:`giftless.interfaces.IProbing.probe`.

        The other servers are not asked: what they do not do is told to whoever wants it.
        """
        try:
            await self._context.blocking.run(_probe, self.path)
        except OSError as error:
            raise StorageUnavailable(
                f"cannot keep files in {self.path!r}: {error.strerror or error}", RETRY_AFTER
            ) from None


def _probe(directory: str) -> None:
    path = os.path.join(directory, f"{RESERVED_PREFIX}-probe-{secrets.token_hex(8)}")
    data = os.urandom(_PROBE_BYTES)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.unlink(path)
        os.write(fd, data)
        if os.pread(fd, _PROBE_BYTES, 0) != data:
            raise OSError(0, "other bytes are read than were written")
    finally:
        os.close(fd)
