"""Answer the parent's questions about locks, in a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from giftless.errors import LFSError, NotFound
from giftless.lfs.locks import Lock, LockQuery
from giftless.runtime.lock_questions import Answer, LockFacts, Release, Search
from giftless.usecases.lock_administration import LockAdministration
from giftless.usecases.locks import By


class LockAnswers:
    """Answers questions about locks.

    :param administration: finds and removes them; ``None`` if there are no locks.
    """

    def __init__(self, administration: LockAdministration | None) -> None:
        self._administration = administration

    async def search(self, question: bytes) -> bytes:
        """Answer which locks there are; see :class:`Search`."""
        asked = msgspec.json.decode(question, type=Search)
        query = LockQuery(
            asked.limit, None, asked.cursor or None, None, asked.id or None, asked.text or None
        )

        async def find(locks: LockAdministration) -> Answer:
            page = await locks.page(query)
            return Answer([_facts(lock) for lock in page.locks], page.next_cursor or "")

        return await self._answer(find)

    async def release(self, question: bytes) -> bytes:
        """Remove a lock by force; see :class:`Release`."""
        asked = msgspec.json.decode(question, type=Release)
        by = By(asked.name, asked.principal, asked.address, asked.request_id)

        async def remove(locks: LockAdministration) -> Answer:
            return Answer([_facts(await locks.release(asked.id, by))])

        return await self._answer(remove)

    async def _answer(self, do: Callable[[LockAdministration], Awaitable[Answer]]) -> bytes:
        try:
            if self._administration is None:
                raise NotFound("this server has no file locks (locks.type)")
            answer = await do(self._administration)
        except LFSError as error:
            answer = Answer(status=error.code, problem=error.message)
        return msgspec.json.encode(answer)


def _facts(lock: Lock) -> LockFacts:
    return LockFacts(lock.id, lock.repo.path, lock.path, lock.owner, lock.principal, lock.locked_at)
