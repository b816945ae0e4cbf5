"""The use cases of file locking, the same for every front.

Locks advise: clients ask for them and mind them, and an upload is not held up by
one, since a batch says nothing of paths.  Specification: ``docs/api/locking.md``.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.errors import CredentialNeeded, Forbidden, NotFound
from giftless.interfaces import Identity, ILockStore
from giftless.lfs.locks import MAX_LIMIT, Lock, LockPage, LockQuery, Paging
from giftless.lfs.objects import Permission, Repo
from giftless.usecases.authorization import Gate

#: How many random bytes an id has.
_ID_BYTES: Final = 8


class LockPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ``locks`` section has beside its plugin's options.

    :ivar anonymous: whether nobody in particular may hold locks too, all of
        which belong to everybody who is nobody in particular.
    :ivar force: what it takes, beside ``write``, to remove somebody else's lock.
    :ivar page_size: how many locks a client gets at once if it does not say.
    """

    anonymous: bool = False
    force: Literal["write", "admin"] = "write"
    page_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 100


@dataclass(frozen=True, slots=True)
class Verification:
    """A page of all locks of a repository, divided for who is about to push.

    :ivar ours: those that the identity holds.
    :ivar theirs: those that others hold.
    """

    ours: Sequence[Lock]
    theirs: Sequence[Lock]
    next_cursor: str | None


class LockService:
    """What the server does about locks for an identity that has been established.

    :param store: where locks are.
    :param gate: decides who may do what.
    :param policy: what the operator has decided.
    :param names_people: whether there is any credential by which the server
        would know somebody.
    :param clock: tells the time.
    """

    log = Logger()

    def __init__(
        self,
        store: ILockStore,
        gate: Gate,
        policy: LockPolicy,
        names_people: bool,
        clock: IReactorTime,
    ) -> None:
        self._store = store
        self._gate = gate
        self._policy = policy
        self._names_people = names_people
        self._clock = clock

    async def create(self, identity: Identity, repo: Repo, path: str) -> Lock:
        """Lock a path.

        :param path: one that can be locked (:func:`giftless.lfs.locks.path_problem`).
        :raises PathLocked: with the lock that there is, whoever holds it.  Who
            has lost the answer to an earlier request learns so that the lock is
            theirs.
        """
        self._require_owner(identity, repo)
        now = int(self._clock.seconds())
        lock = Lock(secrets.token_hex(_ID_BYTES), repo, path, identity.name, now)
        await self._store.create(lock)
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

        :param path: only the lock on exactly this path, whatever it is.
        :param lock_id: only the lock of this id, whatever it is.
        """
        self._gate.require(identity, Permission.READ, repo)
        query = replace(self._query(repo, paging), path=path, id=lock_id)
        return await self._store.page(query) if query.satisfiable else LockPage()

    async def verify(self, identity: Identity, repo: Repo, paging: Paging) -> Verification:
        """List a repository's locks for who is about to push.

        Nobody in particular may ask as well, if they may push; the client asks
        at each push.
        """
        self._gate.require(identity, Permission.WRITE, repo)
        page = await self._store.page(self._query(repo, paging))
        ours = [lock for lock in page.locks if self._owns(identity, lock)]
        theirs = [lock for lock in page.locks if not self._owns(identity, lock)]
        return Verification(ours, theirs, page.next_cursor)

    async def unlock(self, identity: Identity, repo: Repo, lock_id: str, force: bool) -> Lock:
        """Remove a lock.

        :param force: whether it may be somebody else's.
        :returns: the lock that was removed.
        :raises NotFound: if there is no such lock.
        :raises Forbidden: if it is somebody else's, and that is not allowed.
        """
        self._require_owner(identity, repo)
        query = LockQuery(1, repo, id=lock_id)
        page = await self._store.page(query) if query.satisfiable else LockPage()
        for lock in page.locks:
            others = not self._owns(identity, lock)
            if others:
                self._require_force(identity, lock, force)
            if await self._store.remove(lock):
                if others:
                    self.log.info(
                        "{name} has removed {lock} in {repo}",
                        name=identity.name,
                        lock=lock,
                        repo=repo,
                    )
                return lock
        raise NotFound(f"there is no lock {lock_id} in {repo}, or not any more")

    def _query(self, repo: Repo, paging: Paging) -> LockQuery:
        return LockQuery(paging.limit or self._policy.page_size, repo, paging.cursor)

    def _owns(self, identity: Identity, lock: Lock) -> bool:
        return identity.name == lock.owner and (self._policy.anonymous or not identity.anonymous)

    def _require_owner(self, identity: Identity, repo: Repo) -> None:
        """Let in who may write, and be the owner of a lock."""
        self._gate.require(identity, Permission.WRITE, repo)
        if not identity.anonymous or self._policy.anonymous:
            return
        if self._names_people:
            raise CredentialNeeded(
                "a credential is needed to lock files, so that the lock has an owner"
            )
        # To ask for a credential would not help: none is known here.
        raise Forbidden(
            "this server does not know who you are, and lets only people it knows lock files;"
            " its administrator can change that (auth, or locks.anonymous)"
        )

    def _require_force(self, identity: Identity, lock: Lock, force: bool) -> None:
        """Let in who may remove somebody else's lock."""
        if not force:
            raise Forbidden(f"you do not hold {lock}; if you have to, unlock it by force")
        if self._policy.force == "admin" and not identity.grants.allows(Permission.ADMIN, None):
            raise Forbidden(f"it takes admin access to {lock.repo} to remove {lock}")
