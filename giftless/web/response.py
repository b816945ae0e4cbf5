"""The response to a request: status, headers, and a body that is sent piece by piece."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from giftless.web.dates import http_now
from giftless.web.headers import Headers, spell

#: The statuses whose responses have no body.
_BODILESS: Final = (204, 304)

_UNKNOWN: Final = (b"-1",)

#: What statuses are called: those of HTTP, and one of tus 1.0.0.
_REASONS: Final = {**{each.value: each.phrase for each in HTTPStatus}, 460: "Checksum Mismatch"}


class Response:
    """What one request is answered with.

    :ivar code: the HTTP status.
    :ivar headers: the header fields.
    :ivar always: those that it has whatever it is, an error too.
    :ivar begun: whether the headers have been sent.
    :ivar sent: how many bytes of the body have been sent.
    """

    __slots__ = ("_length", "always", "begun", "code", "headers", "sent")

    def __init__(self) -> None:
        self.code = 200
        self.headers = Headers()
        self.always: dict[bytes, list[bytes]] = {}
        self.begun = False
        self.sent = 0
        #: How long the body is, in bytes; -1 if only the end of the connection tells.
        self._length = -1

    def add_common(self, request_id: str) -> None:
        """Add the headers that every response has."""
        fields = self.headers.fields
        fields.update(self.always)
        fields[b"date"] = [http_now().encode()]
        fields[b"server"] = [b"giftless"]
        fields[b"x-request-id"] = [request_id.encode()]
        if b"cache-control" not in fields:
            # A request with an action's token has no Authorization: without a
            # word, a shared cache could keep the answer (RFC 9111 section 3).
            fields[b"cache-control"] = [b"no-store"]

    @property
    def complete(self) -> bool:
        """Whether the last byte is among those that have been taken to be sent."""
        return self.sent == self._length

    @property
    def framed(self) -> bool:
        """Whether the client can tell where the body ends."""
        return self.code in _BODILESS or b"content-length" in self.headers.fields

    def begin(self, version: bytes, method: bytes, data: bytes) -> bytes:
        """Return status line and headers, and the first bytes of the body behind them.

        :param version: the version of HTTP that the request has.
        :param method: the method of the request.
        """
        self.begun = True
        if method == b"HEAD" or self.code in _BODILESS:
            self._length = 0
        else:
            self._length = int(self.headers.fields.get(b"content-length", _UNKNOWN)[0])
        lines = [_status_line(version, self.code)]
        for key, values in self.headers.fields.items():
            name = spell(key)
            for value in values:
                lines.append(b"%b: %b" % (name, value))
        lines += (b"", self.take(data))
        return b"\r\n".join(lines)

    def take(self, data: bytes) -> bytes:
        """Count bytes of the body; returns those that are to be sent."""
        if not self._length:
            return b""
        self.sent += len(data)
        return data


def reason(code: int) -> str:
    """Return what a status is called."""
    return _REASONS.get(code, "Unknown Status")


@lru_cache(128)
def _status_line(version: bytes, code: int) -> bytes:
    return b"%b %d %b" % (version, code, reason(code).encode())
