"""The ``basic`` transfer (``docs/api/basic-transfers.md``): one PUT or GET.

Where the bytes go depends on what the store can do: to the store itself with
a signed URL, or through the daemon.
"""

from __future__ import annotations

from zope.interface import implementer

from giftless.interfaces import (
    Fitness,
    IExternalStore,
    IObjectStore,
    IPreAuthorizer,
    IStreamingStore,
    ITransferAdapter,
    Ticket,
    Transfer,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import Action, Actions


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


def verify_action(preauth: IPreAuthorizer, transfer: Transfer) -> Action:
    """Make the action that asks whether an upload has arrived."""
    ticket = Ticket("verify", transfer.size)
    return preauth.action(ticket, transfer.key, transfer.links.verify(), transfer.identity)


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

    async def upload(self, transfer: Transfer) -> Actions:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        href = transfer.links.storage(transfer.key.oid, {})
        ticket = Ticket("upload", transfer.size, transfer.extras)
        return {
            "upload": self._preauth.action(ticket, transfer.key, href, transfer.identity),
            "verify": verify_action(self._preauth, transfer),
        }

    async def download(self, transfer: Transfer) -> Actions:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""
        filename = transfer.extras.get("filename")
        parameters = (
            {"filename": filename, "disposition": "attachment"} if isinstance(filename, str) else {}
        )
        href = transfer.links.storage(transfer.key.oid, parameters)
        ticket = Ticket("download", transfer.size)
        return {"download": self._preauth.action(ticket, transfer.key, href, transfer.identity)}


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

    async def upload(self, transfer: Transfer) -> Actions:
        """See :meth:`giftless.interfaces.ITransferAdapter.upload`."""
        action = await self._store.upload_action(
            transfer.key, transfer.size, self.lifetime, transfer.extras
        )
        return {"upload": action, "verify": verify_action(self._preauth, transfer)}

    async def download(self, transfer: Transfer) -> Actions:
        """See :meth:`giftless.interfaces.ITransferAdapter.download`."""
        action = await self._store.download_action(
            transfer.key, transfer.size, self.lifetime, transfer.extras
        )
        return {"download": action}
