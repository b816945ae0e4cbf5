"""Requests that fail for a reason that nobody has foreseen: what the log has, and the client."""

from __future__ import annotations

import random
from typing import Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from giftless.errors import LFSError, ServiceUnavailable

#: Bound to no class: an event would have the request itself, and its URL may
#: hold a credential.
_log: Final = Logger(namespace="giftless.requests")

#: What clients are told to wait when the machine fails, in seconds.
RETRY_AFTER: Final = 30


def new_request_id() -> str:
    """Return what names a request in the log and in error bodies: 16 hexadecimal digits."""
    return f"{random.getrandbits(64):016x}"  # a name, no secret


def uncaught(failure: Failure, request_id: str) -> LFSError:
    """Log a failure that no handler has caught, and make what the client is told.

    What the kernel refuses may work later (no descriptors are left, a disk is
    read-only or broken): that is 503, and one line.  Anything else is a bug.
    """
    problem = failure.value
    if isinstance(problem, OSError) and problem.errno is not None:
        _log.error("request {id} cannot be served: {reason}", id=request_id, reason=str(problem))
        return ServiceUnavailable("the server cannot do this now; try again later", RETRY_AFTER)
    _log.failure("request {id} failed", failure=failure, id=request_id)
    return LFSError("the server failed; its log has the details")
