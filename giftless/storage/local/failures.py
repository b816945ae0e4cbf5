"""Turn failures of the disk into what clients are told."""

from __future__ import annotations

import errno
from typing import Final

from twisted.logger import Logger

from giftless.base.files import FULL
from giftless.errors import (
    InsufficientStorage,
    LFSError,
    ObjectUnreadable,
    StorageUnavailable,
)
from giftless.storage.local.root import NotTheStore

#: The errno values that concern one file: its mode, its sectors, or its checksums.
_UNREADABLE: Final = {
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENODATA,
    errno.EILSEQ,
    errno.EUCLEAN,
    errno.EBADMSG,
}

#: What clients are told to wait while the disk fails, in seconds.
RETRY_AFTER: Final = 30

_log = Logger(namespace="giftless.storage")


def failed(error: OSError, doing: str) -> LFSError:
    """Log what happened, in one line, and make what the client is told.

    :param doing: what could not be done.
    """
    if error.errno in FULL:
        return InsufficientStorage("the server's storage is full; nothing was stored")
    _log.error("{doing}: {error}", doing=doing, error=str(error))
    if isinstance(error, NotTheStore):
        return StorageUnavailable("the server's storage is not there; try again later", RETRY_AFTER)
    return StorageUnavailable("the server's storage fails; try again later", RETRY_AFTER)


def unreadable(error: OSError, doing: str) -> LFSError:
    """Do the same for an object that is there and was to be opened or read."""
    made = failed(error, doing)
    if error.errno not in _UNREADABLE:
        return made
    return ObjectUnreadable(f"the server cannot read this object ({error.strerror})", RETRY_AFTER)
