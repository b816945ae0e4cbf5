"""Answer requests to the admin endpoints when it is known how."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.server import NOT_DONE_YET, Request

_log = Logger(namespace="giftless.admin")


def answer_later(request: Request, answer: Coroutine[Any, Any, bytes]) -> int:
    """Answer when it is known how; a client that has left is not waited for.

    :param answer: sets the status and the headers, and returns the body.
    """
    gone: list[object] = []
    request.notifyFinish().addErrback(gone.append)

    async def finish() -> None:
        body = await answer
        request.setHeader("Content-Length", str(len(body)))
        if not gone:
            request.write(b"" if request.method == b"HEAD" else body)
            request.finish()

    Deferred.fromCoroutine(finish()).addErrback(
        lambda failure: _log.failure("a request cannot be answered", failure)
    )
    return NOT_DONE_YET
