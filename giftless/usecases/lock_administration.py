"""What an operator does with the locks of all repositories: search, and remove by force.

Whoever calls has made sure that it is an operator: no repository's permissions are asked.
"""

from __future__ import annotations

from giftless.errors import BadRequest, NotFound
from giftless.interfaces import ILockStore
from giftless.lfs.locks import Lock, LockPage, LockQuery
from giftless.usecases.events import Events
from giftless.usecases.locks import By, remove_by_force

#: How long a text may be that is searched for, in characters.
MAX_TEXT = 200


class LockAdministration:
    """Finds and removes locks, whoever holds them.

    :param store: keeps the locks.
    :param events: where it is published what has been removed.
    """

    def __init__(self, store: ILockStore, events: Events) -> None:
        self._store = store
        self._events = events

    async def page(self, query: LockQuery) -> LockPage:
        """List locks, newest first.

        :param query: its path, id and text may be any texts.
        :raises BadRequest: if the text is longer than :data:`MAX_TEXT`, or the cursor is
            none of the store's.
        """
        if query.text is not None and len(query.text) > MAX_TEXT:
            raise BadRequest(f"the text to search for may have at most {MAX_TEXT} characters")
        return await self._store.page(query) if query.satisfiable else LockPage()

    async def release(self, lock_id: str, by: By) -> Lock:
        """Remove a lock by force.

        :returns: the lock that was removed.
        :raises NotFound: if there is no such lock, or not any more.
        """
        for lock in (await self.page(LockQuery(1, id=lock_id))).locks:
            if await remove_by_force(self._store, lock, by, self._events):
                return lock
        raise NotFound("there is no such lock, or not any more")
