"""What every store over a container can do, whichever way bytes go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from giftless.base.concurrency import settle
from giftless.errors import ConfigError, LFSError, StorageUnavailable
from giftless.interfaces import ICheckable, IInspector, ObjectFacts
from giftless.lfs.objects import ObjectKey
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.container import Container

#: What clients are told to wait while the store does not answer, in seconds.
RETRY_AFTER: Final = 30

_log = Logger(namespace="giftless.storage")


def unavailable(error: StoreError, doing: str) -> StorageUnavailable:
    """Log what happened, and make what the client is told."""
    _log.error("{doing}: {problem}", doing=doing, problem=error.problem)
    return StorageUnavailable(
        "the server's storage does not answer as it should; try again later", RETRY_AFTER
    )


@implementer(ICheckable, IInspector)
class RemoteStore:
    """What both kinds can do.

    :param container: where the objects are.
    """

    def __init__(self, container: Container) -> None:
        self.container = container

    async def sizes(self, keys: Sequence[ObjectKey]) -> Sequence[int | LFSError | None]:
        """See :meth:`giftless.interfaces.IObjectStore.sizes`: all at once."""
        found = await settle(self._size(key) for key in keys)
        problems = [entry for entry in found if isinstance(entry, StoreError)]
        if not problems:
            return [entry for entry in found if not isinstance(entry, StoreError)]
        doing = f"{len(problems)} of {len(keys)} objects could not be looked up"
        error = unavailable(problems[0], doing)
        if len(problems) == len(keys):
            raise error
        return [error if isinstance(entry, StoreError) else entry for entry in found]

    async def _size(self, key: ObjectKey) -> int | StoreError | None:
        try:
            facts = await self.container.facts(key, False)
        except StoreError as error:
            return error
        return None if facts is None else facts.size

    async def inspect(self, key: ObjectKey) -> ObjectFacts | None:
        """See :meth:`giftless.interfaces.IInspector.inspect`."""
        try:
            return await self.container.facts(key, True)
        except StoreError as error:
            raise unavailable(error, f"{key.oid} could not be looked up") from error

    async def check(self) -> None:
        """See :meth:`giftless.interfaces.ICheckable.check`."""
        try:
            await self.container.check()
        except StoreError as error:
            raise ConfigError("", error.problem) from error
