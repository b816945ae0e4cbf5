"""The ``basic`` transfer (``docs/api/basic-transfers.md``): one PUT or GET.

Where the bytes go depends on what the store can do: to the store itself with
a signed URL, or through the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from giftless.base.concurrency import each
from giftless.errors import LFSError
from giftless.interfaces import (
    ActionKind,
    Fitness,
    IActionTokens,
    IExternalStore,
    IForwarding,
    IObjectStore,
    IStreamingStore,
    ITransferAdapter,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Actions, Extras
from giftless.transfer.kinds import CONFIRM, DOWNLOAD, UPLOAD, VERIFY
from giftless.transfer.verification import Verification, kind_for_streaming


class BasicFactory:
    """Offers ``basic`` for every store that signs or streams, or asks another server."""

    kinds = (UPLOAD, DOWNLOAD, VERIFY, CONFIRM)

    def build(
        self, store: IObjectStore, tokens: IActionTokens
    ) -> BasicExternal | BasicStreaming | None:
        """See :meth:`giftless.interfaces.ITransferFactory.build`.

        A store that can do both is used directly, so its bytes never pass
        through the daemon.
        """
        if IExternalStore.providedBy(store):
            return BasicExternal(store, tokens)
        if IStreamingStore.providedBy(store) or IForwarding.providedBy(store):
            return BasicStreaming(tokens)
        return None


def upload_actions(
    tokens: IActionTokens,
    kind: ActionKind,
    verification: ActionKind | None,
    href: Callable[[Transfer], str],
    transfers: Sequence[Transfer],
    requester: Requester,
) -> list[Actions]:
    """Make the actions of uploads that begin with a request to the daemon.

    :param tokens: makes their tokens.
    :param kind: the kind of that request.
    :param verification: the kind of the request that verifies the object; ``None`` if
        none has to.
    :param href: returns the URL that the request for an object goes to.
    """
    signer = tokens.signer(kind, requester.repo, requester.identity, requester.client)
    verify = Verification(tokens, verification, requester)
    return [
        {
            "upload": signer.action(
                transfer.key.oid,
                href(transfer),
                transfer.size,
                transfer.extras,
                passed=transfer.passed,
            ),
            **verify.actions(transfer),
        }
        for transfer in transfers
    ]


@implementer(ITransferAdapter)
class BasicStreaming:
    """Bytes pass through the daemon's own storage endpoints.

    :param tokens: makes the actions' tokens.
    :ivar verification: the kind of the action that verifies an upload; ``None`` if
        uploads have none.
    """

    name = "basic"

    def __init__(self, tokens: IActionTokens) -> None:
        self._tokens = tokens
        self.verification = kind_for_streaming(tokens)

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`."""
        return Fitness.GOOD

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        return upload_actions(
            self._tokens,
            UPLOAD,
            self.verification,
            lambda transfer: requester.links.storage(transfer.key.oid, {}),
            transfers,
            requester,
        )

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""
        links = requester.links
        signer = self._tokens.signer(DOWNLOAD, requester.repo, requester.identity, requester.client)
        return [
            {
                "download": signer.action(
                    transfer.key.oid,
                    links.storage(transfer.key.oid, _saved_as(transfer.extras)),
                    transfer.size,
                    passed=transfer.passed,
                )
            }
            for transfer in transfers
        ]


def _saved_as(extras: Extras) -> Mapping[str, str]:
    """Return the parameters of a URL under which a browser saves what it finds there."""
    filename = extras.get("filename")
    if not isinstance(filename, str):
        return {}
    return {"filename": filename, "disposition": "attachment"}


@implementer(ITransferAdapter)
class BasicExternal:
    """Clients talk to the store, with actions that the store signs.

    :param store: the store.
    :param tokens: makes the token of the verification, which the daemon
        answers itself.
    :ivar lifetime: how long a signed URL should be good, in seconds.
    :ivar verification: the kind of the action that verifies an upload.
    """

    name = "basic"
    verification = CONFIRM

    def __init__(self, store: IExternalStore, tokens: IActionTokens) -> None:
        self._store = store
        self._tokens = tokens
        self.lifetime = tokens.lifetime

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`."""
        return Fitness.GOOD

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        verification = Verification(self._tokens, self.verification, requester)

        async def actions(transfer: Transfer) -> Actions:
            upload = await self._store.upload_action(
                transfer.key, transfer.size, self.lifetime, transfer.extras, transfer.replace
            )
            return {"upload": upload, **verification.actions(transfer)}

        return await each(actions, transfers)

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""

        async def actions(transfer: Transfer) -> Actions:
            return {
                "download": await self._store.download_action(
                    transfer.key, transfer.size, self.lifetime, transfer.extras
                )
            }

        return await each(actions, transfers)
