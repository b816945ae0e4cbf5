"""The use cases of file locking, the same for every front.

Locks advise.  Clients ask for them and respect them; the server refuses no upload
because of a lock, since a batch names no paths.  Specification:
``docs/api/locking.md``.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

import msgspec
from twisted.logger import Logger

from giftless.errors import NotFound
from giftless.interfaces import (
    Identity,
    ILockStore,
    LockCreated,
    LockForced,
    LockReleased,
    WallClock,
)
from giftless.lfs.locks import MAX_LIMIT, Lock, LockPage, LockQuery, Paging
from giftless.lfs.objects import Permission, Repo
from giftless.usecases.authorization import Gate, LockGate
from giftless.usecases.events import NO_EVENTS, Events

_log = Logger()

#: How many random bytes an id has.
_ID_BYTES: Final = 8


class LockPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the ``locks`` section that every type of lock store has.

    :ivar anonymous: whether anonymous clients may hold locks.  All anonymous
        clients are one owner then.
    :ivar force: the permission that removing somebody else's lock requires;
        ``admin`` in addition to ``write``.
    :ivar page_size: how many locks one page of a list has if the client sets no
        limit.
    """

    anonymous: bool = False
    force: Literal["write", "admin"] = "write"
    page_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 100


@dataclass(frozen=True, slots=True)
class Verification:
    """A page of a repository's locks, for a client that is about to push.

    :ivar ours: the locks that the identity holds.
    :ivar theirs: the locks that others hold.
    :ivar next_cursor: where the next page begins; ``None`` if this is the last.
    """

    ours: Sequence[Lock]
    theirs: Sequence[Lock]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class By:
    """Who removes a lock by force.

    :ivar name: for people to read.
    :ivar principal: who that is; empty if nobody was identified.
    :ivar address: the IP address that the request comes from; empty if unknown.
    :ivar request_id: names the request in the log; empty if there is none.
    """

    name: str
    principal: str = ""
    address: str = ""
    request_id: str = ""

    def __str__(self) -> str:
        whose = f" ({self.principal})" if self.principal else ""
        place = f" at {self.address}" if self.address else ""
        return f"{self.name}{whose}{place}"


async def remove_by_force(store: ILockStore, lock: Lock, by: By, events: Events) -> bool:
    """Remove somebody else's lock, log that and publish it.

    :returns: whether it was still there.
    """
    if not await store.remove(lock):
        return False
    _log.info(
        "{by} has removed {lock} in {repo}",
        by=by,
        name=by.name,
        principal=by.principal,
        lock=lock,
        repo=lock.repo,
        request_id=by.request_id,
    )
    events.publish(LockForced(lock, by.name, by.principal, by.address, by.request_id))
    return True


class LockService:
    """Creates, lists and removes locks for an identity.

    :param store: keeps the locks.
    :param gate: decides who may do what.
    :param policy: the operator's options.
    :param wall_clock: tells when a lock is made.
    :param events: where it is published what has happened.
    """

    def __init__(
        self,
        store: ILockStore,
        gate: Gate,
        policy: LockPolicy,
        wall_clock: WallClock,
        events: Events = NO_EVENTS,
    ) -> None:
        self._store = store
        self._gate = gate
        self._owners = LockGate(gate, policy.anonymous, policy.force)
        self._page_size = policy.page_size
        self._wall_clock = wall_clock
        self._events = events

    async def create(self, identity: Identity, repo: Repo, path: str) -> Lock:
        """Lock a path.

        :param path: one that can be locked (:func:`giftless.lfs.locks.path_problem`).
        :raises PathLocked: if the path is locked; with that lock, whoever holds
            it.  A client that has lost the answer to an earlier request learns
            so that it holds the lock.
        """
        self._owners.require_owner(identity, repo)
        now = int(self._wall_clock())
        lock = Lock(
            secrets.token_hex(_ID_BYTES), repo, path, identity.name, now, identity.principal
        )
        await self._store.create(lock)
        self._events.publish(LockCreated(lock))
        return lock

    async def page(
        self,
        identity: Identity,
        repo: Repo,
        paging: Paging,
        path: str | None = None,
        lock_id: str | None = None,
    ) -> LockPage:
        """List a repository's locks.

        :param path: list only the lock on exactly this path, which may be any text.
        :param lock_id: list only the lock with this id, which may be any text.
        """
        self._gate.require(identity, Permission.READ, repo)
        query = replace(self._query(repo, paging), path=path, id=lock_id)
        return await self._store.page(query) if query.satisfiable else LockPage()

    def owns(self, identity: Identity, lock: Lock) -> bool:
        """Whether a lock belongs to an identity."""
        return self._owners.owns(identity, lock)

    async def verify(self, identity: Identity, repo: Repo, paging: Paging) -> Verification:
        """List a repository's locks for a client that is about to push.

        The client asks at each push, so an anonymous client that may push may ask
        as well.
        """
        self._gate.require(identity, Permission.WRITE, repo)
        page = await self._store.page(self._query(repo, paging))
        ours = [lock for lock in page.locks if self._owners.owns(identity, lock)]
        theirs = [lock for lock in page.locks if not self._owners.owns(identity, lock)]
        return Verification(ours, theirs, page.next_cursor)

    async def unlock(
        self,
        identity: Identity,
        repo: Repo,
        lock_id: str,
        force: bool,
        address: str = "",
        request_id: str = "",
    ) -> Lock:
        """Remove a lock.

        :param force: whether it may be somebody else's.
        :param address: where the request comes from, for observers.
        :param request_id: names the request in the log, for observers.
        :returns: the lock that was removed.
        :raises NotFound: if there is no such lock.
        :raises Forbidden: if it is somebody else's, and that is not allowed.
        """
        self._owners.require_owner(identity, repo)
        query = LockQuery(1, repo, id=lock_id)
        page = await self._store.page(query) if query.satisfiable else LockPage()
        for lock in page.locks:
            others = not self._owners.owns(identity, lock)
            if others:
                self._owners.require_force(identity, lock, force)
            by = By(identity.name, identity.principal, address, request_id)
            if others and await remove_by_force(self._store, lock, by, self._events):
                return lock
            if not others and await self._store.remove(lock):
                self._events.publish(LockReleased(lock))
                return lock
        raise NotFound(f"there is no lock {lock_id} in {repo}, or not any more")

    def _query(self, repo: Repo, paging: Paging) -> LockQuery:
        return LockQuery(paging.limit or self._page_size, repo, paging.cursor)
