"""Refuse requests whose framing two parties could read differently.

:mod:`giftless.web.parser` refuses most of what request smuggling needs; this module
adds the rest, so that a proxy in front and the daemon never disagree about where a
request ends (RFC 9112 sections 3.2, 5.2, 6 and 9.3).
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Final
from urllib.parse import unquote_to_bytes

from giftless.errors import BadRequest, ExpectationFailed, LFSError
from giftless.web.headers import Headers

_METHOD: Final = re.compile(rb"[A-Z]{1,32}")

#: What a Host header may contain: a name or an address, and a port.
HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9_~-]{1,63}(?:\.[A-Za-z0-9_~-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)

_ENCODED_SLASH: Final = re.compile(rb"%2f", re.IGNORECASE)


#: A target in absolute-form (RFC 9112 section 3.2.2).
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)([/?].*)?", re.IGNORECASE | re.DOTALL)

#: A field line, of headers or trailers (RFC 9112 section 5).
FIELD_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")

#: The target of a request that is for the server as a whole (RFC 9112 section 3.2.4).
ASTERISK: Final = b"*"


def malformed() -> BadRequest:
    """Return the error for a request that is none."""
    return BadRequest("the request is malformed")


def unknown_coding() -> BadRequest:
    """Return the error for a body in a coding that is not understood."""
    return BadRequest("the only Transfer-Encoding that is understood is chunked")


def ends_connection(version: bytes, headers: Headers) -> bool:
    """Whether no other request may follow a request (RFC 9112 section 9.3)."""
    return version != b"HTTP/1.1" or b"close" in connection_options(headers)


def split_target(target: bytes, method: bytes) -> tuple[bytes | None, bytes]:
    """Split a request's target into the host that it names and the rest.

    :returns: host and port, or ``None`` if it names none; and the target in
        origin-form, or :data:`ASTERISK`.
    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        return None, target
    rest = found[2] or (ASTERISK if method == b"OPTIONS" else b"/")
    return found[1], b"/" + rest if rest[:1] == b"?" else rest


def refusal(method: bytes, path: bytes, version: bytes, headers: Headers) -> LFSError | None:
    """Look at a request's head before anything is done with it.

    :param path: the request target without its query.
    :param version: ``HTTP/1.0`` or ``HTTP/1.1``.
    :returns: why the request must be refused and its connection closed, or
        ``None`` if it may be handled.
    """
    fields = headers.fields
    hosts = fields.get(b"host", ())
    codings = fields.get(b"transfer-encoding", ())
    expectations = fields.get(b"expect", ())
    if not _METHOD.fullmatch(method):
        return BadRequest("the request's method must be upper-case letters")
    if (path[:1] != b"/" or path[:2] == b"//") and (method, path) != (b"OPTIONS", ASTERISK):
        return BadRequest(
            "the request's target must be a path that begins with one slash; the URL of a"
            " repository's API is of the form https://HOST/ORG/REPO.git/info/lfs"
        )
    if len(hosts) > 1:
        return BadRequest("the request has more than one Host header")
    if not hosts and version != b"HTTP/1.0":
        return BadRequest("the request has no Host header")
    if hosts and not HOST.fullmatch(hosts[0]):
        return BadRequest("the Host header is malformed")
    if codings and version == b"HTTP/1.0":
        return BadRequest("HTTP/1.0 has no Transfer-Encoding")
    if codings and any(coding.lower() != b"chunked" for coding in codings):
        return unknown_coding()
    if {b"close", b"keep-alive"} <= connection_options(headers):
        return BadRequest("the Connection header asks for both close and keep-alive")
    if expectations and any(value.lower() != b"100-continue" for value in expectations):
        return ExpectationFailed("the only expectation that can be met is 100-continue")
    if b"%" not in path and path.isascii():
        return None
    if _ENCODED_SLASH.search(path):
        return BadRequest("the URL must not contain an encoded slash (%2F)")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return BadRequest("the URL's path must be UTF-8, percent-encoded")
    return None


def connection_options(headers: Headers) -> Set[bytes]:
    """Return the lower-case options of all Connection headers (RFC 9110 7.6.1)."""
    values = headers.fields.get(b"connection")
    if values is None:
        return frozenset()
    return {option.strip().lower() for value in values for option in value.split(b",")}
