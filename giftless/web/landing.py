"""What the server's root says: what this is, and how to point a repository here.

Whoever opens the server's URL in a browser gets a page; a program gets JSON.  Both say
nothing that is not public: no version, no repository and nobody's name.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

import msgspec

from giftless.web.call import Call
from giftless.web.links import example_api
from giftless.web.proxies import ServerURL
from giftless.web.route import Level, Route

#: One range of ``Accept``: a type, a subtype, and parameters (RFC 9110 section 12.5.1).
_RANGE: Final = re.compile(r"\s*([^\s;/]+)/([^\s;/]+)\s*((?:;.*)?)", re.DOTALL)

#: The weight of a range, from 0 to 1.
_WEIGHT: Final = re.compile(r";\s*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*(?:;|\Z)", re.I)

_HTML: Final = ("text", "html")

#: What programs may call the JSON of this server.
_JSON: Final = (("application", "json"), ("application", "vnd.git-lfs+json"))

#: For how long a browser need not ask for an icon again, in seconds.
_ICON_SECONDS: Final = 86_400

_ROBOTS: Final = b"User-agent: *\nDisallow: /\n"


class Landing:
    """The endpoints at the server's root that are for people and their browsers.

    :param server_url: what to point repositories to.
    """

    def __init__(self, server_url: ServerURL) -> None:
        self._server_url = server_url
        text = files(__package__).joinpath("landing.html").read_text("utf-8")
        self._page = Template(text)
        self._policy = (
            f"default-src 'none'; style-src {_source_of_style(text)};"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    @property
    def routes(self) -> Sequence[Route]:
        """The routes."""
        return (
            Route("", ("GET",), self._welcome, Level.SERVER),
            Route("favicon.ico", ("GET",), self._icon, Level.SERVER),
            Route("robots.txt", ("GET",), self._robots, Level.SERVER),
        )

    async def _welcome(self, call: Call) -> None:
        """``GET /``."""
        lfs_url = example_api(self._server_url.in_words(call.request))
        call.request.setHeader("Vary", "Accept")
        accept = b",".join(call.request.requestHeaders.getRawHeaders(b"accept", ()))
        if prefers_html(accept.decode("latin-1")):
            # People copy it into a shell.
            page = self._page.substitute(lfs_url=escape(shlex.quote(lfs_url)))
            call.request.setHeader("Content-Security-Policy", self._policy)
            call.request.setHeader("Referrer-Policy", "no-referrer")
            _respond(call, "text/html; charset=utf-8", page.encode())
        else:
            words = f"this is a Git LFS server: write lfs.url as {lfs_url}"
            body = msgspec.json.encode({"message": words, "lfs_url": lfs_url})
            _respond(call, "application/json", body)

    async def _icon(self, call: Call) -> None:
        """``GET /favicon.ico``: there is none, and browsers shall not ask for every page."""
        request = call.request
        request.setResponseCode(204)
        request.setHeader("Cache-Control", f"private, max-age={_ICON_SECONDS}")
        request.respond(b"")

    async def _robots(self, call: Call) -> None:
        """``GET /robots.txt``: nothing here is for search engines."""
        _respond(call, "text/plain; charset=utf-8", _ROBOTS)


def prefers_html(accept: str) -> bool:
    """Whether a client would rather have HTML than JSON.

    :param accept: its ``Accept`` header; empty if there is none.
    """
    ranges = list(_ranges(accept))
    return _wish(ranges, _HTML) > max(_wish(ranges, kind) for kind in _JSON)


def _ranges(accept: str) -> Iterator[tuple[str, str, float]]:
    """Return each type and subtype that a header lists, with its weight; pass over others."""
    for text in accept.lower().split(","):
        found = _RANGE.fullmatch(text)
        if found is None:
            continue
        weight = _WEIGHT.search(found[3])
        yield found[1], found[2], 1.0 if weight is None else float(weight[1])


def _wish(ranges: Sequence[tuple[str, str, float]], kind: tuple[str, str]) -> tuple[float, int]:
    """Return how much a media type is wished for: its weight, and how plainly it is named.

    The range that names it most plainly decides about its weight.
    """
    plainness, weight = max(
        (
            ((main != "*") + (sub != "*"), weight)
            for main, sub, weight in ranges
            if main in (kind[0], "*") and sub in (kind[1], "*")
        ),
        default=(0, 0.0),
    )
    return (weight, plainness) if weight else (0.0, 0)


def _source_of_style(page: str) -> str:
    """Return what a Content-Security-Policy calls the one style sheet in a page."""
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _respond(call: Call, media_type: str, body: bytes) -> None:
    headers = {"Content-Type": media_type, "X-Content-Type-Options": "nosniff"}
    call.request.respond_whole(200, headers, body)
