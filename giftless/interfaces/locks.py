"""The interface of stores of file locks."""

from __future__ import annotations

from collections.abc import Awaitable

from zope.interface import Interface

from giftless.lfs.locks import Lock, LockPage, LockQuery
from giftless.lfs.objects import Repo


class ILockStore(Interface):
    """Where locks are kept: at most one for each path of a repository."""

    def create(lock: Lock) -> Awaitable[None]:
        """Keep a lock, durably, unless its path has one already.

        However many ask for one path at once, here or in other processes, one
        succeeds.  That takes a constraint of the store; whoever looks first and
        writes then comes too late.

        :param lock: what to keep.  Its id is new; the lock of that id, if it is
            there, is this one, and was kept by an attempt that seemed to fail.
        :raises giftless.lfs.locks.PathLocked: with the lock that the path has.
        :raises giftless.errors.ServiceUnavailable: if it cannot be kept now.
        """

    def page(query: LockQuery) -> Awaitable[LockPage]:
        """List locks, newest first, page by page.

        A lock that is there all the while is on exactly one page, whatever is
        created and removed meanwhile.

        :param query: its path, id and text, if it has them, could be those of a lock.
        :raises giftless.errors.BadRequest: if the cursor is none of this store's.
        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """

    def count() -> Awaitable[int]:
        """Count the locks of all repositories.

        :raises giftless.errors.ServiceUnavailable: if nothing can be told now.
        """

    def rename(source: Repo, target: Repo) -> Awaitable[int]:
        """Give all locks of a repository to another one, durably.

        A lock stays whose path is locked in the other one already.

        :returns: an awaitable of how many have moved.
        :raises giftless.errors.ServiceUnavailable: if that cannot be done now.
        """

    def remove(lock: Lock) -> Awaitable[bool]:
        """Remove a lock, durably.

        :param lock: one that :meth:`page` has told of.
        :returns: an awaitable of whether it was there; of several that remove
            it at once, one is told so.
        :raises giftless.errors.ServiceUnavailable: if it cannot be removed now.
        """
