"""Who may do what: decided here and nowhere else."""

from __future__ import annotations

from giftless.errors import BadAction, CredentialNeeded, Forbidden, LFSError, NotFound
from giftless.interfaces import Identity
from giftless.lfs.objects import Oid, Permission, Repo


class Gate:
    """Lets in those who may, and tells the others why not.

    :param hide_private: whether what an identity may not even read looks as
        if it did not exist.
    """

    def __init__(self, hide_private: bool = False) -> None:
        self._hide_private = hide_private

    def require(
        self,
        identity: Identity,
        permission: Permission,
        repo: Repo,
        oid: Oid | None = None,
        operation: str = "",
    ) -> None:
        """Do nothing for those who may.

        :param oid: the object concerned; ``None`` for the whole repository.
        :param operation: what an action's token must be for, if it is such a
            token that somebody comes with.
        :raises LFSError: see :meth:`denied`.
        """
        if not identity.grants.allows(permission, oid):
            raise self.denied(identity, permission, repo)
        if identity.ticket is not None and identity.ticket.operation != operation:
            raise BadAction("this action's token is for another operation; ask for a new batch")

    def denied(self, identity: Identity, permission: Permission, repo: Repo) -> LFSError:
        """Return what somebody without ``permission`` is told.

        :returns: ``CredentialNeeded`` for nobody in particular, else ``Forbidden``,
            or ``NotFound`` to hide the repository.
        """
        if identity.anonymous:
            return CredentialNeeded(
                f"a credential with {permission.value} access to {repo} is needed"
            )
        # Who comes with an action's token has learnt from a batch what is here.
        hidden = self._hide_private and identity.ticket is None
        if hidden and not identity.grants.allows(Permission.READ, None):
            return NotFound(f"there is no repository {repo}, or you may not read it")
        return Forbidden(f"{identity.name} does not have {permission.value} access to {repo}")
