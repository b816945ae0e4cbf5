"""Turn failures of a store behind HTTP into what clients are told."""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from giftless.errors import StorageUnavailable
from giftless.storage.remote.client import StoreError

#: What clients are told to wait while the store does not answer, in seconds.
RETRY_AFTER: Final = 30

_log = Logger(namespace="giftless.storage")


def unavailable(error: StoreError, doing: str) -> StorageUnavailable:
    """Log what happened, and make what the client is told."""
    _log.error("{doing}: {problem}", doing=doing, problem=error.problem)
    return StorageUnavailable(
        "the server's storage does not answer as it should; try again later", RETRY_AFTER
    )
