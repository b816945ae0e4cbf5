"""Who the user is: URLs, ``~/.netrc``, git's credential helpers, and extra headers of git.

In this order git-lfs looks, but for the extra headers, which go with every request.
"""

from __future__ import annotations

import base64
import netrc
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from giftless.base.git_settings import run_git
from giftless.base.urls import DEFAULT_PORTS
from giftless.interfaces import IBlocking

#: How long a helper may take, in seconds, where nobody is asked and where somebody may be.
_TIMEOUT: Final = 60
_TIMEOUT_ASKING: Final = 600

#: Where credentials are from that git's helpers know.
_HELPERS: Final = "git's credential helpers"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password.

    :ivar source: where it is from, in words: it goes back there when it is taken or refused.
    """

    user: str
    password: str = field(repr=False)
    source: str

    @property
    def authorization(self) -> str:
        """The value of ``Authorization``."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class Credentials:
    """Finds credentials as git-lfs does.

    :param blocking: runs git, and reads files.
    :param directory: the repository whose configuration counts; ``None``: the user's alone.
    :param ask: whether git may ask the user at the terminal.
    :param environ: the variables of the process.
    """

    def __init__(
        self,
        blocking: IBlocking,
        directory: Path | None = None,
        ask: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._blocking = blocking
        self._directory = None if directory is None else str(directory)
        self._ask = ask
        self._environ = environ

    async def fill(self, url: str) -> Credential | None:
        """Return the credential for a URL; ``None`` if there is none.

        :param url: may hold a user, or a user and a password.
        """
        parts = urlsplit(url)
        if parts.username is not None and parts.password is not None:
            return Credential(unquote(parts.username), unquote(parts.password), "the URL")
        return await self._blocking.run(self._find, url)

    async def tell(self, url: str, credential: Credential, good: bool) -> None:
        """Tell git's helpers whether a credential was taken.

        :param good: whether; a bad one is forgotten by them.
        """
        if credential.source == _HELPERS:
            await self._blocking.run(self._tell, url, credential, good)

    async def headers(self, url: str) -> Mapping[str, str]:
        """Return what ``http.extraheader`` and ``http.<url>.extraheader`` say of a URL."""
        return await self._blocking.run(self._headers, url)

    def _find(self, url: str) -> Credential | None:
        parts = urlsplit(url)
        user = unquote(parts.username) if parts.username is not None else ""
        return self._netrc(parts.hostname or "", user) or self._fill(url)

    def _netrc(self, host: str, user: str) -> Credential | None:
        file = self._environ.get("NETRC") or os.path.join(
            self._environ.get("HOME") or os.path.expanduser("~"), ".netrc"
        )
        try:
            found = netrc.netrc(file).authenticators(host)
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            return None
        if found is None or (user and found[0] != user):
            return None
        return Credential(found[0], found[2], ".netrc")

    def _fill(self, url: str) -> Credential | None:
        said = self._helpers("fill", _described(url))
        fields = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        if "username" not in fields or "password" not in fields:
            return None
        return Credential(fields["username"], fields["password"], _HELPERS)

    def _tell(self, url: str, credential: Credential, good: bool) -> None:
        pair = f"username={credential.user}\npassword={credential.password}\n"
        self._helpers("approve" if good else "reject", f"{_described(url, user=False)}{pair}")

    def _helpers(self, what: str, fields: str) -> str:
        environ = {**self._environ}
        if not self._ask:
            environ |= {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never"}
            environ |= {"GIT_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "never"}
        try:
            done = subprocess.run(  # noqa: S603
                ["git", "credential", what],  # noqa: S607
                input=f"{fields}\n".encode(),
                stdout=subprocess.PIPE,
                # What git says of a question that nobody answers is no news.
                stderr=None if self._ask else subprocess.DEVNULL,
                env=environ,
                cwd=self._directory,
                timeout=_TIMEOUT_ASKING if self._ask else _TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.decode(errors="replace") if done.returncode == 0 else ""

    def _headers(self, url: str) -> Mapping[str, str]:
        printed = run_git(
            "config",
            "-z",
            "--get-regexp",
            r"^http\.(.*\.)?extraheader$",
            directory=self._directory,
        )
        return extra_headers(printed or "", url)


def extra_headers(printed: str, url: str) -> Mapping[str, str]:
    """Choose the headers that git sends with requests to a URL.

    :param printed: what ``git config -z --get-regexp`` printed of all ``extraheader``.
    """
    lines: dict[str, list[str]] = {}
    best = ""
    for entry in filter(None, printed.split("\0")):
        name, _, value = entry.partition("\n")
        prefix = name[len("http.") : -len("extraheader")].removesuffix(".")
        if prefix and not _is_below(url, prefix):
            continue
        best = max(best, prefix, key=len)
        if not value:
            # An empty one forgets those before it.
            lines[prefix] = []
        else:
            lines.setdefault(prefix, []).append(value)
    headers = {}
    for line in lines.get(best, []):
        name, colon, value = line.partition(":")
        if colon and name.strip():
            headers[name.strip()] = value.strip()
    return headers


def _described(url: str, *, user: bool = True) -> str:
    """Describe a URL to ``git credential``."""
    parts = urlsplit(url)
    fields = {
        "protocol": parts.scheme,
        "host": parts.netloc.rpartition("@")[2],
        "path": parts.path.lstrip("/"),
    }
    if user and parts.username:
        fields["username"] = unquote(parts.username)
    # A line feed would begin a field of its own.
    lines = [f"{name}={value}" for name, value in fields.items() if value and "\n" not in value]
    return "".join(f"{line}\n" for line in lines)


def _is_below(url: str, prefix: str) -> bool:
    """Whether ``http.<prefix>.*`` holds for a URL: same server, and a path below."""
    try:
        one, other = urlsplit(url), urlsplit(prefix)
        ports = [each.port or DEFAULT_PORTS.get(each.scheme) for each in (one, other)]
    except ValueError:
        return False
    if one.scheme != other.scheme or one.hostname != other.hostname or ports[0] != ports[1]:
        return False
    path = other.path.rstrip("/")
    return one.path == path or one.path.startswith(f"{path}/") or not path
