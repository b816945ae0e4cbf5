"""The ``tus`` transfer: an upload goes on where it broke off, through the daemon.

git-lfs speaks it if its user wants that (``lfs.tustransfers``).  It is given the URL of an
upload that begins, or goes on, by itself: HEAD tells where, and PATCH sends the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.errors import LFSError, Unprocessable
from giftless.interfaces import (
    Fitness,
    IActionTokens,
    IObjectStore,
    IResumableStore,
    IResuming,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Actions, Operation
from giftless.lfs.tus import upload_path
from giftless.transfer.agent import Agent
from giftless.transfer.basic import upload_actions
from giftless.transfer.kinds import TUS, VERIFY
from giftless.transfer.verification import kind_for_streaming

#: From how many bytes on an object is worth one more request, to whoever has not asked for it.
_WORTHWHILE: Final = 1024 * 1024


class TusFactory:
    """Offers ``tus`` for every store that takes objects bit by bit."""

    kinds = (TUS, VERIFY)

    def build(self, store: IObjectStore, tokens: IActionTokens) -> Tus | None:
        """See :meth:`giftless.interfaces.ITransferFactory.build`."""
        return Tus(tokens) if IResumableStore.providedBy(store) else None


@implementer(IResuming)
class Tus:
    """Leads to the endpoints of resumable uploads.

    :param tokens: makes the actions' tokens.
    """

    name = "tus"

    def __init__(self, tokens: IActionTokens) -> None:
        self._tokens = tokens
        self._verification = kind_for_streaming(tokens)

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`.

        The user of git-lfs has asked for it, whatever the sizes are.  Our agent has not, and
        a small object is sent again faster than it is asked for.
        """
        if request.operation is Operation.DOWNLOAD:
            return Fitness.NONE
        sizes = (item.size for item in request.objects if item.error is None)
        if Agent.name in request.transfers and not any(map(self.suits, sizes)):
            return Fitness.POSSIBLE
        return Fitness.GOOD

    def suits(self, size: int) -> bool:
        """See :meth:`giftless.interfaces.IResuming.suits`."""
        return size >= _WORTHWHILE

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""

        def href(transfer: Transfer) -> str:
            return requester.links.endpoint(upload_path(transfer.key.oid, transfer.size))

        return upload_actions(self._tokens, TUS, self._verification, href, transfers, requester)

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`: it is never chosen."""
        return [Unprocessable("tus is for uploads alone") for _ in transfers]
