"""What people type, as values of the configuration, and back: one class for each form."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import PurePath
from typing import Any, Final, Protocol

from giftless.auth.grant_lists import GrantLists, GrantProblem
from giftless.auth.passwords.htpasswd import MAX_PASSWORD_BYTES
from giftless.base.urls import check_url
from giftless.errors import ConfigError

#: The longest that an answer may be, in characters.
MAX_LENGTH: Final = 2000

#: Where the service sees nothing of others (ProtectHome=, PrivateTmp=), or nothing that lasts.
HIDDEN: Final = ("/home", "/root", "/run", "/tmp", "/var/tmp", "/dev", "/proc")  # noqa: S108

#: A host in a URL that every proxy takes as a name.
_HOST: Final = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])"

#: The URL of a server that clients use: with nothing that a proxy's configuration obeys.
_PUBLIC_URL: Final = re.compile(
    rf"https?://{_HOST}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", re.ASCII
)

_LDAP_URL: Final = re.compile(rf"(?:ldaps?://{_HOST}(?::[0-9]{{1,5}})?|ldapi://[\w.%-]+)/?", re.A)

_LISTEN: Final = re.compile(
    r"(?:(?P<host>[0-9.]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[0-9]{1,5})", re.ASCII
)


class Form(Protocol):
    """The form of an answer."""

    def parse(self, text: str) -> Any:
        """Make a value of what was typed.

        :raises ValueError: if that is impossible; the text says what is allowed.
        """

    def show(self, value: Any) -> str:
        """Write a value as it could be typed."""


class Text:
    """One line of printable text."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = text.strip()
        if len(text) > MAX_LENGTH:
            raise ValueError(f"allowed are up to {MAX_LENGTH} characters")
        if not text.isprintable():
            raise ValueError("allowed are printable characters, on one line")
        return text

    def show(self, value: Any) -> str:
        """See :class:`Form`."""
        return value if isinstance(value, str) else ""


class Path(Text):
    """The path of a file or a directory; made absolute."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = super().parse(text)
        return os.path.abspath(os.path.expanduser(text)) if text else ""


class DataPath(Path):
    """The path of a directory that the daemon writes to."""


class ServicePath(DataPath):
    """The path of a directory that a service of systemd writes to."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        path = super().parse(text)
        if any(PurePath(path).is_relative_to(each) for each in HIDDEN):
            raise ValueError(
                f"a service does not see {', '.join(HIDDEN)}; choose another directory,"
                " such as /srv/lfs"
            )
        return path


class URL(Text):
    """The root of a server."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = super().parse(text)
        try:
            # An issuer's URL may end with a slash that belongs to it.
            if text:
                check_url("", text)
        except ConfigError as error:
            raise ValueError(error.problem) from None
        return text


class PublicURL(URL):
    """The root of this server, as clients see it.

    :param secure: whether it must be one of TLS.
    """

    def __init__(self, secure: bool = False) -> None:
        self._secure = secure

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = super().parse(text)
        if text and not _PUBLIC_URL.fullmatch(text):
            raise ValueError("allowed is a URL such as https://lfs.example.com, of plain letters")
        if text.startswith("http:") and self._secure:
            raise ValueError("with TLS it begins with https://")
        return text.rstrip("/")


class Names:
    """Some names, with commas between them."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        return [name.strip() for name in Text().parse(text).split(",") if name.strip()]

    def show(self, value: Any) -> str:
        """See :class:`Form`."""
        if isinstance(value, str):
            return value
        return ",".join(str(each) for each in value) if isinstance(value, list) else ""


class LDAPServers(Names):
    """URLs of the servers of a directory."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        urls = super().parse(text)
        if not all(_LDAP_URL.fullmatch(url) for url in urls):
            raise ValueError("allowed are URLs such as ldaps://ldap.example.com")
        return urls


class Grants:
    """Grant lists, as ``GROUP=PATTERN:LEVEL`` with commas between them."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        grants: dict[str, dict[str, str]] = {}
        for item in Names().parse(text):
            group, equals, rest = item.rpartition("=")
            pattern, colon, level = rest.rpartition(":")
            if not (group and equals and pattern and colon):
                raise ValueError("allowed is GROUP=PATTERN:LEVEL, such as developers=acme/*:write")
            grants.setdefault(group, {})[pattern] = level
        try:
            GrantLists(grants)
        except GrantProblem as error:
            raise ValueError(error.problem) from None
        return grants

    def show(self, value: Any) -> str:
        """See :class:`Form`."""
        if not isinstance(value, dict):
            return ""
        return ",".join(
            f"{group}={pattern}:{level}"
            for group, lines in value.items()
            if isinstance(lines, dict)
            for pattern, level in lines.items()
        )


class Listen(Text):
    """Where to listen: ``ADDRESS:PORT``, or a port of all addresses."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = super().parse(text)
        found = _LISTEN.fullmatch(text)
        try:
            if found is not None and found["host"]:
                ipaddress.ip_address(found["host"].strip("[]"))
        except ValueError:
            found = None
        if found is None or not 0 < int(found["port"]) < 65536:
            raise ValueError("allowed is ADDRESS:PORT or PORT, such as 127.0.0.1:8080")
        return text


class Address(Text):
    """The address of one machine, or a network."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = super().parse(text)
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("allowed is an address, or a network such as 10.0.0.0/8") from None
        return text


class Workers:
    """A number of processes, or ``auto``."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = text.strip()
        if text == "auto":
            return text
        if (
            not text.isascii()
            or not text.isdecimal()
            or len(text) > 4
            or not 1 <= int(text) <= 1000
        ):
            raise ValueError("allowed is a number from 1 to 1000, or auto")
        return int(text)

    def show(self, value: Any) -> str:
        """See :class:`Form`."""
        return str(value)


class Secret:
    """A secret: as it is, but in one line."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        if not text.isprintable() or len(text) > MAX_LENGTH:
            raise ValueError("allowed is one line of printable characters")
        return text

    def show(self, value: Any) -> str:
        """See :class:`Form`; a secret is never shown."""
        return "as it is" if value else ""


class Password(Secret):
    """A password that can be hashed by bcrypt."""

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        text = super().parse(text)
        if len(text.encode()) > MAX_PASSWORD_BYTES:
            raise ValueError(f"a password has up to {MAX_PASSWORD_BYTES} bytes")
        return text


class Choice(Text):
    """One of some words.

    :param words: what can be chosen.
    """

    def __init__(self, *words: str) -> None:
        self.words = words

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        if text.strip() not in self.words:
            raise ValueError(f"allowed is one of: {', '.join(self.words)}")
        return text.strip()


class Choices(Names):
    """Any of some words, or ``none``; in the order in which they are listed here.

    :param words: what can be chosen.
    """

    def __init__(self, *words: str) -> None:
        self.words = words

    def parse(self, text: str) -> Any:
        """See :class:`Form`."""
        found = super().parse(text)
        if found == ["none"]:
            return []
        if not set(found) <= {*self.words}:
            raise ValueError(f"allowed are none, or some of: {', '.join(self.words)}")
        return [word for word in self.words if word in found]

    def show(self, value: Any) -> str:
        """See :class:`Form`."""
        return super().show(value) or "none"


def host_and_port(listen: str) -> tuple[str, int]:
    """Take apart what :class:`Listen` has let pass.

    :returns: the address, without brackets and empty for all; and the port.
    """
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
