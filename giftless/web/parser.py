"""Parse the heads of requests, with llhttp (RFC 9112 sections 2 to 6).

llhttp checks header fields and what frames a body.  Two things are not left to it.
The request line is taken apart here: llhttp knows a list of methods, and URLs in its own
way.  And it must stop behind a head, whose length is then known: so it is told that
each request is a ``CONNECT``, whose body is none of its business.  What it would have
parsed of a body is counted by :mod:`giftless.web.connection`, or decoded by
:mod:`giftless.web.chunks`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from giftless.errors import BadRequest, HeadersTooLarge, LFSError
from giftless.web.framing import malformed, unknown_coding
from giftless.web.headers import Headers

#: A request line: a token, a target without white space, one of two versions.
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\xb0]+) (HTTP/1\.[01])")

#: The request line that llhttp gets.
_CONNECT: Final = b"CONNECT x:1 HTTP/1.1\r\n"

#: The most header lines of one request.
_MAX_HEADERS: Final = 500

#: The most digits that a Content-Length may have: 2**63 has 19.
_MAX_LENGTH_DIGITS: Final = 19

#: The codings of bodies that :mod:`giftless.web.framing` has a word for.
_CODINGS: Final = (b"chunked", b"identity")

#: What llhttp says of a header line that continues the one before (RFC 9112 section 5.2).
_FOLDED: Final = ("Unexpected whitespace after header value", "Unexpected space after start line")

#: What it says of a body that is framed in two ways.
_CONFLICT: Final = "Content-Length can't be present with Transfer-Encoding"

#: What it says of a Content-Length of more than 64 bits.
_OVERFLOW: Final = "Content-Length overflow"


@dataclass(slots=True)
class Head:
    """The head of a request.

    :ivar method: as it was sent.
    :ivar target: the request's target, as it was sent.
    :ivar version: ``HTTP/1.0`` or ``HTTP/1.1``.
    :ivar headers: the header fields.
    :ivar length: how many bytes of body follow; ``None`` if they come in chunks.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: Headers
    length: int | None = 0


class HeadParser:
    """Parses the heads of a connection's requests, one after the other.

    :param limit: how many bytes the lines of one may have.
    :ivar head: what has come of the head; ``None`` before its first line is complete.
    :ivar complete: whether the last byte of the head has come.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Begin with the next head."""
        self.head: Head | None = None
        self.complete = False
        self._llhttp: HttpRequestParser | None = None
        self._blank = False
        self._lines = 0
        #: How many bytes of the head have come, without line breaks.
        self._size = 0

    def feed(self, data: bytes, start: int) -> int:
        """Take bytes of a head.

        :param data: what has come; its first line is left there until it is complete.
        :param start: where the head, or the rest of it, begins.
        :returns: where to go on: behind the head, if it is complete.
        :raises LFSError: if it is malformed or too large.
        """
        if self.head is None:
            start = self._request_line(data, start)
            if self.head is None:
                return start
        if start == len(data):
            return start
        assert self._llhttp is not None
        try:
            self._llhttp.feed_data(memoryview(data)[start:])
        except HttpParserUpgrade as stop:
            end = start + int(stop.args[0])
            self.complete = True
        except HttpParserError as error:
            raise self._refusal(str(error)) from None
        else:
            end = len(data)
        self._size += end - start
        if self._size - 2 * self._lines > self._limit + 2:
            raise self._too_large()
        if self._lines > _MAX_HEADERS:
            raise malformed()
        if self.complete:
            self._llhttp = None
            self.head.length = _length(self.head.headers)
        return end

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; llhttp calls this."""
        assert self.head is not None
        self._lines += 1
        self.head.headers.add(name, value.strip(b" \t"))

    def _request_line(self, data: bytes, start: int) -> int:
        end = data.find(b"\r\n", start)
        if end == start and not self._blank:
            # Some clients send a line break behind a body (RFC 9112 section 2.2).
            self._blank = True
            start += 2
            end = data.find(b"\r\n", start)
        if (len(data) if end < 0 else end) - start > self._limit:
            raise self._too_large()
        if end < 0:
            return start
        if data[start] in b" \t":
            raise _folded()
        line = _REQUEST_LINE.fullmatch(data, start, end)
        if line is None:
            raise malformed()
        self.head = Head(line[1], line[2], line[3], Headers())
        self._size = end - start
        self._llhttp = HttpRequestParser(self)
        self._llhttp.feed_data(_CONNECT)
        return end + 2

    def _too_large(self) -> LFSError:
        return HeadersTooLarge(f"the request's headers have more than {self._limit} bytes")

    def _refusal(self, reason: str) -> LFSError:
        if reason in _FOLDED:
            return _folded()
        if reason == _CONFLICT and self.head is not None:
            (coding,) = self.head.headers.fields.get(b"transfer-encoding", [b""])[:1]
            return unknown_coding() if coding.lower() == b"identity" else malformed()
        return _absurd() if reason == _OVERFLOW else malformed()


def _folded() -> BadRequest:
    return BadRequest("a header line must not begin with white space")


def _absurd() -> BadRequest:
    return BadRequest("the Content-Length is absurd")


def _length(headers: Headers) -> int | None:
    """Return how many bytes of body follow a head; ``None`` if they come in chunks.

    llhttp has seen to it that there are not both of the headers that say so.

    :raises BadRequest: if that cannot be said.
    """
    codings = headers.fields.get(b"transfer-encoding")
    if codings is not None:
        if any(coding.lower() not in _CODINGS for coding in codings):
            raise malformed()
        return None if codings[-1].lower() == b"chunked" else 0
    lengths = headers.fields.get(b"content-length")
    if lengths is None:
        return 0
    if len(lengths[0]) > _MAX_LENGTH_DIGITS:
        raise _absurd()
    return int(lengths[0])
