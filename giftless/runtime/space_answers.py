"""Answer the parent's questions about what is stored and in the trash, in a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from giftless.errors import BadRequest, LFSError, NotFound
from giftless.interfaces import Entry, EntryQuery, ICatalogue, State
from giftless.lfs.objects import ObjectKey, Repo
from giftless.runtime.space_questions import (
    ObjectFacts,
    ObjectsFacts,
    ObjectsOf,
    QuotasFacts,
    QuotasOf,
    TrashFacts,
    UsageFacts,
    UsageOf,
)
from giftless.usecases.quotas.levels import QuotaLevels

#: Which objects of the catalogue are meant.
_STORED: Final = frozenset({State.STORED, State.LEAVING})
_TRASHED: Final = frozenset({State.TRASHED})

T = TypeVar("T", UsageFacts, ObjectsFacts, QuotasFacts, TrashFacts)


class SpaceAnswers:
    """Answers questions about objects.

    :param catalogue: knows them; ``None`` if there is none.
    :param shares: whether the store keeps equal objects once.
    :param keep: for how many seconds objects stay in the trash; ``None`` if there is none.
    :param quotas: knows how much of quotas is taken; ``None`` if there are none.
    """

    def __init__(
        self,
        catalogue: ICatalogue | None,
        shares: bool,
        keep: float | None = None,
        quotas: QuotaLevels | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._shares = shares
        self._keep = keep
        self._quotas = quotas

    async def usage(self, question: bytes) -> bytes:
        """Answer how much is stored; see :class:`UsageOf`."""
        asked = msgspec.json.decode(question, type=UsageOf)

        async def find() -> UsageFacts:
            usage = await self._known.usage(
                asked.by, asked.repo, asked.limit, asked.trashed, asked.below
            )
            return UsageFacts(list(usage.rows), usage.total, usage.distinct_size, self._shares)

        return await answer_of(find, UsageFacts)

    async def objects(self, question: bytes) -> bytes:
        """Answer which objects there are; see :class:`ObjectsOf`."""
        asked = msgspec.json.decode(question, type=ObjectsOf)

        async def find() -> ObjectsFacts:
            states = _TRASHED if asked.trashed else _STORED
            if asked.oid:
                (entry,) = await self._known.look([key_at(asked.repo, asked.oid)])
                found = [entry] if entry is not None and entry.state in states else []
                return ObjectsFacts(list(map(self._facts, found)))
            repo = repo_at(asked.repo) if asked.repo else None
            page = await self._known.page(
                EntryQuery(
                    repo=repo,
                    states=states,
                    order=asked.order,
                    cursor=asked.cursor or None,
                    limit=asked.limit,
                )
            )
            return ObjectsFacts(list(map(self._facts, page.entries)), page.next_cursor or "")

        return await answer_of(find, ObjectsFacts)

    async def quotas(self, question: bytes) -> bytes:
        """Answer how much of quotas is taken; see :class:`QuotasOf`."""
        asked = msgspec.json.decode(question, type=QuotasOf)

        async def find() -> QuotasFacts:
            if self._quotas is None:
                return QuotasFacts()
            return QuotasFacts(list(await self._quotas.fullest(asked.limit, asked.repo)))

        return await answer_of(find, QuotasFacts)

    @property
    def _known(self) -> ICatalogue:
        if self._catalogue is None:
            raise NotFound("this server has no catalogue of its objects (catalogue.type)")
        return self._catalogue

    def _facts(self, entry: Entry) -> ObjectFacts:
        until = 0.0
        if entry.state is State.TRASHED and self._keep is not None:
            until = entry.moved_at + self._keep
        return ObjectFacts(
            entry.key.repo.path,
            str(entry.key.oid),
            entry.size,
            entry.stored_at,
            entry.offered_at,
            entry.who,
            entry.principal,
            entry.filename,
            entry.moved_at,
            entry.reason,
            entry.moved_by,
            until,
        )


async def answer_of(find: Callable[[], Awaitable[T]], kind: type[T]) -> bytes:
    """Return an answer, or one of its kind that says why there is none."""
    try:
        answer = await find()
    except LFSError as error:
        answer = kind(status=error.code, problem=error.message)
    return msgspec.json.encode(answer)


def repo_at(path: str) -> Repo:
    """Return the repository at a path.

    :raises BadRequest: if no repository is called so.
    """
    # Parsing drops one ".git", and a repository's name may end like that too.
    return Repo.parse(f"{path}.git".split("/"))


def key_at(repo: str, oid: str) -> ObjectKey:
    """Return the key of an object.

    :raises BadRequest: if no object has such a key.
    """
    key = ObjectKey.of_path(f"{repo}/{oid}")
    if key is None:
        raise BadRequest("there is no such repository or object")
    return key
