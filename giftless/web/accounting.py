"""Count each request, and write its line of the access log, once.

Both take a :class:`~giftless.web.request.LFSRequest`.
"""

from __future__ import annotations

from typing import Any

from giftless.base import access_log


def nothing() -> None:
    """Do nothing when a response is complete."""


def complete(request: Any) -> None:
    """Count a request, because what is sent next is the end of its response.

    Before that is sent: whoever has the whole response finds it counted, even if this
    process is killed then.  Harmless when repeated.
    """
    if not request.completed:
        request.completed = True
        request.on_complete()
        _count(request, request.response.code)


def end(request: Any, disconnected: bool) -> None:
    """Write the line of a request that is over, and count it unless that is done.

    :param disconnected: the client left before the response was complete.
    """
    status = access_log.CLIENT_CLOSED if disconnected else request.response.code
    if not request.completed:
        _count(request, status)
    access_log.write(
        request.method.decode("ascii", "replace"),
        request.path.decode("ascii", "backslashreplace"),
        status,
        request.response.sent,
        _seconds(request),
        request.request_id,
        request.identity,
        request.address,
    )


def _count(request: Any, status: int) -> None:
    request.context.count(status, request.route, request.method, _seconds(request))


def _seconds(request: Any) -> float:
    seconds: float = request.context.clock.seconds() - request.started
    return seconds
