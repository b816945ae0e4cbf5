"""Make the client for requests to other servers when a part asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treq.client import HTTPClient


def late_client(reactor: Any) -> Callable[[], HTTPClient]:
    """Return what makes a client at the first call, and returns the same one from then on.

    :param reactor: the reactor that the client connects with.
    """

    @cache
    def client() -> HTTPClient:
        # Not before: it takes 9 MB, most of them for TLS, and a local store needs none.
        from giftless.base.http_client import http_client

        return http_client(reactor)

    return client
