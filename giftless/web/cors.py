"""Which sites' pages may use the server: CORS.

A browser lets a page read what another origin answers only if that answer says
so (https://fetch.spec.whatwg.org/#http-cors-protocol), and asks first, by a
*preflight*, before it sends what no form could send.  All this protects a
browser's user from pages; it is no access control.  Whoever is no browser can
send any ``Origin``, and needs a credential in any case.

Nothing here knows about endpoints: preflights are answered before routing, and
every answer, error or not, gets its headers when it begins.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final

import msgspec

from giftless.base.showing import describe
from giftless.base.urls import DEFAULT_PORTS
from giftless.errors import BadRequest, ConfigError, Forbidden
from giftless.web.headers import Headers

#: The origin that stands for every one.
ANY: Final = "*"

#: The origin of pages that have none: local files, sandboxed frames.
OPAQUE: Final = "null"

#: What pages may send; what an endpoint has of it, it says itself.
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"

#: What pages may read of an answer, beside what they always may.
_EXPOSED: Final = ", ".join(
    (
        *("Accept-Ranges", "Allow", "Content-Disposition", "Content-Length", "Content-Range"),
        *("ETag", "LFS-Authenticate", "Location", "Retry-After", "WWW-Authenticate"),
        "X-Request-Id",
        # https://tus.io/protocols/resumable-upload
        *("Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size", "Tus-Resumable"),
        *("Tus-Version", "Upload-Concat", "Upload-Defer-Length", "Upload-Expires"),
        *("Upload-Length", "Upload-Metadata", "Upload-Offset"),
    )
)

#: The most bytes of header names that a preflight may ask for: the names of
#: all headers that browsers know are not as many.
_MAX_ASKED: Final = 2048

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")

_ORIGIN: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,31})://"
    r"([A-Za-z0-9_~-]{1,63}(?:\.[A-Za-z0-9_~-]{1,63})*\.?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::([0-9]{1,5}))?"
)


class CorsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``cors`` section.

    :ivar origins: whose pages may use the server: ``scheme://host[:port]``,
        ``null`` for pages without an origin, or ``*`` for all.
    :ivar credentials: whether browsers may send what they keep for this server
        (passwords, certificates) with a page's request.
    :ivar max_age: for how many seconds browsers may remember the answer to a
        preflight.
    """

    origins: list[str] = []
    credentials: bool = False
    max_age: Annotated[int, msgspec.Meta(ge=0)] = 86400


def normal_origin(text: str) -> str | None:
    """Return an origin as browsers write it (RFC 6454 section 6.2).

    Scheme and host are in lower case, an address is in its shortest form, the
    scheme's own port is left out.

    :returns: ``None`` if it is no origin.
    """
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, port = match[1].lower(), match[2].lower(), int(match[3] or 0)
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            return None
    if port > 65535 or (match[3] and not port):
        return None
    if not port or port == DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


def is_preflight(method: bytes, headers: Headers) -> bool:
    """Whether a browser asks what a page may send."""
    return (
        method == b"OPTIONS"
        and headers.hasHeader(b"origin")
        and headers.hasHeader(b"access-control-request-method")
    )


class Cors:
    """What pages of other origins may do.

    :param options: nothing, by default: then it adds no header to any answer.
    :raises ConfigError: if one of the origins is none, or if every site could
        act in the name of a browser's user.
    """

    def __init__(self, options: CorsOptions) -> None:
        self._origins = frozenset(
            _configured(text, f"cors.origins.{index}") for index, text in enumerate(options.origins)
        )
        self._any = ANY in self._origins
        self._max_age = options.max_age
        self._credentials = options.credentials
        self._allowed = [("Access-Control-Expose-Headers", _EXPOSED)]
        if options.credentials:
            # Any site can show a page without an origin, in a frame.
            for text in (ANY, OPAQUE):
                if text in self._origins:
                    raise ConfigError(
                        "cors.credentials",
                        f"found true beside the origin '{text}', with which every site could"
                        " act for its visitors; list the origins that may",
                    )
            self._allowed.append(("Access-Control-Allow-Credentials", "true"))

    @property
    def enabled(self) -> bool:
        """Whether there is any origin whose pages may do something."""
        return bool(self._origins)

    def lends_credentials(self, asked: Headers) -> bool:
        """Whether a page may send what its browser adds by itself.

        :param asked: the headers of its request.
        """
        return self._credentials and self._allowed_origin(asked) is not None

    def headers(self, asked: Headers) -> list[tuple[str, str]]:
        """Return what an answer must have, whatever else it says.

        :param asked: the headers of its request, as far as they are known.
        """
        if self._any:
            return [("Access-Control-Allow-Origin", ANY), *self._allowed]
        if not self.enabled:
            return []
        vary = ("Vary", "Origin")
        origin = self._allowed_origin(asked)
        if origin is None:
            return [vary]
        return [vary, ("Access-Control-Allow-Origin", origin), *self._allowed]

    def preflight(self, asked: Headers) -> list[tuple[str, str]]:
        """Return what the answer to a preflight has beside :meth:`headers`.

        :raises Forbidden: if pages of this origin may do nothing.
        :raises BadRequest: if it asks for headers that are none.
        """
        if not self._any and self._allowed_origin(asked) is None:
            raise Forbidden(
                "pages of this origin may not use this server; its operator can list the"
                " origin in cors.origins"
            )
        depends = "Access-Control-Request-Method, Access-Control-Request-Headers"
        answer = [
            ("Vary", f"Origin, {depends}" if self._any else depends),
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Max-Age", str(self._max_age)),
        ]
        names = _asked_headers(asked)
        if names:
            answer.append(("Access-Control-Allow-Headers", ", ".join(names)))
        return answer

    def _allowed_origin(self, asked: Headers) -> str | None:
        """Return the origin of a request as it was sent, if its pages are allowed."""
        values = asked.getRawHeaders(b"origin", [])
        if len(values) != 1:
            return None
        origin = values[0].decode("latin-1")
        known = origin if origin == OPAQUE else normal_origin(origin)
        return origin if known in self._origins else None


def _configured(text: str, path: str) -> str:
    origin = text if text in (ANY, OPAQUE) else normal_origin(text)
    if origin is None:
        raise ConfigError(
            path,
            f"found {describe(text)}, allowed is scheme://host[:port] with nothing behind it,"
            f" '{OPAQUE}', or '{ANY}' for every site",
        )
    return origin


def _asked_headers(asked: Headers) -> list[str]:
    """Return the names of the headers that a preflight asks for.

    :raises BadRequest: if one of them cannot be a header's name.
    """
    lines = asked.getRawHeaders(b"access-control-request-headers", [])
    text = ",".join(line.decode("latin-1") for line in lines)
    names = [name for part in text.split(",") if (name := part.strip(" \t"))]
    if len(text) > _MAX_ASKED or not all(map(_TOKEN.fullmatch, names)):
        raise BadRequest("Access-Control-Request-Headers must be a short list of header names")
    return names
