"""An upload that goes on here: what callers see of it."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.logger import Logger
from zope.interface import implementer

from giftless.errors import WrongBody
from giftless.interfaces import IBody, IReadableStore, Payload
from giftless.interfaces.resumable import IClaimedUpload
from giftless.lfs.objects import Extras
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.failures import unavailable
from giftless.storage.remote.resumable.making import make_object
from giftless.storage.remote.resumable.receiving import Receiver
from giftless.storage.remote.resumable.staged import Staged

_log = Logger(namespace="giftless.storage")


@implementer(IClaimedUpload)
class ClaimedUpload:
    """An upload to a store over a container.

    :param staged: what has come.
    :param store: reads back what is staged.
    :param distrusts: whether all that is made of parts is read back.
    """

    def __init__(self, staged: Staged, store: IReadableStore, distrusts: bool) -> None:
        self.wanted = staged.hold.wanted
        self._staged = staged
        self._store = store
        self._distrusts = distrusts

    @property
    def offset(self) -> int | None:
        """See :attr:`giftless.interfaces.IClaimedUpload.offset`."""
        return self._staged.found.offset if self._staged.found.begun else None

    @property
    def changed(self) -> float:
        """See :attr:`giftless.interfaces.IClaimedUpload.changed`."""
        return self._staged.changed

    async def begin(self, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.begin`.

        :raises ServiceUnavailable: if the store does not take it.
        """
        if not self._staged.found.begun:
            await self._do(self._staged.begin(extras), "begun")

    async def append(self, body: IBody) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.append`.

        :raises ServiceUnavailable: if the store does not take it.
        """
        await self._do(Receiver(self._staged).receive(body), "gone on with")

    async def commit(self, payload: Payload, extras: Extras, verified: bool) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.commit`.

        :raises ServiceUnavailable: if the store does not do it; what has come is still there.
        """
        staged = self._staged
        await staged.hold.committing()
        believed = verified and not self._distrusts
        try:
            if staged.found.offset != payload.length:
                raise WrongBody(f"{staged.found.offset} bytes have come, not {payload.length}")
            await self._do(make_object(staged, self._store, payload, extras, believed), "stored")
        except WrongBody:
            await self.discard()
            raise
        try:
            await staged.clear()
        except StoreError as error:
            _log.warn(
                "what was uploaded of {oid} is stored, and still staged until it expires:"
                " {problem}",
                oid=staged.key.oid,
                problem=error.problem,
            )

    async def discard(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.discard`.

        :raises ServiceUnavailable: if the store does not do it.
        """
        await self._do(self._staged.clear(), "thrown away")

    async def release(self) -> None:
        """See :meth:`giftless.interfaces.IClaimedUpload.release`."""
        await self._staged.hold.release()

    async def _do(self, work: Awaitable[None], what: str) -> None:
        try:
            await work
        except StoreError as error:
            doing = f"an upload of {self._staged.key.oid} could not be {what}"
            raise unavailable(error, doing) from error
