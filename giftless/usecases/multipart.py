"""The use cases of uploads in parts, the same for every front.

Every one of them is asked for by an action's token, which says of which upload
it is; beside the token the daemon knows nothing of an upload.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from giftless.base.bodies import PartBody
from giftless.errors import Forbidden, LFSError, NotFound, WrongBody
from giftless.interfaces import (
    ActionKind,
    Arrival,
    IBlocking,
    IBody,
    Identity,
    ILinks,
    IMultipartStore,
    IObjectStore,
    IPartPlanner,
    IStreamingMultipartStore,
    PartUpload,
    Payload,
    Requester,
    Ticket,
    Transfer,
)
from giftless.lfs.batch import ObjectReply
from giftless.lfs.objects import ObjectKey
from giftless.transfer.kinds import ABORT, COMMIT, PART, PARTS
from giftless.usecases.authorization import Gate
from giftless.usecases.events import NO_EVENTS, Events
from giftless.usecases.presence import Presence, size_told
from giftless.usecases.quotas.promises import Quotas
from giftless.usecases.read_back import ReadBack


class MultipartServer:
    """What the server does with parts, for an identity that has been established.

    :param store: where objects are.
    :param planner: plans uploads; ``None`` if no transfer of the server does.
    :param blocking: hashes parts, and objects that are read back.
    :param gate: decides who may do what.
    :param clock: waits before an object is read once more.
    :param events: where it is published what has happened.
    :param quotas: promise room to uploads; ``None`` if there are none.
    :param presence: decides what clients are told is there; ``None`` if objects are never
        moved.
    :raises ConfigError: if the store wants its objects read back, and cannot be
        read, or can neither mark nor delete them.
    """

    def __init__(
        self,
        store: IObjectStore,
        planner: IPartPlanner | None,
        blocking: IBlocking,
        gate: Gate,
        clock: IReactorTime,
        events: Events = NO_EVENTS,
        quotas: Quotas | None = None,
        presence: Presence | None = None,
    ) -> None:
        self._store = store
        self._quotas = quotas
        self._planner = planner
        self._blocking = blocking
        self._gate = gate
        self._events = events
        self._presence = presence
        self._read_back = (
            ReadBack(store, blocking, clock, events)
            if IMultipartStore.providedBy(store) and store.reads_back
            else None
        )

    def count_parts(self, identity: Identity) -> int:
        """Return how many parts there are in the upload that an identity's token is for."""
        ticket = identity.ticket
        if ticket is None or not IMultipartStore.providedBy(self._store):
            return 0
        try:
            return self._store.plan(ticket.size).count
        except LFSError:
            return 0  # it will be refused

    async def plan(
        self,
        identity: Identity,
        key: ObjectKey,
        links: ILinks,
        client: str = "",
        resumes: bool = False,
    ) -> ObjectReply:
        """Tell what there is to do to upload an object.

        :param client: what the client calls itself.
        :param resumes: whether it goes on by tus with an upload that broke off.
        :returns: what a batch reply to ``multipart-basic`` says of it, or how to resume it.
        :raises LFSError: if it cannot be uploaded.
        """
        ticket = self._admit(identity, key, PARTS)
        if self._planner is None:
            raise NotFound("this server's storage takes no parts; ask for a basic transfer")
        size = await size_told(self._store, self._presence, identity, key)
        if size == ticket.size:
            return ObjectReply(str(key.oid), ticket.size, True)
        if self._quotas is not None:
            await self._quotas.require(key, ticket.size, True)
        transfer = Transfer(key, ticket.size, ticket.extras, size is not None)
        requester = Requester(identity, key.repo, links, client, resumes)
        actions = await self._planner.plan(transfer, requester)
        return ObjectReply(str(key.oid), ticket.size, True, actions)

    async def receive(
        self,
        identity: Identity,
        key: ObjectKey,
        number: int,
        size: int | None,
        md5: bytes | None,
        body: IBody,
    ) -> None:
        """Store a part.

        :param number: which part, from 1.
        :param size: the body's length in bytes; ``None`` if it is not told.
        :param md5: what the MD5 of the body must be; ``None`` if that is not told.
        :raises LFSError: if it is not allowed, or not what it should be.
        """
        upload = _upload(self._admit(identity, key, PART))
        if not IStreamingMultipartStore.providedBy(self._store):
            raise NotFound("this server's parts are not received here; ask for a batch")
        part = upload.plan.part(number)
        if part is None:
            raise NotFound(f"the object has {upload.plan.count} parts, and no part {number}")
        if size not in (None, part.size):
            raise WrongBody(f"part {number} has {part.size} bytes, but {size} are sent")
        checked = PartBody(body, part.size, md5, self._blocking)
        await self._store.put_part(key, upload, part, checked)

    async def commit(self, identity: Identity, key: ObjectKey) -> None:
        """Make an object of its parts.

        :raises Conflict: if parts are missing or wrong.
        :raises ServiceUnavailable: if the store does not do it, or if the
            object cannot be read back.
        """
        ticket = self._admit(identity, key, COMMIT)
        payload = Payload(ticket.size, key.oid)
        store, upload = self._multipart_store(), _upload(ticket)
        if self._quotas is None:
            await store.commit(key, upload, payload, ticket.extras)
        else:
            with await self._quotas.hold(key, ticket.size):
                await store.commit(key, upload, payload, ticket.extras)
        if self._read_back is not None:
            await self._read_back.verify(key, payload, identity)
        if self._presence is not None:
            key = await self._presence.follow(key)
        arrival = Arrival.COMMITTED
        self._events.publish_stored(key, ticket.size, identity, arrival, ticket.extras)

    async def abort(self, identity: Identity, key: ObjectKey) -> None:
        """Throw parts away."""
        ticket = self._admit(identity, key, ABORT)
        await self._multipart_store().abort(key, _upload(ticket))

    def _admit(self, identity: Identity, key: ObjectKey, kind: ActionKind) -> Ticket:
        self._gate.require(identity, kind.permission, key.repo, key.oid, (kind,))
        if identity.ticket is None:
            raise Forbidden("this needs the token of an upload's action; ask for a batch")
        return identity.ticket

    def _multipart_store(self) -> IMultipartStore:
        if not IMultipartStore.providedBy(self._store):
            raise NotFound("this server's storage takes no parts; ask for a new batch")
        return self._store


def _upload(ticket: Ticket) -> PartUpload:
    if ticket.upload is None:
        raise Forbidden("this action's token belongs to no upload; ask for a new batch")
    return ticket.upload
