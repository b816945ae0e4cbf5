"""Credentials that a browser adds by itself, for whatever page has sent a request.

A page of another site can make its visitor's browser send a request to this server: by a form,
or by a script that does not get to see the answer.  The browser adds what it keeps for this
server, so the request must not count as the user's.  Browsers tell such requests apart
(https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header), over HTTPS; ``Origin`` tells it
without.  Other clients send neither, or no credential but what they mean to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from giftless.errors import Forbidden
from giftless.interfaces import Credentials

if TYPE_CHECKING:
    from giftless.web.request import LFSRequest

#: What changes nothing (RFC 9110 section 9.2.1): links may lead here from anywhere.
_SAFE: Final = (b"GET", b"HEAD", b"OPTIONS")

#: How browsers say that a page of another origin has sent a request.
_FOREIGN: Final = (b"cross-site", b"same-site")

#: What the bodies of requests are called that a browser sends without asking this server first
#: (https://fetch.spec.whatwg.org/#cors-safelisted-request-header); empty: they are not called.
_FORMS: Final = (
    b"",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data",
    b"text/plain",
)

#: Headers that make it ask first, where the body need not be called anything.
_ASKED_FOR: Final = (b"tus-resumable", b"x-requested-with")


def lends_certificate(request: LFSRequest) -> bool:
    """Whether the certificate of a connection may count for a request.

    Browsers show it for any page, so where something may change it counts only for pages that
    may use it (``cors.credentials``).
    """
    return request.method in _SAFE or not _is_told_foreign(request) or _is_lent(request)


def refuse_borrowed(request: LFSRequest, credentials: Credentials, base_url: str) -> None:
    """Refuse a request with a password that a browser may have added for another site's page.

    A page that sends a password of its own has been allowed to (``cors.origins``): its browser
    has asked first, as it does not for what a form could send.

    :param base_url: what the server is called outside.
    :raises Forbidden: if it is such a request.
    """
    if (
        request.method == b"POST"
        and credentials.passwords
        and _is_like_a_form(request)
        and _is_foreign(request, base_url)
        and not _is_lent(request)
    ):
        raise Forbidden(
            "a page of another site has sent this request with a password that the browser keeps"
            " for this server, so nothing was done; a page that may use this server says what it"
            " sends: Content-Type: application/vnd.git-lfs+json"
        )


def _is_told_foreign(request: LFSRequest) -> bool:
    sites = request.requestHeaders.fields.get(b"sec-fetch-site", ())
    return any(site.strip().lower() in _FOREIGN for site in sites)


def _is_foreign(request: LFSRequest, base_url: str) -> bool:
    fields = request.requestHeaders.fields
    if b"sec-fetch-site" in fields:
        return _is_told_foreign(request)
    hosts = {*fields.get(b"host", ()), urlsplit(base_url).netloc.encode()}
    return any(
        origin.strip().lower().partition(b"://")[2] not in {host.lower() for host in hosts}
        for origin in fields.get(b"origin", ())
    )


def _is_like_a_form(request: LFSRequest) -> bool:
    fields = request.requestHeaders.fields
    kinds = fields.get(b"content-type", ()) or (b"",)
    return all(kind.partition(b";")[0].strip().lower() in _FORMS for kind in kinds) and not any(
        name in fields for name in _ASKED_FOR
    )


def _is_lent(request: LFSRequest) -> bool:
    return request.context.cors.lends_credentials(request.requestHeaders)
