"""Who may do what: decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from giftless.errors import BadAction, CredentialNeeded, Forbidden, LFSError, NotFound
from giftless.interfaces import ActionKind, Identity, INarrowedGrants
from giftless.lfs.batch import BatchRequest, RequestedObject
from giftless.lfs.locks import Lock
from giftless.lfs.objects import Oid, Permission, Repo


class Gate:
    """Decides whether a request is allowed, and says why it is not.

    :param hide_private: whether what an identity may not even read looks as
        if it did not exist.
    :param names_people: whether any authenticator takes credentials for a repository.  If
        none does, no anonymous client is asked for one, which cannot exist.
    """

    def __init__(
        self,
        hide_private: bool = False,
        names_people: Callable[[Repo], bool] = lambda _: True,
    ) -> None:
        self._hide_private = hide_private
        self._names_people = names_people

    def require(
        self,
        identity: Identity,
        permission: Permission,
        repo: Repo,
        oid: Oid | None = None,
        kinds: Sequence[ActionKind] = (),
    ) -> None:
        """Raise an error unless a request is allowed.

        :param oid: the object concerned; ``None`` for the whole repository.
        :param kinds: the kinds of action whose tokens will do.
        :raises CredentialNeeded: if an anonymous client asks, and a credential may help.
        :raises NotFound: to hide the repository.
        :raises Forbidden: otherwise.
        """
        if not identity.grants.allows(permission, oid):
            raise self._denied(identity, permission, repo, oid)
        self.require_kind(identity, kinds)

    def require_kind(self, identity: Identity, kinds: Sequence[ActionKind]) -> None:
        """Raise an error if a request has a token of another kind; none is fine.

        :param kinds: the kinds of action whose tokens will do.
        :raises BadAction: if the token is of another kind.
        """
        ticket = identity.ticket
        if ticket is not None and not any(kind.name == ticket.kind for kind in kinds):
            raise BadAction("this action's token is for another operation; ask for a new batch")

    def divide(
        self, identity: Identity, repo: Repo, request: BatchRequest
    ) -> tuple[list[RequestedObject], dict[str, LFSError]]:
        """Divide the objects of a batch into those that may be moved and the others.

        :returns: the former; and why each of the latter is refused, by its oid as
            the client has sent it.
        :raises LFSError: if there is none of the former, and the identity may not
            move any object of the repository; see :meth:`require`.
        """
        permission, allows = request.operation.permission, identity.grants.allows
        wanted: list[RequestedObject] = []
        refused: dict[str, LFSError] = {}
        for item in request.objects:
            if item.error is not None:
                refused[item.text] = item.error
            elif allows(permission, item.oid):
                wanted.append(item)
            else:
                refused[item.text] = Forbidden(f"you may not {request.operation.value} this object")
        if not wanted:
            self.require(identity, permission, repo)
        return wanted, refused

    def require_name(self, identity: Identity, repo: Repo, thing: str, keys: str) -> None:
        """Raise an error if a client is anonymous.

        :param repo: where it asks.
        :param thing: what a name is needed for, in words that complete "to".
        :param keys: the keys of the configuration that can change that.
        :raises CredentialNeeded: if a credential may help.
        :raises Forbidden: if no credential can.
        """
        if not identity.anonymous:
            return
        if self._names_people(repo):
            raise CredentialNeeded(f"a credential is needed to {thing}")
        raise Forbidden(
            f"a name is needed to {thing}, but no credentials are taken for"
            f" {repo}; the server's administrator can change that ({keys})"
        )

    def _denied(
        self, identity: Identity, permission: Permission, repo: Repo, oid: Oid | None
    ) -> LFSError:
        if identity.anonymous and self._names_people(repo):
            return CredentialNeeded(
                f"a credential with {permission.value} access to {repo} is needed"
            )
        # Who comes with an action's token has learnt from a batch what is here.
        hidden = self._hide_private and identity.ticket is None
        if hidden and not identity.grants.allows(Permission.READ, None):
            return NotFound(f"there is no repository {repo}, or you may not read it")
        if identity.anonymous:
            return Forbidden(
                f"this server gives nobody {permission.value} access to {repo}, and takes no"
                " credentials for it; its administrator can change that (auth)"
            )
        grants = identity.grants
        if INarrowedGrants.providedBy(grants) and (why := grants.lacking(permission, oid)):
            return Forbidden(why)
        return Forbidden(f"{identity.name} does not have {permission.value} access to {repo}")


class LockGate:
    """Decides who may hold locks, and who may remove those of others.

    :param gate: decides who may read and write.
    :param anonymous: whether anonymous clients may hold locks.  All anonymous
        clients are one owner then.
    :param force: what it takes, beside ``write``, to remove somebody else's lock.
    """

    def __init__(self, gate: Gate, anonymous: bool, force: Literal["write", "admin"]) -> None:
        self._gate = gate
        self._anonymous = anonymous
        self._force = force

    def owns(self, identity: Identity, lock: Lock) -> bool:
        """Whether a lock belongs to an identity.

        A lock without a principal was made when there were only names; it belongs
        to everybody of that name, as it did.
        """
        if identity.anonymous and not self._anonymous:
            return False
        if lock.principal:
            return lock.principal == identity.principal
        return lock.owner == identity.name

    def require_owner(self, identity: Identity, repo: Repo) -> None:
        """Raise an error unless an identity may write, and may own a lock.

        :raises LFSError: if it may not; see :meth:`Gate.require`.
        """
        self._gate.require(identity, Permission.WRITE, repo)
        if not self._anonymous:
            self._gate.require_name(
                identity,
                repo,
                "lock files, so that each lock has an owner",
                "auth, or locks.anonymous",
            )

    def require_force(self, identity: Identity, lock: Lock, force: bool) -> None:
        """Raise an error unless an identity may remove somebody else's lock.

        :param force: whether the client has asked for that.
        :raises Forbidden: if it may not.
        """
        if not force:
            namesake = f" (another {lock.owner} than you)" if lock.owner == identity.name else ""
            raise Forbidden(f"you do not hold {lock}{namesake}; if you have to, unlock it by force")
        if self._force == "admin" and not identity.grants.allows(Permission.ADMIN, None):
            raise Forbidden(f"it takes admin access to {lock.repo} to remove {lock}")
