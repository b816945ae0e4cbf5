"""Ask the daemon for its overview, at an admin endpoint or at a URL.

One question every two seconds: a blocking client of the standard library will do.
"""

from __future__ import annotations

import base64
import http.client
import netrc
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from giftless.base.urls import ANY_ADDRESS, url_host
from giftless.commands import CommandError
from giftless.commands.harmless import harmless
from giftless.monitoring.overview import Overview

#: How many seconds each step of a question may take.
TIMEOUT: Final = 3.0

#: How long an answer may be, in bytes.
MAX_ANSWER: Final = 16 * 1024 * 1024

#: What no figure reaches, so that all of them can be added and divided.
_IMPOSSIBLE: Final = 1e24

#: Where the overview is, below what a URL names.
NAME: Final = "overview.json"

#: A field of an endpoint string: a colon ends it, unless there is a backslash before.
_FIELD: Final = re.compile(r"((?:\\.|[^:\\])*)(?::|\Z)", re.DOTALL)

#: The first certificate of a file.
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL
)

_LAST_PORT: Final = 65_535
_PORT_DIGITS: Final = len(str(_LAST_PORT))

#: How much of a reason is shown, in characters.
_MAX_REASON: Final = 300


class _Refusal(msgspec.Struct):
    message: str


class Unreachable(Exception):
    """The daemon does not say how it is; the text says why, in one line."""


@dataclass(frozen=True)
class Place:
    """Where something is that the daemon tells.

    :ivar shown: for people.
    :ivar connect: makes a connection, which is not opened yet.
    :ivar path: what is asked for.
    :ivar headers: what is sent along.
    """

    shown: str
    connect: Callable[[], http.client.HTTPConnection]
    path: str
    headers: dict[str, str]


def ask(place: Place) -> tuple[int, str, bytes]:
    """Ask for what is at a place.

    :returns: the status of the answer, its phrase, and its body.
    :raises Unreachable: if there is no answer.
    """
    try:
        with closing(place.connect()) as connection:
            connection.request("GET", place.path, headers=place.headers)
            reply = connection.getresponse()
            return reply.status, harmless(reply.reason), reply.read(MAX_ANSWER + 1)
    # A host or a path may be no name at all: ValueError.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(_words(error)) from None


def fetch(place: Place) -> Overview:
    """Ask for the overview.

    :raises Unreachable: if there is no answer, or another one.
    """
    status, phrase, body = ask(place)
    if status != http.client.OK:
        raise Unreachable(f"the answer is {status} {phrase}{_reason(body)}")
    try:
        overview = msgspec.json.decode(body, type=Overview)
    except (msgspec.MsgspecError, RecursionError):
        raise Unreachable("the answer is no overview, or one of another version") from None
    if not _is_possible(msgspec.to_builtins(overview)):
        raise Unreachable("the answer has figures that cannot be")
    return overview


def _reason(body: bytes) -> str:
    """Return what the server says of a refusal, in words that may follow; empty if nothing."""
    try:
        told = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return f": {harmless(told.message[:_MAX_REASON])}"


def place_of_endpoint(endpoint: str, path: str = f"/{NAME}") -> Place:
    """Return how to reach an endpoint of this machine.

    :param endpoint: a Twisted server endpoint string.
    :param path: what to ask for there.
    :raises CommandError: if that cannot be told.
    """
    kind, *fields = _fields(endpoint)
    named = dict(field.split("=", 1) for field in fields if "=" in field)
    first = next((field for field in fields if "=" not in field), "")
    if kind == "unix":
        return _unix(named.get("address", first), path)
    if kind not in ("tcp", "tcp6", "ssl"):
        raise CommandError(f"cannot tell how to connect to {kind!r} endpoints; say it with --url")
    interface = named.get("interface") or ("::" if kind == "tcp6" else "0.0.0.0")  # noqa: S104
    host = ANY_ADDRESS.get(interface, interface)
    number = named.get("port", first)
    port = int(number) if number.isdecimal() and len(number) <= _PORT_DIGITS else 0
    if not 0 < port <= _LAST_PORT:
        raise CommandError("the endpoint has no fixed port; say it with --url")
    if kind == "ssl":
        file = named.get("certKey", named.get("privateKey", "server.pem"))
        return Place(
            f"https://{url_host(host)}:{port}",
            lambda: _Pinned(host, port, file),
            path,
            {},
        )
    return Place(
        f"http://{url_host(host)}:{port}",
        lambda: http.client.HTTPConnection(host, port, timeout=TIMEOUT),
        path,
        {},
    )


def place_of_url(url: str, authority: str | None = None) -> Place:
    """Return how to reach a URL.

    :param url: of the admin endpoint or of the server's pages: ``http:``, ``https:`` or
        ``unix:`` and the path of a socket.  Without a user in it, ``~/.netrc`` is asked.
    :param authority: a file of certificates that are trusted; ``None`` for the system's.
    :raises CommandError: if it is no such URL.
    """
    if url.startswith("unix:"):
        return _unix(url.removeprefix("unix:"), f"/{NAME}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise CommandError("--url: what is needed is http://HOST:PORT, https://… or unix:PATH")
    path = parts.path if parts.path.endswith(f"/{NAME}") else f"{parts.path.rstrip('/')}/{NAME}"
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    headers = _credential(host, parts.username, parts.password)
    if parts.scheme == "http":
        return Place(
            shown, lambda: http.client.HTTPConnection(host, port, timeout=TIMEOUT), path, headers
        )
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise CommandError(f"--cacert: {error.strerror}") from None
    return Place(
        shown,
        lambda: http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context),
        path,
        headers,
    )


class _Unix(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


class _Pinned(http.client.HTTPSConnection):
    """A connection to who has the certificate of a file, whatever name that is for."""

    def __init__(self, host: str, port: int, file: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=TIMEOUT, context=context)
        self._file = file

    def connect(self) -> None:
        """Connect, and compare the certificate before anything is asked."""
        super().connect()
        presented: Any = self.sock
        with open(self._file, encoding="ascii", errors="replace") as file:
            own = _CERTIFICATE.search(file.read())
        if own is None or presented.getpeercert(True) != ssl.PEM_cert_to_DER_cert(own[0]):
            self.close()
            raise ssl.SSLError(0, f"the certificate is not that of {self._file}")


def _is_possible(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_possible, value.values()))
    if isinstance(value, list):
        return all(map(_is_possible, value))
    return not isinstance(value, int | float) or abs(value) < _IMPOSSIBLE


def _unix(path: str, name: str) -> Place:
    if not path:
        raise CommandError("a Unix socket needs a path")
    return Place(f"unix:{path}", lambda: _Unix(path), name, {})


def _fields(endpoint: str) -> list[str]:
    found = [match[1] for match in _FIELD.finditer(endpoint) if match[0]]
    return [re.sub(r"\\(.)", r"\1", field, flags=re.DOTALL) for field in found] or [""]


def _credential(host: str, user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        try:
            known = netrc.netrc().authenticators(host)
        except (OSError, netrc.NetrcParseError):
            known = None
        if known is None:
            return {}
        user, _, password = known
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, http.client.HTTPException):
        return f"the answer is no HTTP ({type(error).__name__})"
    return "there can be no such host or path"
