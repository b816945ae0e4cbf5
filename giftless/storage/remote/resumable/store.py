"""A store over a container that takes objects bit by bit, whichever way other bytes go."""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.holds import Hold
from giftless.errors import StorageUnavailable
from giftless.interfaces.resumable import IClaimedUpload, IResumableStore
from giftless.lfs.multipart import PartPlan
from giftless.lfs.objects import ObjectKey
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container
from giftless.storage.remote.failures import unavailable
from giftless.storage.remote.identity import StoreIdentity
from giftless.storage.remote.resumable.claimed import ClaimedUpload
from giftless.storage.remote.resumable.context import Context
from giftless.storage.remote.resumable.found import Found, find
from giftless.storage.remote.resumable.staged import Staged
from giftless.storage.remote.resumable.staging import Staging
from giftless.storage.remote.writing import WritableStore

#: What clients are told to wait while the own disk fails, in seconds.
_RETRY_AFTER: Final = 30

_log = Logger(namespace="giftless.storage")


@implementer(IResumableStore)
class ResumableStore(WritableStore):
    """A store that the daemon writes to bit by bit.

    :param container: where the objects are.
    :param part_size: how large the parts should be that clients send, in bytes.
    :param reads_back: whether an object that is made of parts is to be read back.
    :param context: the parts that uploads share.
    :param identity: recognises the container; ``None`` to take it for the right one.
    """

    def __init__(
        self,
        container: Container,
        part_size: int,
        reads_back: bool,
        context: Context,
        identity: StoreIdentity | None = None,
    ) -> None:
        super().__init__(container, part_size, reads_back, identity)
        self._context = context
        self.resumable_expiry = context.expiry

    async def claim(self, key: ObjectKey, size: int) -> IClaimedUpload:
        """See :meth:`giftless.interfaces.IResumableStore.claim`.

        :raises BadRequest: if the container cannot have the object.
        """
        plan = self.container.part_limits.plan(size, self._context.part_size)
        # What could not be stored in the end is refused now.
        self.container.layout.name(key)
        staging = Staging.of(key, size)
        hold = await self._hold(staging)
        try:
            found = await self._find(staging, plan)
        except StoreError as error:
            await hold.release()
            raise unavailable(error, f"an upload of {key.oid} could not be looked up") from error
        except BaseException:
            await hold.release()
            raise
        staged = Staged(self.container, key, staging, found, hold, self._context)
        return ClaimedUpload(staged, self, self.reads_back)

    async def _hold(self, staging: Staging) -> Hold:
        try:
            hold = await self._context.holds.claim(staging.name)
        except OSError as error:
            _log.error("an upload could not be claimed: {error}", error=str(error))
            raise StorageUnavailable(
                "the server's own disk fails; try again later", _RETRY_AFTER
            ) from error
        # Nothing is open of what a process has that did not answer: all is in the store.
        hold.replaced()
        return hold

    async def _find(self, staging: Staging, plan: PartPlan) -> Found:
        found = await find(self.container, staging, plan)
        if not found.begun:
            await self._confirm()
        return found
