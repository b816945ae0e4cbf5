"""Refuse what is no request: nothing is known of it that a handler could use."""

from __future__ import annotations

from typing import Any

from giftless.base import access_log
from giftless.base.uncaught import new_request_id
from giftless.errors import LFSError
from giftless.web.context import Context
from giftless.web.errors import error_response
from giftless.web.headers import Headers
from giftless.web.proxies import host_of


def refuse(transport: Any, context: Context, error: LFSError, known: Headers) -> None:
    """Write an error as a whole response, a line of the access log, and an event.

    :param transport: the connection, whose end is left to the caller.
    :param context: what the site's connections share.
    :param known: what has come of the request's headers: they may say which page sent it.
    """
    request_id, address = new_request_id(), host_of(transport.getPeer())
    # Whoever has the response finds it counted.
    context.count(error.code)
    context.events.publish_refusal(error, address=address, request_id=request_id)
    transport.write(error_response(error, request_id, context.cors.headers(known)))
    access_log.write_refusal(error.code, request_id, address)
