"""Grants that the authenticators share."""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from giftless.interfaces import IGrants
from giftless.lfs.objects import Oid, Permission

#: The permissions of who may read a repository, on each of its objects.
READ: Final = frozenset({Permission.READ, Permission.READ_META})

#: The permissions of who may also write.
READ_WRITE: Final = READ | {Permission.WRITE}

#: The permissions of who may also remove other people's locks.
ADMIN: Final = READ_WRITE | {Permission.ADMIN}


@implementer(IGrants)
class RepoGrants:
    """The same permissions on everything in a repository.

    :param permissions: what is allowed.
    """

    def __init__(self, permissions: frozenset[Permission]) -> None:
        self._permissions = permissions

    def allows(self, permission: Permission, oid: Oid | None) -> bool:
        """See :meth:`giftless.interfaces.IGrants.allows`."""
        return permission in self._permissions
