"""Grants that the authenticators share."""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from giftless.interfaces import IGrants
from giftless.lfs.objects import Oid, Permission

#: What somebody who may read a repository may do with each of its objects.
READ: Final = frozenset({Permission.READ, Permission.READ_META})

#: What somebody who may also write may do.
READ_WRITE: Final = READ | {Permission.WRITE}

#: What somebody may do who also decides about what others have locked.
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
