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
    Fitness,
    IExternalStore,
    IObjectStore,
    IPreAuthorizer,
    IStreamingStore,
    ITransferAdapter,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Action, Actions, Extras, Oid


class BasicFactory:
    """Offers ``basic`` for every store that signs or streams."""

    def build(
        self, store: IObjectStore, preauth: IPreAuthorizer
    ) -> BasicExternal | BasicStreaming | None:
        """See :meth:`giftless.interfaces.ITransferFactory.build`.

        A store that can do both is used directly, so its bytes never pass
        through the daemon.
        """
        if IExternalStore.providedBy(store):
            return BasicExternal(store, preauth)
        if IStreamingStore.providedBy(store):
            return BasicStreaming(preauth)
        return None


class Verification:
    """Makes the actions that ask whether an upload has arrived.

    :param preauth: makes their tokens.
    :param requester: who is to ask.
    """

    def __init__(self, preauth: IPreAuthorizer, requester: Requester) -> None:
        self._signer = preauth.signer("verify", requester.repo, requester.identity)
        self._href = requester.links.verify()

    def action(self, transfer: Transfer) -> Action:
        """Make the action for one object."""
        return self._signer.action(transfer.key.oid, self._href, transfer.size)


def upload_actions(
    preauth: IPreAuthorizer,
    operation: str,
    href: Callable[[Oid], str],
    transfers: Sequence[Transfer],
    requester: Requester,
) -> list[Actions]:
    """Make the actions of uploads that begin with a request to the daemon.

    :param preauth: makes their tokens.
    :param operation: what that request's tokens are for.
    :param href: returns the URL that it goes to.
    """
    signer = preauth.signer(operation, requester.repo, requester.identity)
    verification = Verification(preauth, requester)
    return [
        {
            "upload": signer.action(
                transfer.key.oid, href(transfer.key.oid), transfer.size, transfer.extras
            ),
            "verify": verification.action(transfer),
        }
        for transfer in transfers
    ]


@implementer(ITransferAdapter)
class BasicStreaming:
    """Bytes pass through the daemon's own storage endpoints.

    :param preauth: makes the actions' tokens.
    """

    name = "basic"

    def __init__(self, preauth: IPreAuthorizer) -> None:
        self._preauth = preauth

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`."""
        return Fitness.GOOD

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        return upload_actions(
            self._preauth,
            "upload",
            lambda oid: requester.links.storage(oid, {}),
            transfers,
            requester,
        )

    async def download(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""
        links = requester.links
        signer = self._preauth.signer("download", requester.repo, requester.identity)
        return [
            {
                "download": signer.action(
                    transfer.key.oid,
                    links.storage(transfer.key.oid, _saved_as(transfer.extras)),
                    transfer.size,
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
    :param preauth: makes the token of the verification, which the daemon
        answers itself.
    :ivar lifetime: how long a signed URL should be good, in seconds.
    """

    name = "basic"

    def __init__(self, store: IExternalStore, preauth: IPreAuthorizer) -> None:
        self._store = store
        self._preauth = preauth
        self.lifetime = preauth.lifetime

    def fitness(self, request: BatchRequest) -> Fitness:
        """See :meth:`giftless.interfaces.ITransferAdapter.fitness`."""
        return Fitness.GOOD

    async def upload(
        self, transfers: Sequence[Transfer], requester: Requester
    ) -> Sequence[Actions | LFSError]:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        verification = Verification(self._preauth, requester)

        async def actions(transfer: Transfer) -> Actions:
            upload = await self._store.upload_action(
                transfer.key, transfer.size, self.lifetime, transfer.extras
            )
            return {"upload": upload, "verify": verification.action(transfer)}

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
