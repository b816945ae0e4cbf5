"""Requests of ``git-lfs-transfer`` to the use cases, and what these return to replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from giftless.errors import BadRequest, LFSError, NotFound
from giftless.interfaces import IAuthenticator, IBody, IDownload
from giftless.lfs.objects import ObjectKey, Oid, Operation, Permission
from giftless.lfs.ssh.replies import (
    render_batch,
    render_done,
    render_error,
    render_lock,
    render_locks,
    render_object_head,
    render_welcome,
)
from giftless.lfs.ssh.requests import (
    PUT_OBJECT,
    Request,
    parse_batch,
    parse_list,
    parse_lock,
    parse_object,
    parse_unlock,
    parse_version,
)
from giftless.ssh.caller import Caller
from giftless.transfer.ssh import NoLinks
from giftless.usecases.authorization import Gate
from giftless.usecases.events import Events
from giftless.usecases.locks import LockService
from giftless.usecases.objects import LFSServer

#: The command that ends a session.
QUIT: Final = "quit"


class Answer(msgspec.Struct, frozen=True):
    """A reply, or how it begins.

    :ivar status: as HTTP has them.
    :ivar data: what is sent; behind it, the bytes of an object if there is one.
    :ivar download: that object, to be closed by whoever sends it.
    """

    status: int
    data: bytes
    download: IDownload | None = None


_OK: Final = Answer(200, render_done())


class Processor:
    """Answers the requests of sessions.

    :param server: the use cases of objects.
    :param locks: those of locks; ``None`` if there are no locks.
    :param gate: decides who may do what.
    :param events: where it is published what was refused.
    :param guarded: identifies who asks, as often as anybody likes.
    :param counted: the same for batches.
    :param counted_locks: the same for requests about locks.
    :param max_objects: how many objects one batch may have.
    :param max_object_size: the largest object that may be uploaded, in bytes.
    """

    def __init__(
        self,
        server: LFSServer,
        locks: LockService | None,
        gate: Gate,
        events: Events,
        guarded: IAuthenticator,
        counted: IAuthenticator,
        counted_locks: IAuthenticator,
        max_objects: int,
        max_object_size: int,
    ) -> None:
        self._server = server
        self._locks = locks
        self._gate = gate
        self._events = events
        self._guarded = guarded
        self._counted = counted
        self._counted_locks = counted_locks
        self._max_objects = max_objects
        self._max_object_size = max_object_size
        self._links = NoLinks()
        self._commands: dict[str, Callable[[Caller, Request, IBody | None], Awaitable[Answer]]] = {
            "version": self._version,
            "batch": self._batch,
            "get-object": self._get,
            PUT_OBJECT: self._put,
            "verify-object": self._verify,
            "lock": self._lock,
            "list-lock": self._list,
            # What git-lfs 3.0 to 3.3 sends.
            "list-locks": self._list,
            "unlock": self._unlock,
            QUIT: self._quit,
        }

    async def admit(self, caller: Caller) -> bytes:
        """Let somebody in who has asked for a session.

        :returns: what the server says first.
        :raises LFSError: if they may not do there what the session is for.
        """
        await caller.require_permission(self._guarded, self._gate, self._events)
        return render_welcome(self._locks is not None)

    async def answer(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        """Answer a request.

        :param body: the bytes of an object, which come with an upload alone.
        :raises LFSError: if it is refused.
        """
        if request.problem is not None:
            raise request.problem
        command = self._commands.get(request.command)
        if command is None:
            raise BadRequest("this server has no such command")
        return await command(caller, request, body)

    def refuse(self, error: LFSError, caller: Caller) -> Answer:
        """Make the answer to what is refused, and publish that."""
        caller.publish(self._events, error)
        return Answer(error.code, render_error(error))

    def knows(self, command: str) -> bool:
        """Whether there is such a command."""
        return command in self._commands

    async def _version(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        parse_version(request)
        return _OK

    async def _quit(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        return _OK

    async def _batch(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        operation = caller.command.operation
        parsed = parse_batch(request, operation, self._max_objects, self._max_object_size)
        identity, repo = await caller.identify(self._counted)
        source = caller.address, caller.id
        reply = await self._server.batch(identity, repo, parsed, self._links, *source)
        return Answer(200, render_batch(reply))

    async def _get(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        oid = Oid.parse(request.subject)
        identity, repo = await caller.identify(self._guarded)
        download = await self._server.open(identity, ObjectKey(repo, oid))
        return Answer(200, render_object_head(download.stored.size), download)

    async def _put(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        caller.require_upload()
        assert body is not None, "an upload has a body"
        wanted = parse_object(request)
        identity, repo = await caller.identify(self._guarded)
        key = ObjectKey(repo, wanted.oid)
        await self._server.receive(identity, key, wanted.size, body)
        caller.stored = key, wanted.size
        return _OK

    async def _verify(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        """Tell whether an object is there.

        git-lfs asks that about each object that it has just sent.  Then the store need not
        be asked: it has said so already.
        """
        wanted = parse_object(request)
        identity, repo = await caller.identify(self._guarded)
        key = ObjectKey(repo, wanted.oid)
        stored, caller.stored = caller.stored, None
        if stored == (key, wanted.size):
            self._gate.require(identity, Permission.READ_META, repo, wanted.oid)
        else:
            await self._server.verify(identity, key, wanted.size)
        return _OK

    async def _lock(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        caller.require_upload()
        path = parse_lock(request)
        identity, repo = await caller.identify(self._counted_locks)
        return Answer(201, render_lock(201, await self._service.create(identity, repo, path)))

    async def _list(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        """List locks, and say whose they are.

        A client that is about to push asks for all of them in a session for uploads.
        """
        paging, service = parse_list(request), self._service
        identity, repo = await caller.identify(self._counted_locks)
        path, lock_id = request.argument("path") or None, request.argument("id") or None
        if path is None and lock_id is None and caller.command.operation is Operation.UPLOAD:
            found = await service.verify(identity, repo, paging)
            owned = [(lock, True) for lock in found.ours] + [(lock, False) for lock in found.theirs]
            return Answer(200, render_locks(owned, found.next_cursor))
        page = await service.page(identity, repo, paging, path, lock_id)
        owned = [(lock, service.owns(identity, lock)) for lock in page.locks]
        return Answer(200, render_locks(owned, page.next_cursor))

    async def _unlock(self, caller: Caller, request: Request, body: IBody | None) -> Answer:
        """Remove a lock.

        No git-lfs sends ``force`` over SSH, whatever its user says: so administrators may
        always remove the locks of others.
        """
        caller.require_upload()
        lock_id, force = parse_unlock(request)
        identity, repo = await caller.identify(self._counted_locks)
        force = force or identity.grants.allows(Permission.ADMIN, None)
        lock = await self._service.unlock(identity, repo, lock_id, force, caller.address, caller.id)
        return Answer(200, render_lock(200, lock))

    @property
    def _service(self) -> LockService:
        if self._locks is None:
            raise NotFound("this server has no file locks")
        return self._locks
