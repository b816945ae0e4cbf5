"""A request for one of the operators' pages, and what is answered.

The process that makes the pages need not be the one that has the connection: both pass
on what is needed, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

#: The name of the question with which a worker asks the daemon for a page.
PAGE: Final = "page"

#: The name of the page for programs.
OVERVIEW: Final = "overview.json"

#: The pages by their names, and the methods of each; ``HEAD`` comes with ``GET``.
PAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("GET",),
    "locks": ("GET",),
    "release": ("GET", "POST"),
    "usage": ("GET",),
    "objects": ("GET",),
    "trash": ("GET",),
    "restore": ("GET", "POST"),
    "purge": ("GET", "POST"),
    OVERVIEW: ("GET",),
    "style.css": ("GET",),
    "refresh.js": ("GET",),
    "icon.svg": ("GET",),
}

#: The most that a form may have, in bytes: the longest path of a repository takes three
#: times its length there.
MAX_FORM: Final = 8192


class PageRequest(msgspec.Struct, frozen=True):
    """A request for a page.

    :ivar method: the HTTP method.
    :ivar path: the page's name: what stands behind the root of all pages; empty for the
        root itself.
    :ivar query: the query of the URL, as it was sent.
    :ivar kind: the ``Content-Type`` of the body; empty if there is none.
    :ivar body: the body.
    :ivar hosts: what the server is called in the request: ``host[:port]``, and what it
        is called outside of a proxy.
    :ivar origin: the ``Origin`` header; empty if there is none.
    :ivar fetch_site: the ``Sec-Fetch-Site`` header; empty if there is none.
    :ivar public: whether it comes by an endpoint that everybody can reach, from somebody
        who has the permission ``admin``.
    :ivar who: the name of who sends it; empty if nobody was identified.
    :ivar principal: who that is.
    :ivar address: the IP address that it comes from; empty for a Unix socket.
    :ivar request_id: names the request in the log.
    """

    method: str
    path: str
    query: str = ""
    kind: str = ""
    body: bytes = b""
    hosts: list[str] = []
    origin: str = ""
    fetch_site: str = ""
    public: bool = False
    who: str = ""
    principal: str = ""
    address: str = ""
    request_id: str = ""


class PageReply(msgspec.Struct, frozen=True):
    """What a request for a page is answered with.

    :ivar status: the HTTP status.
    :ivar headers: all headers of the response that belong to the page.
    :ivar body: the body.
    """

    status: int
    headers: dict[str, str]
    body: bytes
