"""Where the LFS server of a repository is: as git-lfs guesses it from a remote's URL."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from giftless.base.git_settings import run_git
from giftless.base.server_words import explain, shown
from giftless.client.asking import check_url
from giftless.client.errors import ServerError

#: How long ``git-lfs-authenticate`` may take, in seconds.
_TIMEOUT: Final = 60

#: How git writes an SSH remote without a scheme.
_SCP: Final = re.compile(r"(?:[^/@:\s]+@)?[^/@:\s-][^/@:\s]*:(?!//)\S+")


@dataclass(frozen=True, slots=True)
class SSHRemote:
    """What is behind SSH: who to log in as, where, and the repository's path there."""

    host: str
    port: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An LFS server, as a base URL.

    :ivar url: http(s), without a slash at its end; may hold a user and a password.
    :ivar ssh: who tells where it is and how to log in; ``None`` if nobody has to be asked.
    :ivar source: which setting names it, in words.
    """

    url: str
    ssh: SSHRemote | None = None
    source: str = ""

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"

    @property
    def name(self) -> str:
        """What people are shown: without a credential."""
        return shown(self.url)


def endpoint_of(url: str, source: str = "") -> Endpoint:
    """Make the endpoint of a URL that names an LFS server, such as ``lfs.url``.

    :raises ServerError: if it is none.
    """
    if (remote := _ssh(url)) is not None:
        return Endpoint(_guess(remote), remote, source)
    check_url(url)
    return Endpoint(url.rstrip("/"), None, source)


def endpoint_of_remote(url: str, source: str = "") -> Endpoint:
    """Make the endpoint of a URL that git clones from.

    :raises ServerError: if its LFS server cannot be spoken to.
    """
    if (remote := _ssh(url)) is not None:
        return Endpoint(_guess(remote), remote, source)
    url = url.rstrip("/")
    if url.startswith("git://"):
        url = f"https://{url.removeprefix('git://')}"
    if not url.startswith(("http://", "https://")):
        raise ServerError(
            f"the remote {shown(url)!r} is no server: git-lfs copies files there itself"
        )
    suffix = "/info/lfs" if url.endswith(".git") else ".git/info/lfs"
    return endpoint_of(url + suffix, source)


def authenticate(
    remote: SSHRemote,
    operation: str,
    ask: bool,
    directory: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> tuple[str, Mapping[str, str]]:
    """Ask by SSH where the server is, and what to send it; blocks.

    :param operation: ``upload`` or ``download``.
    :param ask: whether SSH may ask the user at the terminal.
    :param directory: the repository whose configuration counts.
    :returns: a base URL, empty if it is the one that was guessed; and headers.
    :raises ServerError: if that fails.
    """
    command = environ.get("GIT_SSH_COMMAND") or run_git(
        "config", "core.sshCommand", directory=directory
    )
    words = shlex.split(command) if command else [environ.get("GIT_SSH") or "ssh"]
    if not ask:
        words += ["-oBatchMode=yes"]
    if remote.port is not None:
        words += ["-p", str(remote.port)]
    words += ["--", remote.host, f"git-lfs-authenticate {shlex.quote(remote.path)} {operation}"]
    try:
        done = subprocess.run(  # noqa: S603
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=directory,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"ssh {remote.host} failed: {type(error).__name__}") from None
    if done.returncode:
        words_said = explain(done.stderr) or "it does not say why"
        raise ServerError(f"git-lfs-authenticate at {remote.host} failed: {words_said}")
    try:
        found: Any = json.loads(done.stdout)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("header") or {}, dict):
        raise ServerError(f"git-lfs-authenticate at {remote.host} printed something else than JSON")
    href = found.get("href") or ""
    if href:
        check_url(str(href))
    header = found.get("header") or {}
    return str(href).rstrip("/"), {str(name): str(value) for name, value in header.items()}


def _ssh(url: str) -> SSHRemote | None:
    if url.startswith(("ssh://", "git+ssh://", "ssh+git://")):
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if not host or host.startswith("-"):
            raise ServerError(f"{shown(url)!r} names no host")
        user = f"{unquote(parts.username)}@" if parts.username else ""
        if user.startswith("-"):
            raise ServerError(f"{shown(url)!r} names no user")
        return SSHRemote(user + host, port, parts.path)
    if "://" not in url and _SCP.fullmatch(url):
        host, _, path = url.partition(":")
        return SSHRemote(host, None, path)
    return None


def _guess(remote: SSHRemote) -> str:
    """Return where git-lfs expects the server if SSH does not say."""
    path = quote(remote.path.strip("/"))
    suffix = "/info/lfs" if path.endswith(".git") else ".git/info/lfs"
    return f"https://{remote.host.rpartition('@')[2]}/{path}{suffix}"
