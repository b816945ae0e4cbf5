"""The mirror as one caller sees it: what the other server says, it says to this caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace
from twisted.internet.task import deferLater
from zope.interface import implementer

from giftless.errors import (
    CredentialNeeded,
    ExpiredAction,
    Forbidden,
    LengthRequired,
    LFSError,
    NotFound,
    Unauthorized,
)
from giftless.interfaces import (
    Credential,
    IBody,
    ICallersStore,
    IStoredObject,
    ObjectFacts,
    Pass,
    Payload,
    Ticket,
)
from giftless.lfs.batch import BatchRequest
from giftless.lfs.objects import MAX_SIZE, NO_EXTRAS, Extras, ObjectKey, Operation
from giftless.lfs.replies import Answered, GivenAction
from giftless.storage.mirror.asking import RETRY_AFTER, Outgoing, same_origin
from giftless.storage.mirror.batches import JSON, ask_batch
from giftless.storage.mirror.context import Context
from giftless.storage.mirror.errors import LONGEST, UpstreamLimit, UpstreamUnavailable
from giftless.storage.mirror.objects import UpstreamObject
from giftless.storage.mirror.passes import expiry_of
from giftless.storage.mirror.refusals import action_refusal, garbled, refusal_by
from giftless.storage.mirror.upstreams import Place, authorization

#: How often the other server is asked to verify an upload, if it does not answer.
_VERIFICATIONS: Final = 3

#: The errors by which it takes a permission to read away.
_NO_MORE: Final = (Unauthorized, Forbidden, NotFound)

#: The headers of an upload.
_BYTES: Final = {"Content-Type": "application/octet-stream"}


@implementer(ICallersStore)
class CallersStore:
    """Objects of the other server, with one caller's permissions.

    :param context: the parts that it uses.
    :param credential: what the caller has shown; ``None`` for nothing.
    :param ticket: what the token says that the caller has come with; ``None`` for none.
    :param request: the batch that is being answered; ``None`` for other requests.
    """

    def __init__(
        self,
        context: Context,
        credential: Credential | None,
        ticket: Ticket | None,
        request: BatchRequest | None,
    ) -> None:
        self._context = context
        self._credential = credential
        self._ticket = ticket
        self._request = request
        self._passes: dict[ObjectKey, Pass] = {}
        self._given: dict[ObjectKey, Mapping[str, GivenAction]] = {}
        self._sizes: dict[ObjectKey, int] = {}

    def pass_of(self, key: ObjectKey) -> Pass | None:
        """See :meth:`giftless.interfaces.ICallersStore.pass_of`."""
        return self._passes.get(key)

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`.

        For an upload, an object is there if the other server wants no upload.

        :raises LFSError: if the other server refuses the batch.
        """
        if not keys:
            return []
        place = self._context.upstreams.find(keys[0].repo)
        operation = Operation.DOWNLOAD
        kept: Sequence[int | None] = [None] * len(keys)
        if self._request is not None:
            operation = self._request.operation
        if operation is Operation.DOWNLOAD:
            kept = await self._context.reads.sizes(keys)
        # Servers compare the size.  Who names none may know that of what is kept here.
        wanted = {str(key.oid): size or 0 for key, size in zip(keys, kept, strict=True)}
        if self._request is not None:
            announced = {item.text: item.size for item in self._request.objects}
            wanted = {str(key.oid): announced[key.oid] for key in keys}
        answers = await self._ask(place, operation, wanted, keys, kept)
        return [
            self._judge(place, operation, key, wanted[key.oid], answers[key.oid], size)
            for key, size in zip(keys, kept, strict=True)
        ]

    async def open(self, key: ObjectKey) -> IStoredObject | None:
        """See :meth:`giftless.interfaces.IReadableStore.open`.

        :raises ExpiredAction: if the caller's pass is good no more, and the object is not
            kept here.
        """
        if self._ticket is not None:
            size = self._ticket.size
        else:
            (told,) = await self.sizes([key])
            if isinstance(told, LFSError):
                raise told
            if told is None:
                return None
            size = told

        source = partial(self._opened, key, size)
        return await self._context.reads.open(key, size, NO_EXTRAS, source)

    async def warm(self, key: ObjectKey) -> int:
        """See :meth:`giftless.interfaces.ICallersStore.warm`."""
        size = self._sizes[key]
        return await self._context.reads.warm(key, size, partial(self._opened, key, size))

    async def _opened(self, key: ObjectKey, size: int) -> IStoredObject:
        """Open an object at the other server.

        :raises LFSError: if the caller has no action for that.
        """
        context, place = self._context, self._context.upstreams.find(key.repo)
        given = self._given.get(key) or self._redeemed(key, Operation.DOWNLOAD)
        action = given.get("download")
        if action is None or not action.href:
            raise UpstreamUnavailable(
                f"{place.asker.name} cannot be asked, and the object is not kept here any"
                " more; try again later",
                RETRY_AFTER,
            )
        return UpstreamObject(
            key.oid,
            place.asker,
            action,
            size,
            context.blocking,
            context.clock,
            context.wall_clock,
        )

    async def put(self, key: ObjectKey, payload: Payload, body: IBody, extras: Extras) -> None:
        """See :meth:`giftless.interfaces.IWritableStore.put`.

        It has ended well when the other server has taken and verified the object.
        """
        if payload.length is None:
            raise LengthRequired("say how long the object is (Content-Length)")
        place = self._context.upstreams.find(key.repo)
        if self._ticket is not None:
            actions = self._redeemed(key, Operation.UPLOAD)
        else:
            wanted = {str(key.oid): payload.length}
            answers = await self._ask(place, Operation.UPLOAD, wanted, [key], [None])
            verdict = self._judge(
                place, Operation.UPLOAD, key, payload.length, answers[key.oid], None
            )
            if isinstance(verdict, LFSError):
                raise verdict
            actions = self._given[key]
        if "upload" not in actions:
            # The other server has it: these bytes are compared with the oid, and left.
            while await body.read():
                pass
            return
        action = actions["upload"]
        outgoing = Outgoing("PUT", action.href.partition("#")[0], _BYTES, action.header)
        answer = await place.asker.send(outgoing, payload.length, body)
        if not 200 <= answer.status < 300:
            raise action_refusal(place.asker.name, answer, self._context.wall_clock())
        await self._verify(place, key, payload.length, actions)

    async def inspect(self, key: ObjectKey) -> ObjectFacts | None:
        """See :meth:`giftless.interfaces.IInspector.inspect`: the other server verifies."""
        ticket = self._ticket
        if ticket is None:
            (size,) = await self.sizes([key])
            if isinstance(size, LFSError):
                raise size
            return None if size is None else ObjectFacts(size)
        place = self._context.upstreams.find(key.repo)
        await self._verify(place, key, ticket.size, self._redeemed(key, Operation.UPLOAD))
        return ObjectFacts(ticket.size)

    # -- inside

    async def _ask(
        self,
        place: Place,
        operation: Operation,
        wanted: Mapping[str, int],
        keys: Sequence[ObjectKey],
        kept: Sequence[int | None],
    ) -> Mapping[str, Answered]:
        """Ask the other server; if it cannot be reached, answer what was allowed before.

        :param kept: how many bytes are kept of each object; ``None`` for nothing.
        """
        context, credential = self._context, self._credential
        ref = "" if self._request is None else self._request.ref
        try:
            answers = await ask_batch(place, operation, wanted, ref, credential, context.wall_clock)
        except UpstreamUnavailable as error:
            if operation is Operation.UPLOAD or context.permissions is None:
                raise
            until = await context.permissions.until(place, credential)
            if until is None and credential is None:
                # git-lfs shows a credential only to who asks for one.
                raise CredentialNeeded(
                    f"{error.message}; what is kept needs a credential that it has let in"
                ) from None
            if until is None:
                raise
            return {
                key.oid: _offline(key, wanted[key.oid], size, until)
                for key, size in zip(keys, kept, strict=True)
            }
        except _NO_MORE:
            if context.permissions is not None:
                await context.permissions.forget(place, credential)
            raise
        if context.permissions is not None and operation is Operation.DOWNLOAD:
            if any("download" in each.actions for each in answers.values()):
                await context.permissions.allow(place, credential)
            elif any(each.code in (401, 403, 404) for each in answers.values()):
                await context.permissions.forget(place, credential)
        return answers

    def _judge(
        self,
        place: Place,
        operation: Operation,
        key: ObjectKey,
        wanted: int,
        answered: Answered,
        kept: int | None,
    ) -> int | LFSError | None:
        """Say what the other server's answer means, and keep its actions.

        :param wanted: the size that the caller has announced.
        :param kept: how many bytes of the object are kept here.
        """
        if answered.code:
            return refusal_by(place.asker.name, answered.code, answered.message)
        if answered.size > MAX_SIZE:
            return garbled(place.asker.name, "it tells no size that an object can have")
        actions = answered.actions
        names = ("upload", "verify") if operation is Operation.UPLOAD else ("download",)
        given = {
            name: _with_credential(place, answered, actions[name], self._credential)
            for name in names
            if name in actions
        }
        self._given[key], self._sizes[key] = given, answered.size
        if names[0] not in actions:
            if operation is Operation.UPLOAD:
                self._given[key] = {}
                return wanted
            return NotFound(f"{place.asker.name} names no way to download the object")
        if operation is Operation.DOWNLOAD and kept == answered.size:
            self._passes[key] = Pass("", expiry_of(given))
            return answered.size
        size = wanted if operation is Operation.UPLOAD else answered.size
        sealed = self._context.passes.seal(key, size, operation, given)
        if sealed is None:
            return garbled(place.asker.name, "its action is too long to be passed on")
        self._passes[key] = sealed
        return None if operation is Operation.UPLOAD else size

    def _redeemed(self, key: ObjectKey, operation: Operation) -> Mapping[str, GivenAction]:
        """Return the actions of the caller's pass.

        :raises ExpiredAction: if there is none, or it is good no more.
        :raises BadAction: if it is for something else.
        """
        ticket = self._ticket
        if ticket is None or not ticket.passed:
            raise ExpiredAction("the object is not kept here any more; ask for a new batch")
        return self._context.passes.open(ticket.passed, key, ticket.size, operation)

    async def _verify(
        self, place: Place, key: ObjectKey, size: int, actions: Mapping[str, GivenAction]
    ) -> None:
        """Let the other server verify an upload, if it wants to."""
        action = actions.get("verify")
        if action is None:
            return
        content = msgspec.json.encode({"oid": str(key.oid), "size": size})
        outgoing = Outgoing("POST", action.href.partition("#")[0], JSON, action.header, content)
        for attempt in range(_VERIFICATIONS):
            try:
                answer = await place.asker.ask(outgoing)
            except UpstreamUnavailable:
                if attempt + 1 == _VERIFICATIONS:
                    raise
                continue
            if 200 <= answer.status < 300:
                return
            error = action_refusal(place.asker.name, answer, self._context.wall_clock())
            if attempt + 1 == _VERIFICATIONS or answer.status not in (429, *range(500, 600)):
                raise error
            if isinstance(error, UpstreamLimit):
                # The object is there: nobody need send it once more.
                await deferLater(self._context.clock, min(error.retry_after, LONGEST))


def _with_credential(
    place: Place, answered: Answered, action: GivenAction, credential: Credential | None
) -> GivenAction:
    """Add the caller's credential to an action that wants it, as git-lfs does.

    That is one which is not authenticated by itself and leads to the server itself.
    """
    named = {name.lower() for name in action.header}
    if (
        credential is None
        or answered.authenticated
        or "authorization" in named
        or not same_origin(action.href, place.api)
    ):
        return action
    return replace(action, header={**action.header, **authorization(credential)})


def _offline(key: ObjectKey, wanted: int, kept: int | None, until: float) -> Answered:
    """Answer for a server that cannot be reached.

    :param wanted: the size that the caller has announced; 0 if it is not known.
    :param until: when the caller's permission ends.
    """
    if kept is None or wanted not in (0, kept):
        message = "the object is not kept here"
        return Answered(key.oid, wanted, {}, code=UpstreamUnavailable.code, message=message)
    # What is kept needs nothing but its end.
    return Answered(key.oid, kept, {"download": GivenAction("", {}, until)})
