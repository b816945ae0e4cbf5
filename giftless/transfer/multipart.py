"""The ``multipart-basic`` transfer: parts, in any order and at the same time.

Where parts go depends on what the store can do, as with ``basic``: to the
store itself with signed URLs, or through the daemon.  An object that fits one
part goes up as with ``basic``: its only part is that upload, and there is
nothing to commit.  If it would begin anew after each failure, and the client
can do better, it goes up as with ``tus``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from giftless.base.concurrency import each
from giftless.errors import LFSError, PayloadTooLarge
from giftless.interfaces import (
    ActionKind,
    Fitness,
    IActionTokens,
    IExternalMultipartStore,
    IExternalStore,
    ILengthy,
    IMultipartStore,
    IObjectStore,
    IPartPlanner,
    IResuming,
    IStreamingMultipartStore,
    ITransferAdapter,
    PartUpload,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.multipart import Part, PartAction, PartPlan
from giftless.lfs.objects import Action, Actions, Operation
from giftless.transfer.basic import (
    BasicExternal,
    BasicFactory,
    BasicStreaming,
)
from giftless.transfer.kinds import ABORT, COMMIT, PART, VERIFY
from giftless.transfer.verification import Verification, kind_for_streaming

#: How many parts one reply may list: what the largest object of any store needs.
MAX_PARTS: Final = 50_000


class MultipartFactory:
    """Offers ``multipart-basic`` for every store that takes parts."""

    kinds = (*BasicFactory.kinds, PART, COMMIT, ABORT)

    def build(self, store: IObjectStore, tokens: IActionTokens) -> Multipart | None:
        """See :meth:`giftless.interfaces.ITransferFactory.build`."""
        basic = BasicFactory().build(store, tokens)
        if basic is None:
            return None
        if IExternalMultipartStore.providedBy(store):
            return MultipartExternal(store, tokens, basic, VERIFY)
        if IStreamingMultipartStore.providedBy(store):
            return MultipartStreaming(store, tokens, basic, kind_for_streaming(tokens))
        return None


@implementer(ITransferAdapter, ILengthy, IPartPlanner)
class Multipart:
    """What both ways have in common.

    :param store: takes the parts.
    :param tokens: makes the tokens of what the daemon answers itself.
    :param basic: moves what fits one part, and all downloads.
    :param verification: the kind of the action that verifies what was committed;
        ``None`` if commits have none.
    """

    name = "multipart-basic"

    def __init__(
        self,
        store: IMultipartStore,
        tokens: IActionTokens,
        basic: BasicExternal | BasicStreaming,
        verification: ActionKind | None,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._basic = basic
        self._verification = verification
        self._resuming: IResuming | None = None

    def resume_by(self, adapter: IResuming) -> None:
        """See :meth:`giftless.interfaces.IPartPlanner.resume_by`.

        What goes to the store directly is not led through the daemon for that.
        """
        if not IExternalStore.providedBy(self._store):
            self._resuming = adapter

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`.

        git-lfs cannot read a list of parts, whatever a custom adapter of its
        may offer: it would refuse the whole batch.

        :raises PayloadTooLarge: if the reply would be too long.
        """
        if request.is_stock:
            return Fitness.NONE
        if request.operation is Operation.DOWNLOAD:
            return Fitness.POSSIBLE
        counts = self.counts(request)
        if sum(counts) > MAX_PARTS and len(counts) > 1:
            raise PayloadTooLarge(
                f"these objects have {sum(counts)} parts; ask for at most {MAX_PARTS} at a time"
            )
        return Fitness.GOOD if max(counts, default=1) > 1 else Fitness.POSSIBLE

    def count(self, request: BatchRequest) -> int:
        """See :meth:`giftless.interfaces.ILengthy.count`."""
        if request.operation is Operation.DOWNLOAD:
            return len(request.objects)
        return sum(self.counts(request))

    def counts(self, request: BatchRequest) -> list[int]:
        """Return how many parts each object has that is not refused already."""
        return [self._count(item.size) for item in request.objects if item.error is None]

    def _count(self, size: int) -> int:
        try:
            return self._store.plan(size).count
        except PayloadTooLarge:
            return 1  # its upload is what is refused

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        return await each(lambda transfer: self.plan(transfer, requester), transfers)

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""
        return await self._basic.download(transfers, requester)

    def verification(self, size: int) -> ActionKind | None:
        """Return the kind of the action that verifies an upload of ``size`` bytes.

        :returns: ``None`` if there is no such action.
        """
        return self._basic.verification if self._count(size) == 1 else self._verification

    def resumes(self, size: int) -> bool:
        """Whether an object of ``size`` bytes is left to the adapter that resumes.

        Parts are better where there are several: they go side by side.
        """
        return self._resuming is not None and self._count(size) == 1 and self._resuming.suits(size)

    async def plan(self, transfer: Transfer, requester: Requester) -> Actions:
        """See :meth:`giftless.interfaces.IPartPlanner.plan`."""
        plan = self._store.plan(transfer.size)
        if plan.count == 1:
            return await self._plan_one(transfer, requester, plan)
        upload, missing = await self._store.begin(transfer.key, plan, transfer.extras)
        digest = self._store.want_digest
        signed = await self._part_actions(transfer, requester, upload, missing)
        return {
            "parts": [
                PartAction.of(action, part, digest)
                for action, part in zip(signed, missing, strict=True)
            ],
            "commit": self._step(COMMIT, transfer, requester, upload),
            "abort": self._step(ABORT, transfer, requester, upload),
            **Verification(self._tokens, self._verification, requester).actions(transfer),
        }

    async def _plan_one(self, transfer: Transfer, requester: Requester, plan: PartPlan) -> Actions:
        """Plan the upload of an object of one piece."""
        resuming = self._resuming if requester.resumes and self.resumes(transfer.size) else None
        (actions,) = await (resuming or self._basic).upload([transfer], requester)
        if isinstance(actions, LFSError):
            raise actions
        rest = dict(actions)
        action = rest.pop("upload")
        assert isinstance(action, Action)
        if resuming is not None:
            return {"resume": action, **rest}
        (part,) = plan
        return {"parts": [PartAction.of(action, part)], **rest}

    def _step(
        self, kind: ActionKind, transfer: Transfer, requester: Requester, upload: PartUpload
    ) -> Action:
        oid = transfer.key.oid
        signer = self._tokens.signer(kind, requester.repo, requester.identity, requester.client)
        href = requester.links.parts(oid, kind.name)
        return signer.action(oid, href, transfer.size, transfer.extras, upload)

    async def _part_actions(
        self,
        transfer: Transfer,
        requester: Requester,
        upload: PartUpload,
        parts: Sequence[Part],
    ) -> Sequence[Action]:
        raise NotImplementedError


class MultipartExternal(Multipart):
    """Parts go to the store itself.

    :param store: signs their uploads.
    """

    _store: IExternalMultipartStore

    async def _part_actions(
        self,
        transfer: Transfer,
        requester: Requester,
        upload: PartUpload,
        parts: Sequence[Part],
    ) -> Sequence[Action]:
        lifetime = self._tokens.multipart_lifetime
        return await self._store.part_actions(transfer.key, upload, parts, lifetime)


class MultipartStreaming(Multipart):
    """Parts pass through the daemon."""

    async def _part_actions(
        self,
        transfer: Transfer,
        requester: Requester,
        upload: PartUpload,
        parts: Sequence[Part],
    ) -> Sequence[Action]:
        # One token for all of them: it says how the object is divided.
        links, oid = requester.links, transfer.key.oid
        signer = self._tokens.signer(PART, requester.repo, requester.identity, requester.client)
        action = signer.action(oid, "", transfer.size, upload=upload)
        return [
            Action(links.parts(oid, str(part.number)), action.header, action.expires_in)
            for part in parts
        ]
