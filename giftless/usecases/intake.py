"""Take objects into the store that no client uploads: from another server, or another store.

Whoever takes them in is an operator's command, so quotas do not bind it.  What is there
already is treated as for a client that pushes (:mod:`giftless.usecases.presence`): nobody
who collects garbage takes it away for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from giftless.auth.grants import READ_WRITE, RepoGrants
from giftless.base.bodies import VerifiedBody
from giftless.errors import ConfigError, LFSError, ObjectDamaged
from giftless.interfaces import (
    Arrival,
    IBlocking,
    IBody,
    Identity,
    IWritableStore,
    ObjectStored,
    Payload,
)
from giftless.lfs.objects import EMPTY_OID, MAX_SIZE, Extras, ObjectKey, Repo
from giftless.usecases.locks import By
from giftless.usecases.space import Space


class Taken(Enum):
    """What has become of an object that was to be taken in.

    :cvar STORED: it was written, and verified on the way.
    :cvar PRESENT: it was there already.
    """

    STORED = "stored"
    PRESENT = "present"


class Intake:
    """Writes objects into the store, and verifies each while it is written.

    :param space: what is stored; its events tell the catalogue what has arrived.
    :param blocking: hashes the bytes.
    :param by: who takes them in.
    :raises ConfigError: if the store cannot be written from here.
    """

    def __init__(self, space: Space, blocking: IBlocking, by: By) -> None:
        if not IWritableStore.providedBy(space.store):
            raise ConfigError("storage", "nothing can be written to it by a command")
        self._store: IWritableStore = space.store
        self._space = space
        self._blocking = blocking
        self._by = by
        self._identity = Identity(by.name, RepoGrants(READ_WRITE), by.principal)

    async def kept(self, repo: Repo) -> Repo:
        """Tell under what name a repository is kept: it may have been renamed.

        Asks the catalogue; :meth:`take` goes by what it has told last.

        :raises ServiceUnavailable: if the catalogue fails.
        """
        if self._space.trash is not None:
            self._space.moved.update(await self._space.trash.catalogue.aliases())
        return self._space.moved.kept(repo) or repo

    async def missing(
        self, keys: Sequence[ObjectKey], sizes: Sequence[int | None] | None = None
    ) -> Sequence[ObjectKey]:
        """Tell which objects are to be taken in: they are not there, or are damaged.

        :param keys: up to 1000, all of one repository.
        :param sizes: how many bytes each must have, in their order; ``None`` where that is
            not known.
        :raises ServiceUnavailable: if that cannot be told of one of them.
        """
        if not keys:
            return ()
        found = await self._store.sizes(keys)
        if self._space.presence is not None:
            found = await self._space.presence.offer(self._identity, keys, found)
        return [
            key
            for key, size, wanted in zip(keys, found, sizes or [None] * len(keys), strict=True)
            if not _is_good(key, size, wanted)
        ]

    async def take(
        self,
        key: ObjectKey,
        size: int | None,
        body: IBody,
        filename: str | None = None,
        replace: bool = False,
    ) -> Taken:
        """Write an object, unless it is there.

        :param size: how many bytes it must have; ``None`` if that is not known.
        :param body: its bytes; nothing of them is read if the object is there.
        :param filename: a name that it has in a working tree, if one is known.
        :param replace: whether to write without a look at what is there.
        :raises WrongBody: if the bytes are not those that the oid names.  Nothing is
            stored then; the message names both digests.
        :raises LFSError: if the store fails.
        """
        if not replace and not await self.missing([key], [size]):
            return Taken.PRESENT
        checked = VerifiedBody(body, key.oid, size, MAX_SIZE, self._blocking)
        extras: Extras = {"filename": filename} if filename else {}
        await self._store.put(key, Payload(size, key.oid), checked, extras)
        if self._space.presence is not None:
            key = await self._space.presence.follow(key)
        self._space.events.publish(
            ObjectStored(
                key,
                checked.received,
                self._by.name,
                Arrival.IMPORTED,
                self._by.principal,
                filename or "",
            )
        )
        return Taken.STORED


def _is_good(key: ObjectKey, size: int | LFSError | None, wanted: int | None) -> bool:
    """Whether what a store says of an object needs no repair.

    :raises LFSError: if the store cannot tell.
    """
    if isinstance(size, LFSError) and not isinstance(size, ObjectDamaged):
        raise size
    if not isinstance(size, int):
        return False
    return size == wanted if wanted is not None else bool(size) or key.oid == EMPTY_OID
