"""The ``giftless`` transfer: parts for the stock client, by an agent of ours.

git-lfs cannot read a list of parts.  It hands each object's one ``upload`` or
``download`` action to ``giftless-transfer-agent`` (its custom transfer
protocol), which asks the action's URL what there is to do: the answer is what
a batch reply to ``multipart-basic`` says of the object, or that its upload can
be resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.errors import LFSError
from giftless.interfaces import (
    Fitness,
    IActionTokens,
    IObjectStore,
    IPartPlanner,
    IResuming,
    ITransferAdapter,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Actions, Operation
from giftless.transfer.basic import upload_actions
from giftless.transfer.kinds import PARTS
from giftless.transfer.multipart import Multipart, MultipartFactory

#: From how many bytes on an object that can be resumed is worth the start of agents, which
#: takes git-lfs a second or two.
_WORTH_STARTING: Final = 8 * 1024 * 1024


class AgentFactory:
    """Offers ``giftless`` for every store that takes parts."""

    kinds = (*MultipartFactory.kinds, PARTS)

    def build(self, store: IObjectStore, tokens: IActionTokens) -> Agent | None:
        """See :meth:`giftless.interfaces.ITransferFactory.build`."""
        multipart = MultipartFactory().build(store, tokens)
        return None if multipart is None else Agent(multipart, tokens)


@implementer(ITransferAdapter, IPartPlanner)
class Agent:
    """Sends the agent to ask.

    :param multipart: answers it.
    :param tokens: makes the token that it asks with.
    """

    name = "giftless"

    def __init__(self, multipart: Multipart, tokens: IActionTokens) -> None:
        self._multipart = multipart
        self._tokens = tokens

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`."""
        counts = self._multipart.counts(request)
        if max(counts, default=1) > 1 or self._resumes(request):
            return Fitness.GOOD
        return Fitness.POSSIBLE

    def _resumes(self, request: BatchRequest) -> bool:
        """Whether there is an upload that agents should be started for to resume it."""
        return request.operation is Operation.UPLOAD and any(
            item.size >= _WORTH_STARTING and self._multipart.resumes(item.size)
            for item in request.objects
            if item.error is None
        )

    def resume_by(self, adapter: IResuming) -> None:
        """See :meth:`giftless.interfaces.IPartPlanner.resume_by`."""
        self._multipart.resume_by(adapter)

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        made: list[Actions] = []

        def href(transfer: Transfer) -> str:
            return requester.links.parts(transfer.key.oid)

        for transfer in transfers:
            # git-lfs verifies each object by what the batch says.
            verification = self._multipart.verification(transfer.size)
            made += upload_actions(self._tokens, PARTS, verification, href, [transfer], requester)
        return made

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""
        return await self._multipart.download(transfers, requester)

    async def plan(self, transfer: Transfer, requester: Requester) -> Actions:
        """See :meth:`giftless.interfaces.IPartPlanner.plan`."""
        return await self._multipart.plan(transfer, requester)
