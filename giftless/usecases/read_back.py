"""Read an object back after a commit, for stores that compare no digest themselves."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from giftless.base.bodies import VerifiedBody
from giftless.base.whole_object import WholeObject
from giftless.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    PayloadTooLarge,
)
from giftless.interfaces import (
    IBlocking,
    IDeleting,
    Identity,
    IMarking,
    IObjectStore,
    IReadableStore,
    ObjectDeleted,
    ObjectMarked,
    Payload,
)
from giftless.lfs.objects import MAX_SIZE, ObjectKey
from giftless.storage.wrapping import without_copies
from giftless.usecases.events import Events


class ReadBack:
    """Compares stored objects with what they should be, and marks or deletes wrong ones.

    One that is marked is refused to everybody, and taken again from whoever uploads it.

    :param store: where the objects are.
    :param blocking: hashes what is read.
    :param clock: waits before another attempt.
    :param events: where it is published which objects are marked or deleted.
    :raises ConfigError: if the store cannot be read, or can neither mark nor delete.
    """

    def __init__(
        self, store: IObjectStore, blocking: IBlocking, clock: IReactorTime, events: Events
    ) -> None:
        if not IReadableStore.providedBy(store):
            raise _unfit("lets the daemon read no objects")
        self._readable = without_copies(store)
        self._marking: IMarking | None = store if IMarking.providedBy(store) else None
        self._deleting: IDeleting | None = store if IDeleting.providedBy(store) else None
        if self._marking is None and self._deleting is None:
            raise _unfit("can neither mark nor delete objects")
        self._blocking = blocking
        self._clock = clock
        self._events = events

    async def verify(self, key: ObjectKey, payload: Payload, who: Identity) -> None:
        """Read an object, and reject it if it is not what was to be stored.

        :param payload: what is known of the object's bytes.
        :param who: has committed it.
        :raises Conflict: if it is another one, or gone.
        :raises ServiceUnavailable: if it cannot be read, marked or deleted now.
        """
        whole = WholeObject(self._readable, key, self._clock)
        body = VerifiedBody(whole, payload.sha256, payload.length, MAX_SIZE, self._blocking)
        try:
            while await body.read():
                pass
        except BadRequest as error:
            problem = f"the parts are not the object: {error.message}"
            await self._reject(key, problem, who)
            raise Conflict(f"{problem}; send all again") from None
        finally:
            whole.close()

    async def _reject(self, key: ObjectKey, problem: str, who: Identity) -> None:
        if self._marking is not None:
            try:
                await self._marking.mark(key, problem)
            except PayloadTooLarge:
                if self._deleting is None:
                    raise
            else:
                self._events.publish(ObjectMarked(key, who.name, problem, who.principal))
                return
        assert self._deleting is not None, "it can mark or delete"
        await self._deleting.delete(key)
        self._events.publish(ObjectDeleted(key, who.name, problem, who.principal))


def _unfit(lack: str) -> ConfigError:
    return ConfigError(
        "storage",
        "objects that are uploaded in parts must be read back, and rejected if they are wrong,"
        f" but this storage {lack}; switch reading back off, or use another storage",
    )
