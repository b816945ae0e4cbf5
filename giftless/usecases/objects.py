"""The use cases of a Git LFS server, the same for every front.

A front (HTTP now) turns its requests into calls of :class:`LFSServer` and its
errors into the front's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from zope.interface import implementer

from giftless.base.bodies import VerifiedBody
from giftless.errors import (
    BadAction,
    Conflict,
    InsufficientStorage,
    LFSError,
    NotFound,
    ObjectDamaged,
    Unprocessable,
    WrongBody,
)
from giftless.interfaces import (
    ActionKind,
    Arrival,
    BatchAnswered,
    IBlocking,
    IBody,
    ICallersStore,
    Identity,
    IExternalStore,
    IForwarding,
    IInspector,
    ILengthy,
    ILinks,
    IObjects,
    IObjectStore,
    IPartPlanner,
    IResuming,
    IStoredObject,
    IStreamingStore,
    ObjectFacts,
    Payload,
    Requester,
    Transfer,
)
from giftless.lfs.batch import BatchReply, BatchRequest, ObjectReply, RequestedObject, too_large
from giftless.lfs.objects import EMPTY_OID, Actions, ObjectKey, Operation, Permission, Repo
from giftless.transfer.kinds import CONFIRM, DOWNLOAD, UPLOAD, VERIFY
from giftless.transfer.registry import TransferRegistry
from giftless.usecases.authorization import Gate
from giftless.usecases.downloads import Download
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.presence import Presence
from giftless.usecases.quotas.budgets import Budgets
from giftless.usecases.quotas.promises import Quotas
from giftless.usecases.room import StoreRoom


@implementer(IObjects)
class LFSServer:
    """What the server does for an identity that has been established.

    :param store: where objects are.
    :param transfers: the ways to move them.
    :param blocking: hashes uploads.
    :param max_object_size: the largest object that may be stored, in bytes.
    :param gate: decides who may do what.
    :param events: where it is published what has happened.
    :param quotas: promise room to uploads; ``None`` if there are none.
    :param budgets: bound downloads; ``None`` if nothing does.
    :param presence: decides what clients are told is there; ``None`` if objects are never
        moved.
    """

    def __init__(
        self,
        store: IObjectStore,
        transfers: TransferRegistry,
        blocking: IBlocking,
        max_object_size: int,
        gate: Gate,
        events: Events = NO_EVENTS,
        quotas: Quotas | None = None,
        budgets: Budgets | None = None,
        presence: Presence | None = None,
    ) -> None:
        self._store = store
        self._forwarding: IForwarding | None = store if IForwarding.providedBy(store) else None
        self._quotas = quotas
        self._budgets = budgets
        self._presence = presence
        self._rooms = StoreRoom(store)
        self._transfers = transfers
        self._blocking = blocking
        self._max_object_size = max_object_size
        self._gate = gate
        self._events = events

    def count_actions(self, request: BatchRequest) -> int:
        """Return how many actions the reply to a batch request has at most.

        :raises LFSError: if no transfer can serve it.
        """
        adapter = self._transfers.choose(request)
        if ILengthy.providedBy(adapter):
            return adapter.count(request)
        return len(request.objects)

    async def batch(
        self,
        identity: Identity,
        repo: Repo,
        request: BatchRequest,
        links: ILinks,
        address: str = "",
        request_id: str = "",
    ) -> BatchReply:
        """Answer a batch request (``docs/api/batch.md``).

        :param address: the client's IP address, for the events of refused objects; empty
            if unknown.
        :param request_id: names the request in the log; empty if there is none.
        :returns: the reply, with one entry per requested object.
        :raises Unauthorized: if an anonymous client asks that may do nothing.
        :raises Forbidden: if another client asks that may do nothing.
        """
        adapter = self._transfers.choose(request)
        wanted, refused = self._gate.divide(identity, repo, request)
        choose, make = (
            (self._missing, adapter.upload)
            if request.operation is Operation.UPLOAD
            else (self._present, adapter.download)
        )
        keys = [ObjectKey(repo, item.oid) for item in wanted]
        is_download = request.operation is Operation.DOWNLOAD
        if self._budgets is not None and is_download:
            await self._budgets.require(repo)
        # What another server says of the objects, it says to this caller, in one batch.
        asked = self._store_for(identity, request)
        transfers = await choose(asked, identity, wanted, keys, refused) if keys else []
        if ICallersStore.providedBy(asked):
            transfers = [replace(each, passed=asked.pass_of(each.key)) for each in transfers]
        if self._quotas is not None and transfers and not is_download:
            in_parts = IPartPlanner.providedBy(adapter) or IResuming.providedBy(adapter)
            transfers = await self._quotas.admit(transfers, refused, in_parts)
        if self._presence is not None and self._presence.trashing and not is_download:
            transfers = await self._presence.spare(identity, transfers)
        requester = Requester(identity, repo, links, request.client)
        made = await make(transfers, requester) if transfers else []
        actions: dict[str, Actions] = {}
        for transfer, outcome in zip(transfers, made, strict=True):
            if isinstance(outcome, LFSError):
                refused[transfer.key.oid] = outcome
            else:
                actions[transfer.key.oid] = outcome
        if self._budgets is not None and is_download and IExternalStore.providedBy(self._store):
            # What the store gives out itself cannot be counted on its way.
            given = sum(each.size for each in transfers if each.key.oid in actions)
            self._budgets.add(repo, given)
        if self._events.wanted:
            source = identity.name, address, identity.principal, request_id
            for error in refused.values():
                self._events.publish_refusal(error, repo, *source)
            self._publish_batch(identity, repo, request, adapter.name, len(actions), refused)
        return BatchReply(
            adapter.name,
            [
                ObjectReply.refused(item, refused[item.text])
                if item.text in refused
                else ObjectReply(item.text, item.size, True, actions.get(item.text))
                for item in request.objects
            ],
        )

    def _publish_batch(
        self,
        identity: Identity,
        repo: Repo,
        request: BatchRequest,
        transfer: str,
        actions: int,
        refused: Mapping[str, LFSError],
    ) -> None:
        present = len(request.objects) - actions - len(refused)
        causes = Counter(error.cause for error in refused.values())
        self._events.publish(
            BatchAnswered(
                repo,
                identity.name,
                request.operation,
                transfer,
                actions,
                present,
                causes,
                identity.principal,
            )
        )

    async def receive(
        self,
        identity: Identity,
        key: ObjectKey,
        size: int | None,
        body: IBody,
        kinds: Sequence[ActionKind] = (UPLOAD,),
    ) -> None:
        """See :meth:`giftless.interfaces.IObjects.receive`."""
        self._gate.require(identity, Permission.WRITE, key.repo, key.oid, kinds)
        store = self._streaming_store(identity)
        ticket = identity.ticket
        if ticket is not None:
            if size not in (None, ticket.size):
                raise WrongBody(
                    f"the body has {size} bytes, but the batch announced {ticket.size};"
                    " ask for a new batch"
                )
            size = ticket.size
        if size is not None and size > self._max_object_size:
            raise too_large(size, self._max_object_size)
        checked = VerifiedBody(body, key.oid, size, self._max_object_size, self._blocking)
        extras = ticket.extras if ticket is not None else {}
        payload = Payload(size, key.oid)
        if self._quotas is None:
            await store.put(key, payload, checked, extras)
        else:
            with await self._quotas.hold(key, size):
                await store.put(key, payload, checked, extras)
        if self._presence is not None:
            key = await self._presence.follow(key)
        self._events.publish_stored(key, checked.received, identity, Arrival.STREAMED, extras)

    async def open(
        self, identity: Identity, key: ObjectKey, kinds: Sequence[ActionKind] = (DOWNLOAD,)
    ) -> Download:
        """See :meth:`giftless.interfaces.IObjects.open`."""
        self._gate.require(identity, Permission.READ, key.repo, key.oid, kinds)
        if self._budgets is not None:
            await self._budgets.require(key.repo)
        store = self._streaming_store(identity)
        stored: IStoredObject | None = await store.open(key)
        if stored is None and await self._is_recalled(identity, key):
            stored = await store.open(key)
        if stored is None:
            raise NotFound(f"there is no object {key.oid} in {key.repo}")
        return Download(stored, key, identity, self._events)

    async def verify(
        self,
        identity: Identity,
        key: ObjectKey,
        size: int,
        kinds: Sequence[ActionKind] = (VERIFY, CONFIRM),
    ) -> None:
        """See :meth:`giftless.interfaces.IObjects.verify`."""
        self._gate.require(identity, Permission.READ_META, key.repo, key.oid, kinds)
        ticket = identity.ticket
        if ticket is not None and ticket.size != size:
            raise BadAction("this action is for an object of another size; ask for a new batch")
        store = self._store_for(identity)
        stored = await _inspect(store, key)
        if stored is None and await self._is_recalled(identity, key):
            stored = await _inspect(store, key)
        if stored is None:
            raise NotFound(f"there is no object {key.oid} in {key.repo}; upload it again")
        if stored.size != size:
            raise Conflict(
                f"the stored object has {stored.size} bytes, not {size}; upload it again"
            )
        if stored.sha256 not in (None, key.oid):
            raise Conflict(f"the stored object's SHA-256 is {stored.sha256}; upload it again")
        if ticket is not None and ticket.kind == CONFIRM.name:
            # It went to the store directly: only now is it known that it has arrived.
            self._events.publish_stored(key, size, identity, Arrival.CONFIRMED, ticket.extras)

    async def _is_recalled(self, identity: Identity, key: ObjectKey) -> bool:
        """Bring an object back that is absent, if it is in the trash.

        :raises ObjectTrashed: if it is there, and the identity may not write.
        """
        if self._presence is None:
            return False
        (size,) = await self._presence.recall(identity, [key], [None])
        if isinstance(size, LFSError):
            raise size
        return size is not None

    def _store_for(self, identity: Identity, batch: BatchRequest | None = None) -> IObjectStore:
        """Return the store, as somebody sees it where another server decides that.

        :param batch: the batch that is being answered, if one is.
        """
        if self._forwarding is None:
            return self._store
        return self._forwarding.for_caller(identity, batch)

    def _streaming_store(self, identity: Identity) -> IStreamingStore:
        store = self._store_for(identity)
        if not IStreamingStore.providedBy(store):
            raise NotFound("this server's objects are not served here; ask for a batch")
        return store

    async def _missing(
        self,
        store: IObjectStore,
        identity: Identity,
        wanted: Sequence[RequestedObject],
        keys: Sequence[ObjectKey],
        refused: dict[str, LFSError],
    ) -> list[Transfer]:
        """Choose what is to be uploaded; refuse what does not fit.

        An object with another size than announced is damaged, since its name
        is its hash: uploading it again repairs it.  So is one that has lost all
        its bytes, and one that is marked so.

        :param keys: those of ``wanted``, at least one, all of one repository.
        """
        rooms = self._rooms if store is self._store else StoreRoom(store)
        sizes, room = await rooms.sizes_and_room(keys, keys[0].repo)
        if self._presence is not None and sizes.count(None) < len(sizes):
            sizes = await self._presence.offer(identity, keys, sizes)
        transfers = []
        for item, key, size in zip(wanted, keys, sizes, strict=True):
            if size == item.size and (size or item.text == EMPTY_OID):
                continue
            if isinstance(size, LFSError) and not isinstance(size, ObjectDamaged):
                refused[item.text] = size
            elif (problem := room.take(item.size)) is not None:
                refused[item.text] = InsufficientStorage(problem)
            else:
                transfers.append(Transfer(key, item.size, item.extras, size is not None))
        return transfers

    async def _present(
        self,
        store: IObjectStore,
        identity: Identity,
        wanted: Sequence[RequestedObject],
        keys: Sequence[ObjectKey],
        refused: dict[str, LFSError],
    ) -> list[Transfer]:
        """Choose what can be downloaded; refuse what is missing or damaged.

        The size 0 stands for one that the client does not know: git-lfs 1.4 and 1.5
        ask for it when they prune.
        """
        sizes = await store.sizes(keys)
        if None in sizes and self._presence is not None:
            sizes = await self._presence.recall(identity, keys, sizes)
        transfers = []
        for item, key, size in zip(wanted, keys, sizes, strict=True):
            if isinstance(size, LFSError):
                refused[item.text] = size
            elif size is None:
                refused[item.text] = NotFound("the object does not exist on this server")
            elif not size and item.text != EMPTY_OID:
                refused[item.text] = Unprocessable("the stored object is empty: it is damaged")
            elif size != item.size and (item.size or item.text == EMPTY_OID):
                refused[item.text] = Unprocessable(f"the object has {size} bytes, not {item.size}")
            else:
                transfers.append(Transfer(key, size, item.extras))
        return transfers


async def _inspect(store: IObjectStore, key: ObjectKey) -> ObjectFacts | None:
    if IInspector.providedBy(store):
        facts: ObjectFacts | None = await store.inspect(key)
        return facts
    (size,) = await store.sizes([key])
    if isinstance(size, LFSError):
        raise size
    return None if size is None else ObjectFacts(size)
