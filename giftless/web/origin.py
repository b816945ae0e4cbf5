"""Tell requests of this server's own pages from those of other sites' pages."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from giftless.errors import BadRequest
from giftless.web.call import Call
from giftless.web.proxies import ServerURL


def hosts_of(call: Call, server_url: ServerURL) -> list[str]:
    """Return what the server is called: ``host[:port]`` in a request, and outside of a proxy."""
    hosts = [call.header("host") or ""]
    with contextlib.suppress(BadRequest):
        hosts.append(urlsplit(server_url.for_client(call.request)).netloc)
    return hosts


def is_foreign(call: Call, server_url: ServerURL) -> bool:
    """Whether a page of another site has sent a request, by what its browser says."""
    origin = call.header("origin")
    if origin is None:
        return False
    scheme, _, place = origin.lower().partition("://")
    hosts = map(str.lower, hosts_of(call, server_url))
    return scheme not in ("http", "https") or not place or place not in hosts
